package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/quota"
)

type quotaCmd struct {
	Show   quotaShowCmd   `cmd:"" help:"Show limits and usage of a user or of all."`
	Set    quotaSetCmd    `cmd:"" help:"Set the limits of a user."`
	Recalc quotaRecalcCmd `cmd:"" help:"Compare counters and usage with the messages, and correct them. Mail comes and goes meanwhile."`
}

type quotaShowCmd struct {
	storageSettings
	Username string `arg:"" optional:"" help:"The user; all if not given."`
	Space    bool   `help:"Look at all messages to tell how much is stored only once."`
	JSON     bool   `name:"json" help:"Write a JSON object per line: one for each user, and the total last."`
}

func (c *quotaShowCmd) Run(std streams) error {
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error {
		s := n.Mail
		// A table on a terminal is the progress itself.
		progress := &progress{stop: make(chan struct{})}
		if !isTerminal(std.out) {
			progress = startProgress(std, "reading", "user", estimateUsers(ctx, n))
		}
		defer progress.end()
		out := bufio.NewWriter(std.out)
		report := &quotaReport{out: out, json: c.JSON, progress: progress}
		if c.Space {
			report.store = s
		}
		if err := c.report(ctx, s, report); err != nil {
			return errors.Join(err, out.Flush())
		}
		return out.Flush()
	})
}

func (c *quotaShowCmd) report(ctx context.Context, s *mailstore.Store, report *quotaReport) error {
	if c.Username != "" {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
		return report.user(ctx, user)
	}
	for user, err := range s.Users(ctx) {
		if err == nil {
			err = report.user(ctx, user)
		}
		if err != nil {
			return err
		}
	}
	return report.end(ctx)
}

// quotaReport writes what quota show shows, a user at a time, whatever their number.
type quotaReport struct {
	out      io.Writer
	json     bool
	store    *mailstore.Store // to look at messages; else nil
	progress *progress
	users    int64
	total    quota.Usage
	space    mailstore.Space // sum
}

// Columns of the table. A longer name shifts its line.
const (
	quotaHeader = "%-32s %15s %11s %5s %10s %11s %5s"
	quotaLine   = "%-32s %15d %11s %5s %10d %11s %5s"
	spaceHeader = " %15s %15s %6s"
	spaceLine   = " %15d %15d %5.1f%%"
)

func (r *quotaReport) user(ctx context.Context, u *mailstore.User) error {
	var space mailstore.Space
	if r.store != nil {
		var err error
		if space, err = r.store.Space(ctx, u.ID); err != nil {
			return fmt.Errorf("%s: %w", u.Username, err)
		}
	}
	r.users++
	r.progress.add(1)
	r.total = r.total.Add(u.Usage)
	r.space = r.space.Add(space)
	if r.json {
		return r.object(userQuota{
			User: u.Username, ID: hex.EncodeToString(u.ID[:]),
			Storage: newResource(u.Usage.Bytes, u.Limits.Bytes, u.Own.Bytes),
			Message: newResource(u.Usage.Messages, u.Limits.Messages, u.Own.Messages),
			Space:   r.share(space),
		})
	}
	if r.users == 1 {
		line := fmt.Sprintf(quotaHeader, "USER", "BYTES", "LIMIT", "USED", "MESSAGES", "LIMIT", "USED")
		if r.store != nil {
			line += fmt.Sprintf(spaceHeader, "DECODED", "UNIQUE", "SAVED")
		}
		if err := r.line(line); err != nil {
			return err
		}
	}
	line := fmt.Sprintf(quotaLine, u.Username, u.Usage.Bytes,
		mark(config.StorageLimit(u.Limits.Bytes), u.Own.Bytes), percent(u.Usage.Bytes, u.Limits.Bytes),
		u.Usage.Messages, mark(config.MessageLimit(u.Limits.Messages), u.Own.Messages),
		percent(u.Usage.Messages, u.Limits.Messages))
	if r.store != nil {
		line += fmt.Sprintf(spaceLine, space.Decoded, space.Unique, 100*space.Saved())
	}
	return r.line(line)
}

// mark tells a limit that is not the user's own.
func mark(limit fmt.Stringer, own int64) string {
	if own == quota.Default {
		return limit.String() + "*"
	}
	return limit.String()
}

func percent(usage, limit int64) string {
	if limit <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(usage)/float64(limit))
}

// end writes the sum of all users.
func (r *quotaReport) end(ctx context.Context) error {
	space := r.space
	if r.store != nil {
		var err error
		if space, err = r.store.DistinctSpace(ctx, space); err != nil {
			return err
		}
	}
	if r.json {
		return r.object(
			totalQuota{
				Total: total{Users: r.users, Bytes: r.total.Bytes, Messages: r.total.Messages, Space: r.share(space)},
			},
		)
	}
	line := fmt.Sprintf("%s, %s, %s. Limits with * are the default.",
		count(r.users, "user"), count(r.total.Messages, "message"), count(r.total.Bytes, "byte"))
	if r.store != nil {
		line += fmt.Sprintf("\nTogether %d bytes decoded, of which %d are unique: deduplication saves %.1f%%.",
			space.Decoded, space.Unique, 100*space.Saved())
	}
	return r.line(line)
}

func (r *quotaReport) line(text string) error {
	_, err := fmt.Fprintln(r.out, text)
	return err
}

func (r *quotaReport) share(s mailstore.Space) *share {
	if r.store == nil {
		return nil
	}
	return &share{s.Logical, s.Decoded, s.Unique, s.Saved()}
}

func (r *quotaReport) object(v any) error { return json.NewEncoder(r.out).Encode(v) }

// userQuota is a line of quota show --json.
type userQuota struct {
	User    string   `json:"user"`
	ID      string   `json:"id"`
	Storage resource `json:"storage"` // octets
	Message resource `json:"message"`
	Space   *share   `json:"space,omitempty"`
}

// share is a mailstore.Space.
type share struct {
	Logical int64   `json:"logicalBytes"`
	Decoded int64   `json:"decodedBytes"`
	Unique  int64   `json:"uniqueBytes"`
	Saved   float64 `json:"savedByDeduplication"` // a fraction
}

type resource struct {
	Usage int64  `json:"usage"`
	Limit *int64 `json:"limit"` // in force; null is none
	Own   any    `json:"own"`   // a number, "unlimited" or "default"
}

func newResource(usage, limit, own int64) resource {
	r := resource{Usage: usage, Own: own}
	if limit > 0 {
		r.Limit = &limit
	}
	if own <= 0 {
		r.Own = config.MessageLimit(own).String()
	}
	return r
}

// totalQuota is the last line of quota show --json.
type totalQuota struct {
	Total total `json:"total"`
}

type total struct {
	Users    int64  `json:"users"`
	Bytes    int64  `json:"bytes"`
	Messages int64  `json:"messages"`
	Space    *share `json:"space,omitempty"`
}

type quotaSetCmd struct {
	storageSettings
	Username string               `arg:"" help:"The user."`
	Storage  *config.StorageLimit `placeholder:"SIZE" help:"Most that the user may store, e.g. 10GiB, or unlimited, or default: what --quota-default-storage says, also later. Unchanged if not given."`
	Messages *config.MessageLimit `placeholder:"N" help:"Most messages that the user may have, or unlimited, or default. Unchanged if not given."`
}

func (c *quotaSetCmd) Run(std streams) error {
	if c.Storage == nil && c.Messages == nil {
		return usageError{errors.New("nothing to set: give --storage or --messages")}
	}
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
		account, err := s.ChangeLimits(ctx, user.ID, func(l quota.Limits) quota.Limits {
			if c.Storage != nil {
				l.Bytes = int64(*c.Storage)
			}
			if c.Messages != nil {
				l.Messages = int64(*c.Messages)
			}
			return l
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(
			std.out,
			"%s may store %s in %s messages and stores %s in %d\n",
			user.Username,
			mark(config.StorageLimit(account.Limits.Bytes), account.Own.Bytes),
			mark(config.MessageLimit(account.Limits.Messages), account.Own.Messages),
			count(account.Usage.Bytes, "byte"),
			account.Usage.Messages,
		)
		return nil
	})
}

type quotaRecalcCmd struct {
	storageSettings
	Username string `arg:"" optional:"" help:"The user."`
	All      bool   `help:"All users."`
	DryRun   bool   `help:"Only tell what is wrong."`
	JSON     bool   `name:"json" help:"Print a JSON object per line: one for each user of whom something was wrong, and the sum last."`
}

func (c *quotaRecalcCmd) Run(std streams) error {
	if c.All == (c.Username != "") {
		return usageError{errors.New("give a user or --all")}
	}
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error {
		s := n.Mail
		sum := recalculated{Corrected: !c.DryRun}
		progress := startProgress(std, "comparing", "user", estimateUsers(ctx, n))
		out := bufio.NewWriter(std.out)
		err := c.each(ctx, s, func(user *mailstore.User) error {
			r, err := s.Recalculate(ctx, user.ID, !c.DryRun)
			if c.All && errors.Is(err, mailstore.ErrNoSuchUser) {
				return nil // deleted meanwhile
			}
			if err != nil {
				return fmt.Errorf("%s: %w", user.Username, err)
			}
			progress.add(1)
			sum.Users++
			if r.Clean() {
				return nil
			}
			sum.Wrong++
			if c.JSON {
				return json.NewEncoder(out).Encode(newRecalculatedUser(user.Username, r))
			}
			return printRecalculation(out, user.Username, r)
		})
		progress.end()
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if c.JSON {
			err = json.NewEncoder(out).Encode(struct {
				Total recalculated `json:"total"`
			}{sum})
		} else {
			verb := "corrected"
			if c.DryRun {
				verb = "to correct"
			}
			_, err = fmt.Fprintf(out, "%s compared, %d %s\n", count(sum.Users, "user"), sum.Wrong, verb)
		}
		return errors.Join(err, out.Flush())
	})
}

// estimateUsers is about how many users there are; 0 if the database does not say.
func estimateUsers(ctx context.Context, n *node.Node) int64 {
	users, err := n.Database.Collection("users").EstimatedDocumentCount(ctx)
	if err != nil {
		return 0
	}
	return users
}

// recalculated is the last line of quota recalc --json.
type recalculated struct {
	Users     int  `json:"users"`
	Wrong     int  `json:"wrong"`
	Corrected bool `json:"corrected"`
}

// recalculatedUser is another line of it.
type recalculatedUser struct {
	User      string                `json:"user"`
	Mailboxes []recalculatedMailbox `json:"mailboxes"`
	Usage     quotaDifference       `json:"usageDifference"` // actual usage less recorded usage
}

type recalculatedMailbox struct {
	Path             string `json:"path"`
	RecordedMessages int64  `json:"recordedMessages"`
	RecordedBytes    int64  `json:"recordedBytes"`
	Messages         int64  `json:"messages"`
	Bytes            int64  `json:"bytes"`
}

type quotaDifference struct {
	Bytes    int64 `json:"bytes"`
	Messages int64 `json:"messages"`
}

func newRecalculatedUser(name string, r *mailstore.Recalculation) recalculatedUser {
	u := recalculatedUser{User: name, Mailboxes: []recalculatedMailbox{},
		Usage: quotaDifference{-r.Usage.Bytes, -r.Usage.Messages}}
	for _, m := range r.Mailboxes {
		u.Mailboxes = append(u.Mailboxes, recalculatedMailbox{m.Path,
			m.Recorded.Messages, m.Recorded.Size, m.Actual.Messages, m.Actual.Size})
	}
	return u
}

func (c *quotaRecalcCmd) each(ctx context.Context, s *mailstore.Store, f func(*mailstore.User) error) error {
	if !c.All {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
		return f(user)
	}
	for user, err := range s.Users(ctx) {
		if err == nil {
			err = f(user)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printRecalculation tells what was wrong, and nothing of users of whom nothing was.
func printRecalculation(out io.Writer, name string, r *mailstore.Recalculation) error {
	for _, m := range r.Mailboxes {
		if _, err := fmt.Fprintf(out, "%s: mailbox %q recorded %s; there are %s\n", name, m.Path,
			counters(m.Recorded), counters(m.Actual)); err != nil {
			return err
		}
	}
	if r.Usage != (quota.Usage{}) {
		if _, err := fmt.Fprintf(out, "%s: usage was off by %+d bytes and %+d messages\n", name,
			-r.Usage.Bytes, -r.Usage.Messages); err != nil {
			return err
		}
	}
	return nil
}

func counters(c mailstore.Counters) string {
	return fmt.Sprintf("%s (%d unseen, %d deleted) of %s (%d deleted)",
		count(c.Messages, "message"), c.Unseen, c.Deleted, count(c.Size, "byte"), c.DeletedSize)
}
