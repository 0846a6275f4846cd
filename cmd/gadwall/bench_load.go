package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gadwall/bench"
	results "gadwall/bench/result"
	"gadwall/bench/stored"
	"gadwall/bench/workload"
)

// benchLoad has the flags of commands that run workloads.
type benchLoad struct {
	Users       int     `default:"4" help:"How many users there are."`
	Messages    int     `default:"1000" help:"Messages in the folder of each user, and in a repeat of ingest and append."`
	Connections int     `default:"4" help:"Connections at a time."`
	Calls       int64   `placeholder:"N" help:"Calls of a repeat of the other workloads; by default as many as suit each."`
	Rate        float64 `placeholder:"N" help:"Calls a second, due at fixed times whatever the server does; without it, each connection calls as soon as it has its answer."`
	Repeats     int     `default:"3" help:"How often each step is measured."`
	Idle        int     `default:"200" help:"Connections of the workload idle."`
	BigMail     int64   `default:"200000000" placeholder:"BYTES" help:"Size of the mail of the workload bigmail."`
	benchMail
	Settle time.Duration `default:"12s" placeholder:"TIME" help:"How long the size of a data directory stays the same before it counts, and the memory of a server does not fall."`
	Mail   string        `placeholder:"PATH" help:"Use this mail instead of generated mail: an mbox, a Maildir, or a directory with a message in each file."`
	Out    string        `placeholder:"FILE" help:"Append a line of JSON for each measurement."`

	stored *stored.Mail // that of --mail, once it was checked
}

// check also looks at the names of workloads.
func (c *benchLoad) check(names []string) error {
	if err := workload.Known(names); err != nil {
		return fmt.Errorf("%w; --list names all", err)
	}
	if _, err := c.corpus(); err != nil {
		return err
	}
	if c.Mail != "" && c.stored == nil {
		var err error
		if c.stored, err = stored.Open(c.Mail); err != nil {
			return fmt.Errorf("--mail: %w", err)
		}
	}
	o := c.options()
	return o.Check()
}

func (c *benchLoad) options() workload.Options {
	corpus, _ := c.corpus() // checked before
	o := workload.Options{
		Corpus: corpus, Users: c.Users, Messages: c.Messages,
		Connections: c.Connections, Calls: c.Calls, Rate: c.Rate, Repeats: c.Repeats,
		Idle: c.Idle, BigMail: c.BigMail, Settle: c.Settle, Run: strings.ToLower(rand.Text()[:10]),
	}
	if c.AttachmentSize != bench.UsualFileBytes {
		o.Params = map[string]float64{workload.AttachmentBytes: float64(c.AttachmentSize)}
	}
	if c.stored != nil {
		o.Mail = c.stored
	}
	return o
}

// resultLines keeps the lines of a run, and writes them to --out.
type resultLines struct {
	lines []*results.Line
	file  *os.File // nil without --out
}

func (c *benchLoad) open() (*resultLines, error) { return openResults(c.Out) }

// openResults appends to a file; name may be empty.
func openResults(name string) (*resultLines, error) {
	if name == "" {
		return new(resultLines), nil
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	return &resultLines{file: file}, err
}

func (r *resultLines) write(l *results.Line) error {
	r.lines = append(r.lines, l)
	if r.file == nil {
		return nil
	}
	return results.NewWriter(r.file).Write(l)
}

func (r *resultLines) close() error {
	if r.file == nil {
		return nil
	}
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
