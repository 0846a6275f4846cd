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

// handleSetQuota answers SETQUOTA (RFC 9208 section 4.1.3), for master users. What it does not name has
// no limit afterwards.
func (c *conn) handleSetQuota(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	root, err := cmd.args.AString()
	if err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	limits, err := parseLimits(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	switch {
	case !c.account.MaySetLimits():
		return refuse(imap.ResponseCodeNoPerm, "Limits cannot be set here")
	case root != quotaRoot:
		return errNoQuotaRoot
	}
	own := quota.Limits{Bytes: quota.Unlimited, Messages: quota.Unlimited}
	for name, limit := range limits {
		switch {
		case limit == 0:
			return refuse(imap.ResponseCodeCannot, "A limit of 0 cannot be set")
		case quota.Resource(name) == quota.Storage && limit <= quota.MaxLimit/storageUnit:
			own.Bytes = limit * storageUnit
		case quota.Resource(name) == quota.Message && limit <= quota.MaxLimit:
			own.Messages = limit
		default:
			return refuse(imap.ResponseCodeCannot, "No such resource, or the limit is too large: "+name)
		}
	}
	if err := c.account.SetLimits(ctx, own); err != nil {
		return err
	}
	inForce, usage, err := c.account.Quota(ctx)
	if err == nil {
		c.writeQuota(root, inForce, usage)
	}
	return err
}

// parseLimits reads resources and their limits, by the names in upper case.
func parseLimits(args *wire.Decoder) (map[string]int64, error) {
	limits := make(map[string]int64)
	var resource string // whose limit comes next; "" if a resource comes next
	err := args.List(func() error {
		if resource == "" {
			name, err := args.Atom()
			resource = strings.ToUpper(name)
			if _, twice := limits[resource]; err == nil && (twice || len(limits) >= maxQuotaResources) {
				return wire.Errorf("a resource comes twice, or there are too many")
			}
			return err
		}
		limit, err := args.Number64()
		limits[resource], resource = int64(limit), ""
		return err
	})
	if err == nil && resource != "" {
		err = wire.Errorf("resource without a limit")
	}
	return limits, err
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
