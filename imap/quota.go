package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/quota"
)

// quotaRoot is the one quota root there is: all of a user's mailboxes count towards it (RFC 9208
// section 3.2). The name is Dovecot's, which clients show.
const quotaRoot = "User quota"

// storageUnit is in what STORAGE is counted (RFC 9208 section 5.1).
const storageUnit = 1024

// handleGetQuota answers GETQUOTA (RFC 9208 section 4.1.1).
func (c *conn) handleGetQuota(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	root, err := cmd.args.AString()
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if root != quotaRoot {
		return refuse(imap.ResponseCodeNonExistent, "No such quota root")
	}
	return c.writeQuota(ctx)
}

// handleGetQuotaRoot answers GETQUOTAROOT (RFC 9208 section 4.1.2). The mailbox need not exist: the
// root is that of one with this name.
func (c *conn) handleGetQuotaRoot(ctx context.Context, cmd *command) error {
	name, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	c.enc.Untagged().Raw("QUOTAROOT ").Mailbox(name).SP().String(quotaRoot).CRLF()
	return c.writeQuota(ctx)
}

// handleSetQuota refuses SETQUOTA (RFC 9208 section 4.1.3): operators set limits,
// and the capability QUOTASET is not offered.
func (c *conn) handleSetQuota(_ context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	if _, err := cmd.args.AString(); err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	name := true // resource names and limits take turns
	err := cmd.args.List(func() (err error) {
		if name {
			_, err = cmd.args.Atom()
		} else {
			_, err = cmd.args.Number64()
		}
		name = !name
		return err
	})
	if err != nil {
		return err
	}
	if !name {
		return wire.Errorf("resource without a limit")
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	return refuse(imap.ResponseCodeNoPerm, "Limits cannot be set here")
}

// writeQuota writes the resources that have a limit (RFC 9208 section 4.2.1).
func (c *conn) writeQuota(ctx context.Context) error {
	limits, usage, err := c.account.Quota(ctx)
	if err != nil {
		return err
	}
	type resource struct {
		name         quota.Resource
		usage, limit uint64
	}
	var list []resource
	if limits.Bytes > 0 {
		list = append(list, resource{quota.Storage, storageUnits(usage.Bytes), storageUnits(limits.Bytes)})
	}
	if limits.Messages > 0 {
		list = append(list, resource{quota.Message, counter(usage.Messages), counter(limits.Messages)})
	}
	c.enc.Untagged().Raw("QUOTA ").String(quotaRoot).SP().List(len(list), func(i int) {
		c.enc.Raw(string(list[i].name)).SP().Number64(list[i].usage).SP().Number64(list[i].limit)
	}).CRLF()
	return nil
}

// storageUnits rounds up, both usage and limit: so the usage is above the limit only if it is.
func storageUnits(octets int64) uint64 { return (counter(octets) + storageUnit - 1) / storageUnit }
