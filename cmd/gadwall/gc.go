package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/config"
	"gadwall/internal/maintenance"
	"gadwall/internal/node"
)

// gcCmd deletes contents and blobs that no message uses, beside a running server or without one.
type gcCmd struct {
	storageSettings
	DryRun bool            `help:"Say what there is to delete, and change nothing."`
	Grace  config.Duration `default:"24h" help:"Keep what has been unused for less than this."`
	JSON   bool            `name:"json" help:"Print the result as JSON."`
}

func (c *gcCmd) Run(std streams) error {
	if c.Grace < 0 {
		return usageError{errors.New("--grace: must not be negative")}
	}
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	a := node.Sharing
	if c.DryRun {
		a = node.Looking
	}
	return c.withStorage(std, a, func(ctx context.Context, s *node.Node) error {
		options := maintenance.CollectOptions{Grace: time.Duration(c.Grace), Deletions: true, Orphans: true}
		plan, err := maintenance.PlanCollection(ctx, s.Mail, options)
		if err != nil {
			return err
		}
		if c.DryRun {
			if err := c.print(std.out, gcReport{Plan: &plan}); err != nil || c.JSON {
				return err
			}
			_, err := fmt.Fprintln(std.out,
				"nothing was changed; blobs that only these contents need become unused when they are "+
					"deleted, and are not counted")
			return err
		}
		if !c.JSON {
			if err := printPlan(std.out, &plan); err != nil {
				return err
			}
		}
		progress := startProgress(std, "deleting", "", 0)
		done, err := c.collect(ctx, s, options)
		progress.end()
		return errors.Join(err, c.print(std.out, gcReport{Collected: done}))
	})
}

// collect collects under the lease, so that no scheduled collection does the same at the same time.
func (c *gcCmd) collect(ctx context.Context, s *node.Node,
	options maintenance.CollectOptions) (*maintenance.Collected, error) {
	l, err := s.CollectTask().Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Release(ctx)
	return maintenance.CollectUnder(ctx, l, s.Mail, options, time.Now())
}

// gcReport is what gc prints: one of the two.
type gcReport struct {
	Plan      *maintenance.Plan      `json:"plan,omitempty"`
	Collected *maintenance.Collected `json:"collected,omitempty"`
}

func (c *gcCmd) print(w io.Writer, r gcReport) error {
	switch {
	case c.JSON:
		return json.NewEncoder(w).Encode(r)
	case r.Plan != nil:
		return printPlan(w, r.Plan)
	case r.Collected != nil:
		return printCollected(w, r.Collected)
	}
	return nil
}

func printPlan(w io.Writer, p *maintenance.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tnewly unused\tbytes\tin quarantine\tbytes\tto delete\tbytes\t")
	for _, row := range []struct {
		name string
		plan dedupe.Plan
	}{{"contents", p.Contents}, {"blobs", p.Blobs}, {"orphan chunks", dedupe.Plan{Ready: p.Orphans}}} {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", row.name, row.plan.Fresh.Documents, row.plan.Fresh.Bytes,
			row.plan.Waiting.Documents, row.plan.Waiting.Bytes, row.plan.Ready.Documents, row.plan.Ready.Bytes)
	}
	return t.Flush()
}

func printCollected(w io.Writer, c *maintenance.Collected) error {
	amount := func(a dedupe.Amount, noun string) string {
		return count(a.Documents, noun) + " (" + count(a.Bytes, "byte") + ")"
	}
	text := fmt.Sprintf("deleted %s, %s, %s; put in quarantine %s, %s", amount(c.Contents.Deleted, "content"),
		amount(c.Blobs.Deleted, "blob"), amount(c.Orphans, "orphan chunk"),
		count(c.Contents.Quarantined, "content"), count(c.Blobs.Quarantined, "blob"))
	if c.Contents.Busy > 0 {
		text += fmt.Sprintf("; left %s whose blobs are in use all the time", count(c.Contents.Busy, "content"))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
