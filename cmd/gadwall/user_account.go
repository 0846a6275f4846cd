package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// oneUser is what commands about one user have in common.
type oneUser struct {
	storageSettings
	Username string `arg:"" help:"The user."`
}

// withUser calls f with the user.
func (c *oneUser) withUser(
	std streams, f func(context.Context, *mailstore.Store, *mailstore.User) error,
) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
		return f(ctx, s, user)
	})
}

// change changes something about the user and says what was done.
func (c *oneUser) change(
	std streams, done string, f func(*mailstore.Store, context.Context, mailkey.UserID) error,
) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if err := f(s, ctx, user.ID); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s %s\n", done, user.Username)
		return nil
	})
}

type userShowCmd struct {
	oneUser
}

// Run prints what a user's document says, in JSON.
func (c *userShowCmd) Run(std streams) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		addresses, err := s.Addresses(ctx, user.ID)
		if err != nil {
			return err
		}
		shown := struct {
			listedUser
			DisplayName string   `json:"displayName,omitempty"`
			Addresses   []string `json:"addresses"`
			Groups      []string `json:"groups,omitempty"`
			// As in the configuration: default, unlimited, or a number.
			SentMessages   string          `json:"sentMessages"`
			SentRecipients string          `json:"sentRecipients"`
			DeleteAfter    *time.Time      `json:"deleteAfter,omitempty"`
			Metadata       json.RawMessage `json:"metadata,omitempty"`
		}{listedUser: listed(user), DisplayName: user.DisplayName, Addresses: addresses, Groups: user.Groups,
			SentMessages:   config.MessageLimit(user.Sending.Messages).String(),
			SentRecipients: config.MessageLimit(user.Sending.Recipients).String()}
		if user.State == mailstore.UserDeleted {
			shown.DeleteAfter = &user.DeleteAfter
		}
		if user.Metadata != "" {
			shown.Metadata = json.RawMessage(user.Metadata)
		}
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(shown)
	})
}

type userSetCmd struct {
	oneUser
	Name          *string              `help:"Name for people; empty takes it away."`
	Metadata      *string              `placeholder:"JSON" help:"What applications keep with the user, at most 4 KiB; empty takes it away."`
	Quota         *config.StorageLimit `placeholder:"SIZE" help:"Most that the user may store, e.g. 10GB, or unlimited, or default."`
	QuotaMessages *config.MessageLimit `placeholder:"N" help:"Most messages that the user may have, or unlimited, or default."`

	SentMessages   *config.MessageLimit `placeholder:"N" help:"Most messages that the user may send within an hour, or unlimited, or default."`
	SentRecipients *config.MessageLimit `placeholder:"N" help:"Most recipients of what the user sends within an hour, or unlimited, or default."`
}

func (c *userSetCmd) Run(std streams) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if c.Quota != nil || c.QuotaMessages != nil {
			_, err := s.ChangeLimits(ctx, user.ID, func(l quota.Limits) quota.Limits {
				if c.Quota != nil {
					l.Bytes = int64(*c.Quota)
				}
				if c.QuotaMessages != nil {
					l.Messages = int64(*c.QuotaMessages)
				}
				return l
			})
			if err != nil {
				return err
			}
		}
		change := mailstore.UserChange{DisplayName: c.Name, Metadata: c.Metadata,
			SentMessages: (*int64)(c.SentMessages), SentRecipients: (*int64)(c.SentRecipients)}
		if err := s.ChangeProfile(ctx, user.ID, change); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "changed %s\n", user.Username)
		return nil
	})
}

type userGroupsCmd struct {
	oneUser
	Groups []string `arg:"" optional:"" help:"Names of the groups, without the $ that IMAP clients see before them; the user leaves all others."`
	None   bool     `help:"The user leaves all groups."`
}

func (c *userGroupsCmd) Run(std streams) error {
	if c.None == (len(c.Groups) > 0) {
		return usageError{errors.New("groups or --none are needed")}
	}
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if err := s.SetGroups(ctx, user.ID, c.Groups); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "changed the groups of %s\n", user.Username)
		return nil
	})
}

type userSuspendCmd struct {
	oneUser
}

func (c *userSuspendCmd) Run(std streams) error {
	return c.change(std, "suspended", (*mailstore.Store).Suspend)
}

type userResumeCmd struct {
	oneUser
}

func (c *userResumeCmd) Run(std streams) error {
	return c.change(std, "resumed", (*mailstore.Store).Resume)
}

type userUndeleteCmd struct {
	oneUser
}

func (c *userUndeleteCmd) Run(std streams) error {
	return c.change(std, "brought back", (*mailstore.Store).Undelete)
}

type userRenameCmd struct {
	oneUser
	NewName   string `arg:"" help:"The new name, a mail address."`
	KeepAlias bool   `help:"Keep the old name as an alias."`
}

func (c *userRenameCmd) Run(std streams) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if err := s.RenameUser(ctx, user.ID, c.NewName, c.KeepAlias); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "renamed %s to %s\n", user.Username, c.NewName)
		return nil
	})
}

type aliasCmd struct {
	Add    aliasAddCmd    `cmd:"" help:"Give a user a further address."`
	Remove aliasRemoveCmd `cmd:"" help:"Take an address from a user."`
}

type aliasAddCmd struct {
	oneUser
	Address string `arg:"" help:"The address."`
}

func (c *aliasAddCmd) Run(std streams) error {
	return c.change(std, "added "+c.Address+" to",
		func(s *mailstore.Store, ctx context.Context, user mailkey.UserID) error {
			return s.AddAlias(ctx, user, c.Address)
		})
}

type aliasRemoveCmd struct {
	oneUser
	Address string `arg:"" help:"The address."`
}

func (c *aliasRemoveCmd) Run(std streams) error {
	return c.change(std, "removed "+c.Address+" from",
		func(s *mailstore.Store, ctx context.Context, user mailkey.UserID) error {
			return s.RemoveAlias(ctx, user, c.Address)
		})
}

type appPasswordCmd struct {
	Add    appPasswordAddCmd    `cmd:"" help:"Make a password for one application, and print it."`
	List   appPasswordListCmd   `cmd:"" help:"List a user's application passwords."`
	Revoke appPasswordRevokeCmd `cmd:"" help:"Take an application password away."`
}

type appPasswordAddCmd struct {
	oneUser
	Name   string   `arg:"" help:"What it is for, such as phone."`
	Scopes []string `default:"imap,smtp" help:"What it may be used for: imap, smtp, http."`
}

func (c *appPasswordAddCmd) Run(std streams) error {
	scopes, err := mailstore.ParseScope(c.Scopes)
	if err != nil {
		return usageError{err}
	}
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		made, password, err := s.AddAppPassword(ctx, user.ID, c.Name, scopes)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.err, "password %s of %s, shown this once:\n", made.ID, user.Username)
		fmt.Fprintln(std.out, password)
		return nil
	})
}

type appPasswordListCmd struct {
	oneUser
}

func (c *appPasswordListCmd) Run(std streams) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		passwords, err := s.AppPasswords(ctx, user.ID)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tUSED")
		for _, p := range passwords {
			used := "never"
			if !p.Used.IsZero() {
				used = p.Used.Format(time.DateTime)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Name, strings.Join(p.Scopes.Names(), ","),
				p.Created.Format(time.DateTime), used)
		}
		return w.Flush()
	})
}

type appPasswordRevokeCmd struct {
	oneUser
	ID string `arg:"" help:"The id that list shows."`
}

func (c *appPasswordRevokeCmd) Run(std streams) error {
	return c.change(std, "revoked "+c.ID+" of",
		func(s *mailstore.Store, ctx context.Context, user mailkey.UserID) error {
			return s.RevokeAppPassword(ctx, user, c.ID)
		})
}
