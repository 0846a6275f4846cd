package pulse

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A Line is a record of the log.
type Line struct {
	Number int64     `json:"number" doc:"It ascends."`
	At     time.Time `json:"at"`
	Level  string    `json:"level" doc:"DEBUG, INFO, WARN or ERROR."`
	Text   string    `json:"text"`
	Attrs  []Attr    `json:"attrs"`
}

// An Attr is a named value of a line.
type Attr struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// lines are the latest ones.
type lines struct {
	mu     sync.Mutex
	ring   []Line // Line.Number n is at n % maxLines, once there are so many
	number int64
}

func (l *lines) add(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	line.Number = l.number
	if len(l.ring) < maxLines {
		l.ring = append(l.ring, line)
		return
	}
	l.ring[(l.number-1)%maxLines] = line
}

// Tail is a slog.Handler that keeps the latest lines of what it passes on.
type Tail struct {
	inner slog.Handler
	lines *lines
	group string // of the names of attributes; ends with a period
	attrs []Attr // of all records
}

var _ slog.Handler = (*Tail)(nil)

// NewTail returns a handler that passes on to another.
func NewTail(inner slog.Handler) *Tail { return &Tail{inner: inner, lines: new(lines)} }

// Enabled implements slog.Handler.
func (t *Tail) Enabled(ctx context.Context, level slog.Level) bool {
	return t.inner.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (t *Tail) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *t
	c.inner, c.attrs = t.inner.WithAttrs(attrs), slices.Clone(t.attrs)
	for _, a := range attrs {
		c.attrs = appendAttr(c.attrs, t.group, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (t *Tail) WithGroup(name string) slog.Handler {
	c := *t
	c.inner = t.inner.WithGroup(name)
	if name != "" {
		c.group = t.group + name + "."
	}
	return &c
}

// Handle implements slog.Handler.
func (t *Tail) Handle(ctx context.Context, r slog.Record) error {
	line := Line{At: r.Time.UTC().Truncate(time.Millisecond), Level: r.Level.String(), Text: cut(r.Message),
		Attrs: slices.Clone(t.attrs)}
	r.Attrs(func(a slog.Attr) bool {
		line.Attrs = appendAttr(line.Attrs, t.group, a)
		return true
	})
	if line.Attrs == nil {
		line.Attrs = []Attr{}
	}
	t.lines.add(line)
	return t.inner.Handle(ctx, r)
}

// appendAttr adds an attribute, and those of a group one by one.
func appendAttr(to []Attr, group string, a slog.Attr) []Attr {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			to = appendAttr(to, group, inner)
		}
		return to
	}
	if len(to) >= maxAttrs || a.Equal(slog.Attr{}) {
		return to
	}
	return append(to, Attr{cut(group + a.Key), cut(value.String())})
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + "…"
}

// Lines returns the lines after a number, the oldest first, at most the latest limit of them.
func (t *Tail) Lines(after int64, limit int) []Line {
	l := t.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	first := max(after+1, l.number-int64(min(limit, len(l.ring)))+1, 1)
	found := []Line{}
	for n := first; n <= l.number; n++ {
		found = append(found, l.ring[(n-1)%maxLines])
	}
	return found
}
