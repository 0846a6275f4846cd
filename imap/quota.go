package imap

import (
	"context"
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// quotaRoot is the one quota root of a user: all of the user's mailboxes count towards it (RFC 9208
// section 3.2). The name is Dovecot's, which clients show. Mailboxes of another user count towards
// that user's: quotaRootOf and the name.
const (
	quotaRoot   = "User quota"
	quotaRootOf = quotaRoot + " of "
)

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
	if owner, ok := strings.CutPrefix(root, quotaRootOf); ok {
		limits, usage, err := c.account.QuotaOfUser(ctx, owner)
		if errors.Is(err, mailstore.ErrNoSuchUser) {
			return errNoQuotaRoot
		}
		if err == nil {
			c.writeQuota(root, limits, usage)
		}
		return err
	}
	if root != quotaRoot {
		return errNoQuotaRoot
	}
	limits, usage, err := c.account.Quota(ctx)
	if err == nil {
		c.writeQuota(root, limits, usage)
	}
	return err
}

var errNoQuotaRoot = refuse(imap.ResponseCodeNonExistent, "No such quota root")

// handleGetQuotaRoot answers GETQUOTAROOT (RFC 9208 section 4.1.2). The mailbox need not exist: the
// root is that of one with this name.
func (c *conn) handleGetQuotaRoot(ctx context.Context, cmd *command) error {
	name, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	owner, limits, usage, err := c.account.QuotaOf(ctx, name)
	if err != nil {
		return err
	}
	root := quotaRoot
	if owner != "" {
		root = quotaRootOf + owner
	}
	c.enc.Untagged().Raw("QUOTAROOT ").Mailbox(name).SP().String(root).CRLF()
	c.writeQuota(root, limits, usage)
	return nil
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
func (c *conn) writeQuota(root string, limits quota.Limits, usage quota.Usage) {
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
	c.enc.Untagged().Raw("QUOTA ").String(root).SP().List(len(list), func(i int) {
		c.enc.Raw(string(list[i].name)).SP().Number64(list[i].usage).SP().Number64(list[i].limit)
	}).CRLF()
}

// storageUnits rounds up, both usage and limit: so the usage is above the limit only if it is.
func storageUnits(octets int64) uint64 { return (counter(octets) + storageUnit - 1) / storageUnit }
