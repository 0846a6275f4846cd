package imap

import (
	"context"
	"errors"

	"gadwall/imap/wire"
	"gadwall/internal/account"
)

// The commands of access control lists (RFC 4314 section 3). Package account decides what is allowed.

// listedRights are the rights in the order in which LISTRIGHTS offers them, each by itself, and the
// obsolete ones c and d (RFC 4314 section 2.1.1).
const listedRights = "lrswipkxtecda"

// shownRights writes rights with the obsolete ones that they are members of, in the order of
// listedRights.
func shownRights(r account.Rights) string {
	text := (r &^ account.Administer).String()
	if r&(account.CreateMailbox|account.DeleteMailbox) != 0 {
		text += "c"
	}
	if r&(account.DeleteMessages|account.Expunge) != 0 {
		text += "d"
	}
	if text += (r & account.Administer).String(); text == "" {
		return `""`
	}
	return text
}

// aclArguments reads SP mailbox, and n strings after it.
func aclArguments(dec *wire.Decoder, n int) (mailbox string, rest []string, err error) {
	if mailbox, err = mailboxArgument(dec); err != nil {
		return "", nil, err
	}
	for range n {
		if err := dec.SP(); err != nil {
			return "", nil, err
		}
		s, err := dec.AString()
		if err != nil {
			return "", nil, err
		}
		rest = append(rest, s)
	}
	if err := dec.CRLF(); err != nil {
		return "", nil, err
	}
	if n > 0 && account.CheckIdentifier(rest[0]) != nil {
		return "", nil, wire.Errorf("not an identifier")
	}
	return mailbox, rest, nil
}

// handleSetACL answers SETACL (RFC 4314 section 3.1).
func (c *conn) handleSetACL(ctx context.Context, cmd *command) error {
	mailbox, rest, err := aclArguments(cmd.args, 2)
	if err != nil {
		return err
	}
	how, letters := account.ReplaceRights, rest[1]
	if letters != "" {
		switch letters[0] {
		case '+':
			how, letters = account.AddRights, letters[1:]
		case '-':
			how, letters = account.RemoveRights, letters[1:]
		}
	}
	rights, err := account.ParseRights(letters)
	if err != nil {
		return wire.Errorf("%s has a right that is not supported", clip(letters))
	}
	return aclError(c.account.SetACL(ctx, mailbox, rest[0], how, rights))
}

// handleDeleteACL answers DELETEACL (RFC 4314 section 3.2).
func (c *conn) handleDeleteACL(ctx context.Context, cmd *command) error {
	mailbox, rest, err := aclArguments(cmd.args, 1)
	if err != nil {
		return err
	}
	return aclError(c.account.DeleteACL(ctx, mailbox, rest[0]))
}

// aclError is the error of an identifier that looked right, and is none.
func aclError(err error) error {
	if errors.Is(err, account.ErrInvalidIdentifier) {
		return wire.Errorf("not an identifier")
	}
	return err
}

// handleGetACL answers GETACL (RFC 4314 section 3.3).
func (c *conn) handleGetACL(ctx context.Context, cmd *command) error {
	mailbox, _, err := aclArguments(cmd.args, 0)
	if err != nil {
		return err
	}
	grants, err := c.account.ACL(ctx, mailbox)
	if err != nil {
		return err
	}
	c.enc.Untagged().Raw("ACL ").Mailbox(mailbox)
	for _, g := range grants {
		c.enc.SP().String(g.Identifier).SP().Raw(shownRights(g.Rights))
	}
	c.enc.CRLF()
	return nil
}

// handleListRights answers LISTRIGHTS (RFC 4314 section 3.4). No right is tied to another one.
func (c *conn) handleListRights(ctx context.Context, cmd *command) error {
	mailbox, rest, err := aclArguments(cmd.args, 1)
	if err != nil {
		return err
	}
	always, possible, err := c.account.Grantable(ctx, mailbox, rest[0])
	if err != nil {
		return aclError(err)
	}
	c.enc.Untagged().Raw("LISTRIGHTS ").Mailbox(mailbox).SP().String(rest[0]).SP().Raw(shownRights(always))
	if possible == account.AllRights {
		for _, letter := range []byte(listedRights) {
			c.enc.SP().Byte(letter)
		}
	}
	c.enc.CRLF()
	return nil
}

// handleMyRights answers MYRIGHTS (RFC 4314 section 3.5).
func (c *conn) handleMyRights(ctx context.Context, cmd *command) error {
	mailbox, err := onlyMailbox(cmd.args)
	if err != nil {
		return err
	}
	rights, err := c.account.MyRights(ctx, mailbox)
	if err != nil {
		return err
	}
	c.writeMyRights(mailbox, rights)
	return nil
}

func (c *conn) writeMyRights(mailbox string, rights account.Rights) {
	c.enc.Untagged().Raw("MYRIGHTS ").Mailbox(mailbox).SP().Raw(shownRights(rights)).CRLF()
}

// refresh looks, before a command, which rights the client has on the selected mailbox, if it is
// another user's, and tells the client when they have changed (RFC 4314 section 5.1.1). If the client
// may not read the mailbox any more, it is as if the mailbox were gone.
func (c *conn) refresh(ctx context.Context) error {
	if c.sel == nil || !c.sel.box.Foreign() {
		return nil
	}
	changed, err := c.sel.box.Refresh(ctx)
	if err == nil && changed {
		c.sel.show.rights = c.sel.box.Rights()
		c.sel.show.flags(c.sel.show.keywords)
	}
	return err
}
