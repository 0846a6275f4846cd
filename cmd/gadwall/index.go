package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"text/tabwriter"

	"gadwall/internal/mailstore"
	"gadwall/internal/node"
)

// indexCmd looks after the text index, beside a running server or without one.
type indexCmd struct {
	Status  indexStatusCmd  `cmd:"" help:"Show how much of the mail is in the text index."`
	Rebuild indexRebuildCmd `cmd:"" help:"Make the text index of a user, or of all, anew. Searches go on meanwhile."`
}

type indexStatusCmd struct {
	storageSettings
	Username string `arg:"" optional:"" help:"The user; all if not given."`
	JSON     bool   `name:"json" help:"Write a JSON object per line, one for each user."`
}

// indexStatus is what is printed of a user.
type indexStatus struct {
	Username string `json:"username"`
	Numbers  uint64 `json:"numbers"`
	Indexed  int    `json:"indexed"`
	Compared uint64 `json:"compared"`
	Rows     int    `json:"rows"`
	Blocks   int    `json:"blocks"`
	Damaged  int    `json:"damaged"`
	Bytes    int64  `json:"bytes"`
}

func (c *indexStatusCmd) Run(std streams) error {
	return c.withStorage(std, node.Looking, func(ctx context.Context, n *node.Node) error {
		table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		if !c.JSON {
			fmt.Fprintln(table, "user\tnumbers\tindexed\tcompared\trows\tblocks\tdamaged\tbytes")
		}
		for user, err := range usersNamed(ctx, n.Mail, c.Username) {
			if err != nil {
				return err
			}
			s, err := n.Index.Repairer.Status(ctx, user.ID)
			if err != nil {
				return err
			}
			line := indexStatus{user.Username, s.Numbers, s.Indexed(), s.Compared, s.Rows, s.Blocks, s.Damaged, s.Bytes}
			if c.JSON {
				if err := json.NewEncoder(std.out).Encode(line); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", line.Username, line.Numbers, line.Indexed,
				line.Compared, line.Rows, line.Blocks, line.Damaged, line.Bytes)
		}
		return table.Flush()
	})
}

type indexRebuildCmd struct {
	storageSettings
	Username string `arg:"" optional:"" help:"The user; all if not given."`
}

func (c *indexRebuildCmd) Run(std streams) error {
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error {
		l, err := n.Index.Task().Acquire(ctx)
		if err != nil {
			return err
		}
		defer l.Release(ctx)
		users, mails, err := c.rebuild(ctx, std, n, l.Check)
		if err == nil {
			_, err = fmt.Fprintf(std.out, "indexed %d mails of %d users\n", mails, users)
		}
		return err
	})
}

func (c *indexRebuildCmd) rebuild(
	ctx context.Context, std streams, n *node.Node, check func(context.Context) error,
) (users, mails int, err error) {
	progress := startProgress(std, "indexing", "mail", 0)
	defer progress.end()
	for user, err := range usersNamed(ctx, n.Mail, c.Username) {
		if err != nil {
			return users, mails, err
		}
		done, err := n.Index.Repairer.Rebuild(ctx, user.ID, func(n int) { progress.add(int64(n)) }, check)
		mails += done
		if err != nil {
			return users, mails, err
		}
		users++
	}
	return users, mails, nil
}

// usersNamed iterates over one user, or over all without a name.
func usersNamed(ctx context.Context, s *mailstore.Store, name string) iter.Seq2[*mailstore.User, error] {
	if name == "" {
		return s.Users(ctx)
	}
	return func(yield func(*mailstore.User, error) bool) { yield(userNamed(ctx, s, name)) }
}
