package imap

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// attrNonExistent is of RFC 5258 section 3.
const attrNonExistent = `\NonExistent`

// separator is the hierarchy separator of mailbox names.
const separator = "/"

// mailboxArgument reads SP mailbox.
func mailboxArgument(dec *wire.Decoder) (string, error) {
	if err := dec.SP(); err != nil {
		return "", err
	}
	return dec.Mailbox()
}

// onlyMailbox reads the arguments of a command that has a mailbox and nothing else.
func onlyMailbox(dec *wire.Decoder) (string, error) {
	name, err := mailboxArgument(dec)
	if err != nil {
		return "", err
	}
	return name, dec.CRLF()
}

// handleCreate answers CREATE (RFC 3501 section 6.3.3) with the parameter USE
// of RFC 6154 section 3.
func (c *conn) handleCreate(ctx context.Context, cmd *command) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	var uses []string
	if cmd.args.Accept(' ') {
		if uses, err = createParameters(cmd.args); err != nil {
			return err
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	var opts mailstore.CreateOptions
	switch len(uses) {
	case 0:
	case 1:
		opts.SpecialUse = uses[0]
	default:
		return refuse(codeUseAttr, "A mailbox can have one special use")
	}
	// A separator at the end says that children are to come (RFC 3501 section 6.3.3).
	name = strings.TrimSuffix(name, separator)
	box, err := c.account.Create(ctx, name, opts)
	if err != nil {
		return err
	}
	c.notify.created(c, box)
	c.tellNormalized(name, name, useAttributes(box)...)
	cmd.ok("MAILBOXID ("+c.mailboxID(box)+")", "CREATE completed") // RFC 8474 section 4.1
	return nil
}

// tellName writes LIST for a mailbox. If the client has named it otherwise, or it had another name,
// OLDNAME tells that one (RFC 9051 sections 6.3.2 and 6.3.9.7).
func (c *conn) tellName(name, old string, attrs ...string) {
	c.enc.Untagged().Raw("LIST ").Flags(attrs).Raw(` "/" `).Mailbox(name)
	if name != old {
		c.enc.Raw(` ("OLDNAME" (`).Mailbox(old).Raw("))")
	}
	c.enc.CRLF()
}

// tellNormalized writes LIST for a mailbox if the store has another form of its name than the client,
// or of the one that it had before.
func (c *conn) tellNormalized(name, old string, attrs ...string) {
	if !c.enabled.has(imap4rev2) {
		return
	}
	if path := normalized(name); path != name || normalized(old) != old {
		c.tellName(path, old, attrs...)
	}
}

// normalized is the form that the store has of a name.
func normalized(name string) string {
	if path, err := mailstore.NormalizePath(name); err == nil {
		return path
	}
	return name
}

// useAttributes are the attributes that LIST has for the special use of a mailbox.
func useAttributes(box *mailstore.Mailbox) (attrs []string) {
	if box.SpecialUse != "" {
		attrs = append(attrs, box.SpecialUse)
	}
	return attrs
}

// mailboxID is the MAILBOXID (RFC 8474 section 4): it stays when the mailbox is renamed, and no other
// one that the client can see ever has it.
func (c *conn) mailboxID(box *mailstore.Mailbox) string {
	return "F" + strconv.FormatUint(uint64(box.Key.Number()), 10) + c.idOf(box.Key.User())
}

// idOf is what ids of another user's mailboxes and messages end with. Ids are unique within a user.
func (c *conn) idOf(user mailkey.UserID) string {
	if c.account == nil || user == c.account.UserID() {
		return ""
	}
	return "_" + user.String()
}

// createParameters reads "(USE (\Sent ...))".
func createParameters(dec *wire.Decoder) (uses []string, err error) {
	err = dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		if name != "USE" {
			return wire.Errorf("unknown parameter %s", name)
		}
		if err := dec.SP(); err != nil {
			return err
		}
		return dec.List(func() error {
			use, err := dec.Flag()
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(mailstore.SpecialUses,
				func(u string) bool { return strings.EqualFold(u, use) }); i >= 0 {
				use = mailstore.SpecialUses[i]
			}
			if !slices.Contains(uses, use) {
				uses = append(uses, use)
			}
			return nil
		})
	})
	return uses, err
}

// handleDelete answers DELETE (RFC 3501 section 6.3.4).
func (c *conn) handleDelete(ctx context.Context, cmd *command) error {
	name, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	if c.sel != nil {
		box, err := c.account.Status(ctx, name)
		if errors.Is(err, account.ErrNoRight) || errors.Is(err, mailstore.ErrNoSuchMailbox) {
			if err = c.account.Delete(ctx, name); err == nil { // not the selected one, which can be read
				c.tellNormalized(name, name, attrNonExistent)
			}
			return err
		}
		if err != nil {
			return err
		}
		if box.Key == c.sel.box.Key() {
			// The session cannot go on with a mailbox that is no more; telling
			// so is kinder than closing the connection as for other sessions.
			if err := c.account.Delete(ctx, name); err != nil {
				return err
			}
			c.deselect()
			c.notify.deleted(name)
			// It may have another name by now than the client selected it by.
			c.enc.Untagged().Raw("OK [CLOSED] Selected mailbox was deleted").CRLF()
			c.tellNormalized(name, name, attrNonExistent)
			return nil
		}
	}
	if err := c.account.Delete(ctx, name); err != nil {
		return err
	}
	c.notify.deleted(name)
	c.tellNormalized(name, name, attrNonExistent)
	return nil
}

// handleRename answers RENAME (RFC 3501 section 6.3.5).
func (c *conn) handleRename(ctx context.Context, cmd *command) error {
	from, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	to, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	to = strings.TrimSuffix(to, separator)
	from = strings.TrimSuffix(from, separator)
	err = c.newCount(cmd.tag, "Renaming").meanwhile(func() error { return c.account.Rename(ctx, from, to) })
	if err != nil {
		return err
	}
	c.notify.renamed(from, to)
	if c.enabled.has(imap4rev2) && (normalized(from) != from || normalized(to) != to) {
		if box, err := c.account.Status(ctx, to); err == nil {
			c.tellName(normalized(to), from, useAttributes(box)...)
		}
	}
	return nil
}

// handleSubscribe answers SUBSCRIBE (RFC 3501 section 6.3.6). A name needs no
// mailbox to be subscribed to.
func (c *conn) handleSubscribe(ctx context.Context, cmd *command) error {
	return c.subscription(ctx, cmd, true)
}

// handleUnsubscribe answers UNSUBSCRIBE (RFC 3501 section 6.3.7).
func (c *conn) handleUnsubscribe(ctx context.Context, cmd *command) error {
	return c.subscription(ctx, cmd, false)
}

func (c *conn) subscription(ctx context.Context, cmd *command, subscribe bool) error {
	name, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	name = strings.TrimSuffix(name, separator)
	if err := c.account.Subscribe(ctx, name, subscribe); err != nil {
		return err
	}
	c.notify.subscribe(name, subscribe)
	return nil
}

// destination looks up the mailbox that messages are to be put into. Where it
// does not exist the client may create it (RFC 3501 sections 6.3.11 and 6.4.7).
func (c *conn) destination(ctx context.Context, name string) (*account.Mailbox, error) {
	if name == "" {
		return nil, mailstore.ErrInvalidName
	}
	box, err := c.account.Destination(ctx, name)
	if err != nil {
		return nil, tryCreate(err)
	}
	c.tellNormalized(name, name) // RFC 9051 section 6.3.12
	return box, nil
}

// tryCreate is the error of a missing destination. The client cannot create one whose name is not
// valid.
func tryCreate(err error) error {
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return refuse(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return err
}
