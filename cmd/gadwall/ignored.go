package main

// Settings of storage that have no effect for some commands, and are not in their help.
var (
	quotaSettings = []string{"quota-default-storage", "quota-default-messages", "quota-warn"}
	quotaWarnings = []string{"quota-warn"}
)

func (*backupCmd) ignores() []string {
	return append([]string{"mongodb-uri", "mongodb-database", "redis-url"}, quotaSettings...)
}

func (*benchSpaceCmd) ignores() []string  { return append([]string{"redis-url"}, quotaSettings...) }
func (*checkCmd) ignores() []string       { return append([]string{"redis-url"}, quotaSettings...) }
func (*dictTrainCmd) ignores() []string   { return append([]string{"redis-url"}, quotaSettings...) }
func (*dictListCmd) ignores() []string    { return append([]string{"redis-url"}, quotaSettings...) }
func (*gcCmd) ignores() []string          { return quotaSettings }
func (*restoreCmd) ignores() []string     { return quotaSettings }
func (*userPasswdCmd) ignores() []string  { return append([]string{"redis-url"}, quotaSettings...) }
func (*userDeleteCmd) ignores() []string  { return quotaSettings }
func (*userAddCmd) ignores() []string     { return append([]string{"redis-url"}, quotaSettings...) }
func (*userListCmd) ignores() []string    { return append([]string{"redis-url"}, quotaWarnings...) }
func (*quotaShowCmd) ignores() []string   { return append([]string{"redis-url"}, quotaWarnings...) }
func (*quotaSetCmd) ignores() []string    { return append([]string{"redis-url"}, quotaWarnings...) }
func (*quotaRecalcCmd) ignores() []string { return quotaSettings }
