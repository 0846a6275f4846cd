package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gadwall/internal/maintenance"
	"gadwall/internal/node"
)

// progressInterval is how often a check says how far it is.
const progressInterval = 10 * time.Second

// store checks what is stored: mailboxes, messages, contents, blobs, and how they refer to each
// other.
func (c *checkCmd) store(std streams) error {
	settings := storageSettings{Storage: c.Storage, Log: c.Log}
	return settings.withStorage(std, node.Looking, func(ctx context.Context, s *node.Node) error {
		if c.Offline && c.Embedded() && s.Embedded == nil {
			return fmt.Errorf(
				"--offline: another process has %s open, and mail that it is storing would be lost",
				c.DataDir)
		}
		out := bufio.NewWriter(std.out)
		report := &checkReport{out: out, json: c.JSON}
		progress := progressLine{out: std.err, now: time.Now}
		if isTerminal(std.err) {
			progress.live = startProgress(std, "checking", "document", 0)
			defer progress.live.end()
		}
		sum, err := maintenance.CheckByHand(ctx, s.Mail, maintenance.CheckOptions{
			Repair:   c.Repair,
			Deep:     c.Deep,
			Offline:  c.Offline,
			Found:    report.finding,
			Progress: progress.show,
			Wait:     progress.wait,
			Redis:    s.Redis,
			TempSize: int64(c.CheckTempSize),
		})
		if err != nil {
			if ctx.Err() != nil {
				err = errors.New("interrupted: what was found until then stands, but it is not all; " +
					"in a large store the same command goes on from here")
			}
			return errors.Join(err, report.err, out.Flush())
		}
		report.summary(sum)
		if err := errors.Join(report.err, out.Flush()); err != nil {
			return err
		}
		switch {
		case sum.Damaged > 0:
			return exitError(exitDamaged)
		case sum.Repaired > 0:
			return exitError(exitRepaired)
		}
		return nil
	})
}

// checkReport writes findings as they come: lines, or a JSON object per line and the summary last.
type checkReport struct {
	out  *bufio.Writer
	json bool
	err  error // of writing
}

func (r *checkReport) write(text string, object any) {
	if r.json {
		b, err := json.Marshal(object)
		r.err = errors.Join(r.err, err)
		text = string(b)
	}
	if _, err := fmt.Fprintln(r.out, text); err != nil && r.err == nil {
		r.err = err
	}
}

func (r *checkReport) finding(f maintenance.Finding) {
	var text strings.Builder
	text.WriteString("damaged: ")
	if f.Repaired {
		text.Reset()
		text.WriteString("repaired: ")
	}
	text.WriteString(f.Kind)
	for _, s := range []struct{ name, value string }{
		{"user", cmp.Or(f.Username, f.User)}, {"mailbox", f.Mailbox}, {"path", f.Path},
		{"content", f.Content}, {"blob", f.Blob}, {"file", f.File},
	} {
		if s.value != "" {
			fmt.Fprintf(&text, " %s=%s", s.name, s.value)
		}
	}
	if f.UID != 0 {
		fmt.Fprintf(&text, " uid=%d", f.UID)
	}
	if f.LastUID != 0 {
		fmt.Fprintf(&text, ":%d", f.LastUID)
	}
	if f.Detail != "" {
		text.WriteString(": " + f.Detail)
	}
	r.write(text.String(), f)
}

// checkSummary is the last line of a check.
type checkSummary struct {
	Result string `json:"result"`
	*maintenance.Checked
	Undecided int64 `json:"undecided"`
}

func (r *checkReport) summary(sum *maintenance.Checked) {
	s := checkSummary{Result: "clean", Checked: sum, Undecided: sum.Undecided()}
	switch {
	case sum.Damaged > 0:
		s.Result = "damaged"
	case sum.Repaired > 0:
		s.Result = "repaired"
	}
	var kinds []string
	for kind, n := range sum.Found {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(kinds)
	text := fmt.Sprintf("%s: %s, %s, %s, %s, %s", s.Result, count(sum.Mail.Users, "user"),
		count(sum.Mail.Mailboxes, "mailbox"), count(sum.Mail.Messages, "message"),
		count(sum.Contents.Documents, "content"), count(sum.Blobs.Documents, "blob"))
	if len(kinds) > 0 {
		text += fmt.Sprintf("; repaired %d, damaged %d: %s", sum.Repaired, sum.Damaged, strings.Join(kinds, ", "))
	}
	if s.Lost() {
		text += "; bring the mail that is named back from a backup: gadwall restore DIR --user NAME --as PATH"
	}
	if s.Undecided > 0 {
		text += fmt.Sprintf("; %d in use just now, to be looked at by another check", s.Undecided)
	}
	r.write(text, s)
}

// progressLine writes now and then how far a check or another command is, and how long its phase will take at that
// rate.
type progressLine struct {
	out   io.Writer
	live  *progress // on a terminal, instead of lines
	now   func() time.Time
	phase string
	began time.Time // the phase
	last  time.Time // a line was written
}

// wait says that the check waits, and waits.
func (p *progressLine) wait(ctx context.Context, d time.Duration) error {
	text := fmt.Sprintf("something differs: waiting for %v, so that changes under way are not taken for damage", d)
	if p.live != nil {
		p.live.phase(text, 0, 0)
	} else {
		fmt.Fprintln(p.out, text)
	}
	return maintenance.Rest(ctx, d)
}

func (p *progressLine) show(at maintenance.Progress) {
	p.step(fmt.Sprintf("%d/%d %s", at.Number, at.Of, at.Phase), at.Done, at.Total)
}

func (p *progressLine) step(phase string, done, total int64) {
	if p.live != nil {
		p.live.phase(phase, done, total)
		return
	}
	now := p.now()
	if phase != p.phase {
		p.phase, p.began, p.last = phase, now, now
		fmt.Fprintf(p.out, "%s: about %d\n", phase, total)
		return
	}
	if now.Sub(p.last) < progressInterval || done <= 0 {
		return
	}
	p.last = now
	line := fmt.Sprintf("%s: %d", phase, done)
	if total > done {
		rest := time.Duration(float64(now.Sub(p.began)) / float64(done) * float64(total-done))
		line += fmt.Sprintf(" of about %d, about %v left", total, rest.Round(time.Second))
	}
	fmt.Fprintln(p.out, line)
}
