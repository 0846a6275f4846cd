package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"gadwall/internal/config"
)

const (
	// progressAfter is how long a command runs before it shows how far it is, progressEvery how
	// often.
	progressAfter = 2 * time.Second
	progressEvery = 500 * time.Millisecond
	// progressWidth is where a line is cut, so that it stays one line.
	progressWidth = 79
)

// A progress shows on a terminal how far a command is: how much is done, of how much, how fast, and
// for how long it will go on. It is one line that is written over and removed in the end. Elsewhere
// than on a terminal it shows nothing. Its methods may be called from any goroutine.
type progress struct {
	out io.Writer
	now func() time.Time

	mu          sync.Mutex
	what        string
	unit        string       // noun of what is counted; "" is bytes
	done, total int64        // total is 0 if it is not known
	measure     func() int64 // counts instead of add, if not nil
	began       time.Time
	shown       bool

	stop    chan struct{}
	running sync.WaitGroup
}

// startProgress shows progress on standard error until end.
func startProgress(std streams, what, unit string, total int64) *progress {
	p := &progress{out: std.err, now: time.Now, what: what, unit: unit, total: total, stop: make(chan struct{})}
	p.began = p.now()
	if isTerminal(std.err) {
		p.running.Go(p.run)
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *progress) run() {
	wait := time.NewTimer(progressAfter)
	defer wait.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-wait.C:
			p.show()
			wait.Reset(progressEvery)
		}
	}
}

// add counts what was done.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
}

// phase begins something else: its name, and how much of it there is and was done.
func (p *progress) phase(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if what != p.what {
		p.what, p.began = what, p.now()
	}
	p.done, p.total = done, total
}

// poll lets f measure how much is done, each time that is shown.
func (p *progress) poll(f func() int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measure = f
}

// end removes the line.
func (p *progress) end() {
	close(p.stop)
	p.running.Wait()
	if p.shown {
		fmt.Fprint(p.out, clearLine)
	}
}

// clearLine goes to the beginning of a terminal's line and removes it (ECMA-48 EL).
const clearLine = "\r\x1b[K"

func (p *progress) show() {
	p.mu.Lock()
	if p.measure != nil {
		p.done = p.measure()
	}
	text := p.line()
	p.shown = true
	p.mu.Unlock()
	fmt.Fprint(p.out, clearLine+text)
}

// line says how far it is.
func (p *progress) line() string {
	spent := p.now().Sub(p.began)
	text := p.what + ": "
	if p.done > 0 {
		switch {
		case p.total <= p.done:
			text += p.amount(p.done)
		case p.unit != "":
			text += fmt.Sprintf("%d of %s", p.done, p.amount(p.total))
		default:
			text += p.amount(p.done) + " of " + p.amount(p.total)
		}
		rate := float64(p.done) / max(spent.Seconds(), 0.001)
		text += fmt.Sprintf(", %s/s", p.amount(int64(rate)))
		if left := p.total - p.done; left > 0 && rate > 0 {
			rest := time.Duration(float64(left) / rate * float64(time.Second))
			text += fmt.Sprintf(", %v left", config.Duration(rest.Round(time.Second)))
		}
	} else {
		text += config.Duration(spent.Round(time.Second)).String()
	}
	if runes := []rune(text); len(runes) > progressWidth {
		text = string(runes[:progressWidth])
	}
	return text
}

func (p *progress) amount(n int64) string {
	if p.unit == "" {
		return bytesText(n)
	}
	return count(n, p.unit)
}

// bytesText writes a size with three digits that say something.
func bytesText(n int64) string {
	size, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1000, u
	}
	if unit == "" {
		return count(n, "byte")
	}
	return fmt.Sprintf("%.3g %s", size, unit)
}

// plurals are those of nouns that do not only take an s.
var plurals = map[string]string{"mailbox": "mailboxes", "index entry": "index entries"}

// count writes a number of things: 1 user, 2 users.
func count[T int | int64 | uint64](n T, noun string) string {
	if n != 1 {
		plural, ok := plurals[noun]
		if !ok {
			plural = noun + "s"
		}
		noun = plural
	}
	return fmt.Sprintf("%d %s", n, strings.TrimSpace(noun))
}
