package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/activity"
)

// handler runs a command: it parses the arguments up to CRLF, acts, and writes
// untagged responses. See the package comment for what its error means.
type handler func(c *conn, ctx context.Context, cmd *command) error

// command is one command of the client while it runs. What outlives the command
// belongs to conn or to the selected mailbox.
type command struct {
	tag  string
	name string // in upper case; "UID FETCH" for the UID form; "" when it is unknown
	uid  bool   // the UID form: message sets and answers hold UIDs
	args *wire.Decoder

	// numbered: it is of a UID form and searches by sequence numbers. Its answer tells no EXPUNGE
	// (RFC 7162 section 3.2.10.2).
	numbered bool

	result   activity.Result
	answer   statusText
	removed  bool         // it removed messages: with QRESYNC the answer has HIGHESTMODSEQ
	answered bool         // nothing more is to be said
	after    func() error // runs when the tagged OK is sent; an error ends the connection
}

// statusText is the code and the text of a tagged OK.
type statusText struct{ code, text string }

// ok sets what the tagged OK says; code is without brackets and may be empty.
func (cmd *command) ok(code, text string) { cmd.answer = statusText{code, text} }

// noArguments reads the end of a command that has no arguments.
func (cmd *command) noArguments() error { return cmd.args.CRLF() }

// syncMode says what of other sessions' changes is told before the tagged
// answer of a command.
type syncMode uint8

const (
	syncAll       syncMode = iota // everything there is an event about
	syncNoExpunge                 // the same without EXPUNGE (RFC 3501 section 7.4.1)
	syncForced                    // everything; asks the database even without an event
	syncNone                      // nothing
)

// states in which a command is allowed.
type states uint8

const (
	inNotAuth states = 1 << iota
	inAuth
	inSelected
	inAny     = inNotAuth | inAuth | inSelected
	inSession = inAuth | inSelected
)

// rule says in which states a command is allowed, which changes by other sessions
// its answer tells, and which handler runs it.
type rule struct {
	states states
	sync   syncMode
	run    handler
}

// rules are looked up by the upper-case name; "UID X" is the UID form of X.
var rules = map[string]rule{
	"CAPABILITY":   {inAny, syncAll, (*conn).handleCapability},
	"NOOP":         {inAny, syncForced, (*conn).handleNoop},
	"LOGOUT":       {inAny, syncNone, (*conn).handleLogout},
	"ID":           {inAny, syncAll, (*conn).handleID},
	"STARTTLS":     {inNotAuth, syncNone, (*conn).handleStartTLS},
	"AUTHENTICATE": {inNotAuth, syncNone, (*conn).handleAuthenticate},
	"LOGIN":        {inNotAuth, syncNone, (*conn).handleLogin},

	"COMPRESS":       {inSession, syncAll, (*conn).handleCompress},
	"UNAUTHENTICATE": {inSession, syncNone, (*conn).handleUnauthenticate},

	"ENABLE":      {inSession, syncAll, (*conn).handleEnable},
	"SELECT":      {inSession, syncNone, (*conn).handleSelect},
	"EXAMINE":     {inSession, syncNone, (*conn).handleExamine},
	"CREATE":      {inSession, syncAll, (*conn).handleCreate},
	"DELETE":      {inSession, syncAll, (*conn).handleDelete},
	"RENAME":      {inSession, syncAll, (*conn).handleRename},
	"SUBSCRIBE":   {inSession, syncAll, (*conn).handleSubscribe},
	"UNSUBSCRIBE": {inSession, syncAll, (*conn).handleUnsubscribe},
	"LIST":        {inSession, syncAll, (*conn).handleList},
	"LSUB":        {inSession, syncAll, (*conn).handleLsub},
	"NAMESPACE":   {inSession, syncAll, (*conn).handleNamespace},
	"STATUS":      {inSession, syncAll, (*conn).handleStatus},
	"ESEARCH":     {inSession, syncAll, (*conn).handleESearch},
	"APPEND":      {inSession, syncAll, (*conn).handleAppend},
	"IDLE":        {inSession, syncAll, (*conn).handleIdle},
	"NOTIFY":      {inSession, syncForced, (*conn).handleNotify},

	"SETACL":     {inSession, syncAll, (*conn).handleSetACL},
	"DELETEACL":  {inSession, syncAll, (*conn).handleDeleteACL},
	"GETACL":     {inSession, syncAll, (*conn).handleGetACL},
	"LISTRIGHTS": {inSession, syncAll, (*conn).handleListRights},
	"MYRIGHTS":   {inSession, syncAll, (*conn).handleMyRights},

	"GETMETADATA": {inSession, syncAll, (*conn).handleGetMetadata},
	"SETMETADATA": {inSession, syncAll, (*conn).handleSetMetadata},

	"GETQUOTA":     {inSession, syncAll, (*conn).handleGetQuota},
	"GETQUOTAROOT": {inSession, syncAll, (*conn).handleGetQuotaRoot},
	"SETQUOTA":     {inSession, syncAll, (*conn).handleSetQuota},

	"CHECK":    {inSelected, syncForced, (*conn).handleNoop},
	"CLOSE":    {inSelected, syncNone, (*conn).handleClose},
	"UNSELECT": {inSelected, syncNone, (*conn).handleUnselect},
	"EXPUNGE":  {inSelected, syncAll, (*conn).handleExpunge},
	"FETCH":    {inSelected, syncNoExpunge, (*conn).handleFetch},
	"SEARCH":   {inSelected, syncNoExpunge, (*conn).handleSearch},
	"SORT":     {inSelected, syncNoExpunge, (*conn).handleSort},
	"STORE":    {inSelected, syncNoExpunge, (*conn).handleStore},
	"THREAD":   {inSelected, syncNoExpunge, (*conn).handleThread},
	"COPY":     {inSelected, syncAll, (*conn).handleCopy},
	"MOVE":     {inSelected, syncAll, (*conn).handleMove},

	"REPLACE": {inSelected, syncAll, (*conn).handleReplace},

	"CANCELUPDATE": {inSelected, syncAll, (*conn).handleCancelUpdate},

	"UID EXPUNGE": {inSelected, syncAll, (*conn).handleExpunge},
	"UID FETCH":   {inSelected, syncAll, (*conn).handleFetch},
	"UID REPLACE": {inSelected, syncAll, (*conn).handleReplace},
	"UID SEARCH":  {inSelected, syncAll, (*conn).handleSearch},
	"UID SORT":    {inSelected, syncAll, (*conn).handleSort},
	"UID STORE":   {inSelected, syncAll, (*conn).handleStore},
	"UID THREAD":  {inSelected, syncAll, (*conn).handleThread},
	"UID COPY":    {inSelected, syncAll, (*conn).handleCopy},
	"UID MOVE":    {inSelected, syncAll, (*conn).handleMove},
}

// numbered are the commands whose arguments or answers have message numbers: a session
// with UIDONLY has only their UID forms (RFC 9586 section 3.1).
var numbered = map[string]bool{
	"FETCH": true, "SEARCH": true, "STORE": true, "COPY": true, "MOVE": true, "SORT": true, "THREAD": true,
	"REPLACE": true,
}

// parseName reads the name of the command and looks up its rule.
func (c *conn) parseName(cmd *command) (rule, error) {
	none := rule{sync: syncNone}
	if err := cmd.args.SP(); err != nil {
		return none, err
	}
	name, err := cmd.args.Keyword()
	if err != nil {
		return none, err
	}
	if cmd.uid = name == "UID"; cmd.uid {
		cmd.name = name
		if err := cmd.args.SP(); err != nil {
			return none, err
		}
		sub, err := cmd.args.Keyword()
		if err != nil {
			return none, err
		}
		name += " " + sub
	}
	r, ok := rules[name]
	if !ok {
		cmd.name = ""
		return none, wire.Errorf("Unknown command %s", clip(name))
	}
	cmd.name = name
	if r.states&c.inState() == 0 {
		return none, wire.Errorf("not allowed in this state")
	}
	if numbered[name] && c.enabled.has(uidOnly) {
		return none, errUIDRequired
	}
	return r, nil
}

func (c *conn) inState() states {
	switch c.state {
	case imap.ConnStateAuthenticated:
		return inAuth
	case imap.ConnStateSelected:
		return inSelected
	}
	return inNotAuth
}

// handleNoop answers NOOP and CHECK. The sync before the tagged answer tells the changes.
func (c *conn) handleNoop(_ context.Context, cmd *command) error {
	return cmd.noArguments()
}

func (c *conn) handleLogout(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.bye("", "Logging out")
	c.state = imap.ConnStateLogout
	return nil
}

// handleNamespace answers NAMESPACE (RFC 2342): one personal namespace, one of other users and, if
// there are public mailboxes, one of them.
func (c *conn) handleNamespace(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.enc.Untagged().Raw(`NAMESPACE (("" "/"))`)
	others, public := c.account.Sharing()
	c.writeNamespace(account.OthersPrefix, others)
	c.writeNamespace(account.PublicPrefix, public)
	c.enc.CRLF()
	return nil
}

func (c *conn) writeNamespace(prefix string, there bool) {
	c.enc.SP()
	if !there {
		c.enc.NIL()
		return
	}
	c.enc.Raw(`(("`).Raw(prefix).Raw(`" "/"))`)
}
