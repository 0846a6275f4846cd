package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gadwall/internal/mailstore"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token, and print it."`
	List   tokenListCmd   `cmd:"" help:"List tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"Take a token away."`
}

type tokenCreateCmd struct {
	storageSettings
	Name    string        `arg:"" help:"What it is for, such as webmail."`
	Scopes  []string      `required:"" help:"What it may be used for, separated by commas: all, users, users:read, mail, mail:read, self, self:read, metrics, tokens."`
	User    string        `placeholder:"ADDRESS" help:"Only for the mail of this user; the scopes are of mail, mail:read, self and self:read then."`
	Expires time.Duration `placeholder:"DURATION" help:"For how long it can be used, such as 720h; without it, until it is revoked."`
}

func (c *tokenCreateCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		t := mailstore.Token{Name: c.Name, Scopes: c.Scopes}
		if c.Expires != 0 {
			t.Expires = time.Now().Add(c.Expires)
		}
		if c.User != "" {
			user, err := userNamed(ctx, s, c.User)
			if err != nil {
				return err
			}
			t.User = user.ID
		}
		made, secret, err := s.CreateToken(ctx, t)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.err, "token %s, shown this once:\n", made.ID)
		fmt.Fprintln(std.out, secret)
		return nil
	})
}

type tokenListCmd struct {
	storageSettings
}

func (c *tokenListCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		tokens, err := s.Tokens(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tSCOPES\tUSER\tCREATED\tEXPIRES\tUSED")
		for _, t := range tokens {
			user, expires := "-", "never"
			if t.Of(t.User) {
				user = t.User.String()
			}
			if !t.Expires.IsZero() {
				expires = t.Expires.Format(time.DateTime)
			}
			used := "never"
			if !t.Used.IsZero() {
				used = t.Used.Format(time.DateTime)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, strings.Join(t.Scopes, ","), user,
				t.Created.Format(time.DateTime), expires, used)
		}
		return w.Flush()
	})
}

type tokenRevokeCmd struct {
	storageSettings
	ID string `arg:"" help:"The id that list shows."`
}

func (c *tokenRevokeCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		if err := s.RevokeToken(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "revoked %s\n", c.ID)
		return nil
	})
}
