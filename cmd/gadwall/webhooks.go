package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
	"gadwall/internal/node"
	"gadwall/internal/webhooks"
)

type webhooksCmd struct {
	Add    webhookAddCmd    `cmd:"" help:"Have events sent to a URL, and print the key of the signatures."`
	List   webhookListCmd   `cmd:"" help:"List webhooks."`
	Set    webhookSetCmd    `cmd:"" help:"Change a webhook."`
	Pause  webhookPauseCmd  `cmd:"" help:"Let what happens wait."`
	Resume webhookResumeCmd `cmd:"" help:"Go on after a pause, where it began."`
	Remove webhookRemoveCmd `cmd:"" help:"Take a webhook away."`
	Test   webhookTestCmd   `cmd:"" help:"Send an event of kind test."`
	Failed webhookFailedCmd `cmd:"" help:"List deliveries that were given up."`
	Resend webhookResendCmd `cmd:"" help:"Send deliveries again that were given up."`
}

type oneWebhook struct {
	storageSettings
	ID string `arg:"" help:"The id that list shows."`
}

// withRegistry runs f with the webhooks of the storage.
func (c *storageSettings) withRegistry(std streams, f func(context.Context, *webhooks.Registry) error) error {
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error { return f(ctx, n.Webhooks) })
}

type webhookAddCmd struct {
	storageSettings
	Name  string      `arg:"" help:"What it is for, such as spam-filter."`
	URL   string      `arg:"" name:"url" help:"Where events are sent, by POST."`
	Kinds []feed.Kind `help:"Of events, separated by commas, such as junk,not-junk; without it all."`
	User  string      `placeholder:"ADDRESS" help:"Only events of this user."`
}

func (c *webhookAddCmd) Run(std streams) error {
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error {
		h := webhooks.Hook{Name: c.Name, URL: c.URL, Kinds: c.Kinds}
		if c.User != "" {
			user, err := userNamed(ctx, n.Mail, c.User)
			if err != nil {
				return err
			}
			h.User = user.ID
		}
		made, err := n.Webhooks.Add(ctx, h)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.err, "webhook %s; the key of its signatures, shown this once:\n", made.ID)
		fmt.Fprintln(std.out, made.Secret)
		return nil
	})
}

type webhookListCmd struct {
	storageSettings
}

func (c *webhookListCmd) Run(std streams) error {
	return c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) error {
		hooks, err := r.Hooks(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tURL\tKINDS\tUSER\tCREATED\tSTATE")
		for _, h := range hooks {
			kinds, user, state := "all", "all", "active"
			if len(h.Kinds) > 0 {
				kinds = strings.Trim(fmt.Sprint(h.Kinds), "[]")
			}
			if (h.User != mailkey.UserID{}) {
				user = h.User.String()
			}
			if h.Paused != "" {
				state = "paused " + h.Paused
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.Name, h.URL, kinds, user,
				h.Created.Format(time.DateTime), state)
		}
		return w.Flush()
	})
}

type webhookSetCmd struct {
	oneWebhook
	Name      string      `help:"Another name."`
	URL       string      `name:"url" help:"Another URL."`
	Kinds     []feed.Kind `help:"Other kinds of events; all stands for all."`
	NewSecret bool        `help:"Make another key of the signatures, and print it."`
}

func (c *webhookSetCmd) Run(std streams) error {
	change := webhooks.HookChange{NewSecret: c.NewSecret}
	if c.Name != "" {
		change.Name = &c.Name
	}
	if c.URL != "" {
		change.URL = &c.URL
	}
	if len(c.Kinds) == 1 && c.Kinds[0] == "all" {
		change.Kinds = new([]feed.Kind)
	} else if len(c.Kinds) > 0 {
		change.Kinds = &c.Kinds
	}
	h, err := c.change(std, change)
	if err == nil && c.NewSecret {
		fmt.Fprintln(std.out, h.Secret)
	}
	return err
}

func (c *oneWebhook) change(std streams, change webhooks.HookChange) (h *webhooks.Hook, err error) {
	err = c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) (err error) {
		h, err = r.Change(ctx, c.ID, change)
		return err
	})
	return h, err
}

type webhookPauseCmd struct{ oneWebhook }

func (c *webhookPauseCmd) Run(std streams) error {
	paused := true
	_, err := c.change(std, webhooks.HookChange{Paused: &paused})
	return err
}

type webhookResumeCmd struct{ oneWebhook }

func (c *webhookResumeCmd) Run(std streams) error {
	paused := false
	_, err := c.change(std, webhooks.HookChange{Paused: &paused})
	return err
}

type webhookRemoveCmd struct{ oneWebhook }

func (c *webhookRemoveCmd) Run(std streams) error {
	return c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) error {
		if err := r.Remove(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "removed %s\n", c.ID)
		return nil
	})
}

type webhookTestCmd struct{ oneWebhook }

func (c *webhookTestCmd) Run(std streams) error {
	return c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) error {
		if err := r.Try(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintln(std.out, "delivered")
		return nil
	})
}

type webhookFailedCmd struct {
	oneWebhook
	Bodies bool `help:"Print what was to be sent, too."`
}

func (c *webhookFailedCmd) Run(std streams) error {
	return c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) error {
		letters, err := r.Letters(ctx, c.ID, 0, c.Bodies)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tUSER\tGIVEN UP\tERROR")
		for _, l := range letters {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.ID, l.User, l.At.Format(time.DateTime), l.Error)
			if c.Bodies {
				fmt.Fprintln(w, l.Body)
			}
		}
		return w.Flush()
	})
}

type webhookResendCmd struct {
	oneWebhook
	Deliveries []string `arg:"" optional:"" help:"Ids that failed shows; without them, all of the webhook, the oldest first."`
}

func (c *webhookResendCmd) Run(std streams) error {
	return c.withRegistry(std, func(ctx context.Context, r *webhooks.Registry) error {
		ids := c.Deliveries
		if len(ids) == 0 {
			letters, err := r.Letters(ctx, c.ID, 0, false)
			if err != nil {
				return err
			}
			for i := len(letters) - 1; i >= 0; i-- {
				ids = append(ids, letters[i].ID)
			}
		}
		var errs []error
		for _, id := range ids {
			if err := r.Resend(ctx, c.ID, id); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", id, err))
			}
		}
		fmt.Fprintf(std.out, "delivered %d of %d\n", len(ids)-len(errs), len(ids))
		return errors.Join(errs...)
	})
}
