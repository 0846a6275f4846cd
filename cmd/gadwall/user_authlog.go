package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"gadwall/internal/mailstore"
)

type userAuthlogCmd struct {
	oneUser
	Failed bool `help:"Only logins that failed."`
	Limit  int  `default:"100" placeholder:"N" help:"How many entries at most, the latest first."`
}

func (c *userAuthlogCmd) Run(std streams) error {
	if c.Limit < 1 || c.Limit > mailstore.MaxPage {
		return usageError{fmt.Errorf("--limit: want 1 to %d", mailstore.MaxPage)}
	}
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		list, _, err := s.LoginPage(ctx, mailstore.LoginQuery{User: &user.ID, Failed: c.Failed, Limit: c.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LAST\tFIRST\tCOUNT\tRESULT\tPROTOCOL\tMECHANISM\tREMOTE\tBY\tACTOR")
		for _, e := range list {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Last.Format(time.DateTime),
				e.First.Format(time.DateTime), e.Count, e.Result, e.Protocol, e.Mechanism, orDash(e.Remote),
				orDash(e.By), orDash(e.Actor))
		}
		return w.Flush()
	})
}
