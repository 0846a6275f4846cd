package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gadwall/internal/node"
	"gadwall/internal/sessions"
)

type sessionsCmd struct {
	List sessionsListCmd `cmd:"" help:"List the connections on which users are logged in, on all instances."`
	Kick sessionsKickCmd `cmd:"" help:"End a session, or all of a user."`
}

type sessionsListCmd struct {
	storageSettings
	User string `placeholder:"ADDRESS" help:"Only those of this user."`
	JSON bool   `name:"json" help:"Print a JSON object per line."`
}

// target returns the sessions of a user, or of all.
func sessionTarget(ctx context.Context, n *node.Node, user string) (t sessions.Target, err error) {
	if user == "" {
		return t, nil
	}
	u, err := userNamed(ctx, n.Mail, user)
	if err != nil {
		return t, err
	}
	t.User = &u.ID
	return t, nil
}

// tellSilent says which instances have not answered.
func tellSilent(std streams, a sessions.Answer) {
	if len(a.Silent) > 0 {
		fmt.Fprintf(std.err, "not answered in time: %s\n", strings.Join(a.Silent, ", "))
	}
}

func (c *sessionsListCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Sharing}, func(ctx context.Context, n *node.Node) error {
		t, err := sessionTarget(ctx, n, c.User)
		if err != nil {
			return err
		}
		a, err := n.Sessions.List(ctx, t)
		if err != nil {
			return err
		}
		tellSilent(std, a)
		if c.JSON {
			encoder := json.NewEncoder(std.out)
			for _, s := range a.Sessions {
				if err := encoder.Encode(s); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tUSER\tPROTOCOL\tREMOTE\tCLIENT\tMAILBOX\tSINCE\tIDLE\tINSTANCE")
		for _, s := range a.Sessions {
			user := s.Username
			if s.Actor != "" {
				user += "*" + s.Actor
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, user, s.Protocol, s.Remote, orDash(s.Client),
				orDash(s.Mailbox), s.Since.Format(time.DateTime), max(time.Since(s.Active), 0).Round(time.Second),
				s.Instance)
		}
		return w.Flush()
	})
}

type sessionsKickCmd struct {
	storageSettings
	ID   string `arg:"" optional:"" help:"The id that list shows."`
	User string `placeholder:"ADDRESS" help:"All sessions of this user."`
}

func (c *sessionsKickCmd) Run(std streams) error {
	if (c.ID == "") == (c.User == "") {
		return usageError{errors.New("want the id of a session, or --user")}
	}
	return c.withNode(std, node.Options{Access: node.Sharing}, func(ctx context.Context, n *node.Node) error {
		t, err := sessionTarget(ctx, n, c.User)
		if err != nil {
			return err
		}
		t.ID = c.ID
		a, err := n.Sessions.Kick(ctx, t)
		if err != nil {
			return err
		}
		tellSilent(std, a)
		if c.ID != "" && a.Ended == 0 {
			return fmt.Errorf("no such session: %s", c.ID)
		}
		fmt.Fprintf(std.out, "ended %d\n", a.Ended)
		return nil
	})
}
