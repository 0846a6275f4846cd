package sparselog

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// output is what was logged. Timers of synctest and the test are not ordered by anything else.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// lines returns a logger, and a function that returns what was logged since its last call.
func lines() (*slog.Logger, func() []string) {
	var out output
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime}))
	return log, func() []string {
		out.mu.Lock()
		defer out.mu.Unlock()
		defer out.buf.Reset()
		return strings.FieldsFunc(out.buf.String(), func(r rune) bool { return r == '\n' })
	}
}

func TestOneLineAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := lines()
		l := New(time.Minute)
		defer l.Close()
		want := func(lines ...string) {
			t.Helper()
			synctest.Wait()
			if got := logged(); strings.Join(got, "\n") != strings.Join(lines, "\n") {
				t.Errorf("logged %q, want %q", got, lines)
			}
		}
		for i := range 1000 {
			l.Warn(log, "refused", "client", i)
		}
		l.Info(log, "other")
		want(`level=WARN msg=refused client=0`, `level=INFO msg=other`)
		time.Sleep(time.Minute)
		want(`level=WARN msg=refused client=999 times=999`)
		l.Warn(log, "refused", "client", "x") // in the interval of that line
		want()
		time.Sleep(time.Minute)
		want(`level=WARN msg=refused client=x times=1`)
		time.Sleep(time.Minute)
		want()
		l.Warn(log, "refused", "client", "y") // after an interval without any
		want(`level=WARN msg=refused client=y`)
	})
}

// Close writes what is held back; nothing is logged twice or lost.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := lines()
		l := New(time.Minute)
		l.Warn(log, "a")
		l.Warn(log, "a")
		l.Close()
		l.Warn(log, "a")
		time.Sleep(time.Hour)
		if got := logged(); len(got) != 3 || got[1] != "level=WARN msg=a times=1" {
			t.Errorf("logged %q", got)
		}
	})
}

func TestConcurrentEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logged := lines()
		l := New(time.Minute)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range 100 {
					l.Warn(log, "a")
				}
			})
		}
		wg.Wait()
		l.Close()
		if got := logged(); len(got) != 2 || got[1] != "level=WARN msg=a times=999" {
			t.Errorf("logged %q", got)
		}
	})
}
