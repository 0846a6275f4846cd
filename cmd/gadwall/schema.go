package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"gadwall/internal/node"
	"gadwall/internal/schema"
)

// schemaCmd brings a database that exists to the form that this program knows.
type schemaCmd struct {
	Status schemaStatusCmd `cmd:"" help:"Say which version the database has, and what apply would change."`
	Apply  schemaApplyCmd  `cmd:"" help:"Build missing indexes and change documents, beside running servers of this version."`
}

type schemaStatusCmd struct {
	storageSettings
	JSON bool `name:"json" help:"Print the result as JSON."`
}

func (c *schemaStatusCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Looking},
		func(ctx context.Context, n *node.Node) error {
			status, err := n.Schema.Status(ctx)
			if err != nil {
				return err
			}
			if c.JSON {
				return json.NewEncoder(std.out).Encode(status)
			}
			return printSchema(std.out, status)
		})
}

func printSchema(w io.Writer, s *schema.Status) error {
	p := printer{w: w}
	p.line("schema %d; this program knows versions up to %d", s.Version, s.Program)
	if s.Least > s.Version {
		p.line("a migration to schema %d has begun: programs must know it", s.Least)
	}
	for _, ix := range s.Indexes {
		text := "missing"
		switch {
		case ix.Wrong:
			text = "has other keys or options than it should: drop it, then apply"
		case ix.Building && ix.Total > 0:
			text = fmt.Sprintf("is being built: %d of %d", ix.Done, ix.Total)
		case ix.Building:
			text = "is being built"
		case ix.Optional:
			text = "missing; servers run without it, slower"
		}
		p.line("index %s.%s %s (about %s)", ix.Collection, ix.Index, text, count(ix.Documents, "document"))
	}
	for _, m := range s.Migrations {
		p.line("migration to %d, %s: %s", m.Version, m.Name, m.About)
		switch {
		case m.Begun != nil:
			p.line("  begun %s: %d of %d ranges, %d of about %s", m.Begun.Format(time.RFC3339), m.RangesDone, m.Ranges,
				m.Done, count(m.Documents, "document"))
		case m.Collection != "":
			p.line("  reads about %s", count(m.Documents, "document"))
		}
	}
	printCompression(&p, s.Compression)
	for _, i := range s.Instances {
		p.line("running: %s, last seen %s", i.String(), i.Seen.Format(time.RFC3339))
	}
	if s.Complete() {
		p.line("nothing to apply")
	}
	return p.err
}

// printCompression says how collections are compressed, and which could be otherwise.
func printCompression(p *printer, list []schema.CompressionStatus) {
	var own, plain []string
	for _, c := range list {
		switch {
		case c.Compressor != "":
			own = append(own, c.Collection+" "+c.Compressor)
		case c.Wanted != "":
			plain = append(plain, c.Collection+" ("+c.Wanted+")")
		}
	}
	if len(own) > 0 {
		p.line("compressed: %s; all others as the server does by default", strings.Join(own, ", "))
	}
	if len(plain) > 0 {
		p.line("compressed as the server does by default, since it refuses otherwise or they were made before: %s",
			strings.Join(plain, ", "))
	}
}

// printer writes lines, and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

type schemaApplyCmd struct {
	storageSettings
}

func (c *schemaApplyCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Looking},
		func(ctx context.Context, n *node.Node) error {
			progress := startProgress(std, "applying", "document", 0)
			line := progressLine{out: std.err, now: time.Now}
			if isTerminal(std.err) {
				line.live = progress
			}
			err := n.Schema.Apply(ctx, schema.ApplyOptions{Workers: runtime.GOMAXPROCS(0),
				Progress: func(at schema.Progress) { line.step(at.Step, at.Done, at.Total) }})
			progress.end()
			if err != nil {
				return err
			}
			status, err := n.Schema.Status(ctx)
			if err != nil {
				return err
			}
			return printSchema(std.out, status)
		})
}
