package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gadwall/internal/mailstore"
)

type userExpireCmd struct {
	oneUser
	Mailbox string `arg:"" help:"Path of the mailbox."`
	Days    string `arg:"" help:"Days, as 30 or 30d; never; or default: what the settings of the server say."`
}

// Run sets, or takes back, the expiry of a mailbox.
func (c *userExpireCmd) Run(std streams) error {
	days, err := parseDays(c.Days)
	if err != nil {
		return usageError{err}
	}
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		box, err := s.MailboxByPath(ctx, user.ID, c.Mailbox)
		if err == nil {
			err = s.SetExpiry(ctx, box.Key, days)
		}
		if err != nil {
			return err
		}
		text := "as the settings of the server say"
		switch {
		case days != nil && *days == 0:
			text = "never"
		case days != nil:
			text = fmt.Sprintf("after %d days", *days)
		}
		_, err = fmt.Fprintf(std.out, "messages of %s in %s expire %s\n", user.Username, box.Path, text)
		return err
	})
}

// parseDays reads a number of days; it is nil for the default, and 0 for never.
func parseDays(text string) (*int64, error) {
	switch text {
	case "default":
		return nil, nil
	case "never":
		return new(int64), nil
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "d"), 10, 64)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%q is neither a number of days, nor never, nor default", text)
	}
	return &n, nil
}
