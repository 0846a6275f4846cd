package imap

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"gadwall/internal/heaptest"
	"gadwall/internal/mailstore"
)

// TestExpungeMany: what takes several transactions is told one after the other, in numbers that are
// right at every moment, also if mail arrives in between.
func TestExpungeMany(t *testing.T) {
	t.Parallel()
	const total, keep = 2300, 100 // every so many-th message stays
	for _, traffic := range []bool{false, true} {
		t.Run(fmt.Sprintf("traffic=%t", traffic), func(t *testing.T) {
			srv := newTestServer(t)
			srv.fill(t, total, func(i int) mailstore.Flags {
				if i%keep == keep-1 {
					return 0
				}
				return mailstore.Deleted
			})
			c := srv.login(t)
			known := 0
			follow := func(untagged []string) {
				for _, line := range untagged {
					var n int
					switch {
					case scan(line, "* %d EXISTS", &n) && strings.HasSuffix(line, "EXISTS"):
						if n < known {
							t.Errorf("%s, and there were %d", line, known)
						}
						known = n
					case scan(line, "* %d EXPUNGE", &n) && strings.HasSuffix(line, "EXPUNGE"):
						if n < 1 || n > known {
							t.Errorf("%s of %d messages", line, known)
						}
						known--
					}
				}
			}
			untagged, _ := c.ok("SELECT INBOX")
			if follow(untagged); known != total {
				t.Fatalf("%d messages", known)
			}
			arriving := make(chan struct{})
			arrived := 0
			if traffic {
				go func() {
					defer close(arriving)
					for ; arrived < 20; arrived++ {
						srv.deliver(t, message("new"), "")
					}
				}()
			} else {
				close(arriving)
			}
			c.send("x EXPUNGE\r\n")
			var status string
			untagged, status = c.until("x")
			if !strings.HasPrefix(status, "OK") {
				t.Fatal(status)
			}
			follow(untagged)
			<-arriving
			news, _ := c.ok("NOOP")
			follow(news)
			if want := total/keep + arrived; known != want {
				t.Errorf("the client knows of %d messages, want %d", known, want)
			}
			present, _ := c.ok("UID SEARCH ALL")
			want := []string{"* SEARCH"}
			for i := keep; i <= total; i += keep {
				want = append(want, fmt.Sprint(i))
			}
			for i := range arrived {
				want = append(want, fmt.Sprint(total+1+i))
			}
			if got := strings.Fields(strings.Join(present, " ")); !slices.Equal(got,
				strings.Fields(strings.Join(want, " "))) {
				t.Errorf("left: %q", got)
			}
			if traffic {
				return
			}
			// Each transaction's from the highest number down; the next ones begin higher again.
			runs, last := 0, 0
			for _, line := range untagged {
				var n int
				if !scan(line, "* %d EXPUNGE", &n) {
					t.Fatalf("%q in between", line)
				}
				if n >= last {
					runs++
				}
				last = n
			}
			if runs != 3 {
				t.Errorf("told in %d parts, want one for each thousand", runs)
			}
		})
	}
}

// TestExpungeWatched: a session in IDLE follows what another one expunges in several transactions,
// in numbers that are right at every moment.
func TestExpungeWatched(t *testing.T) {
	t.Parallel()
	const total, keep = 2300, 7
	srv := newTestServer(t)
	srv.fill(t, total, func(i int) mailstore.Flags {
		if i%keep == keep-1 {
			return 0
		}
		return mailstore.Deleted
	})
	c := srv.login(t)
	c.ok("SELECT INBOX")
	w := srv.watch(t)
	c.ok("EXPUNGE")
	left := total / keep
	if n := w.expunged(t, total-left); n != left {
		t.Errorf("%d messages are left to the watcher, %d there are", n, left)
	}
	w.send("DONE\r\n")
	w.until("w")
	present, _ := w.ok("UID SEARCH ALL")
	fetched, _ := w.ok("FETCH 1:* (UID)")
	if len(fetched) != left || len(strings.Fields(present[0])) != left+2 {
		t.Errorf("%d messages by number, want %d; %.60s", len(fetched), left, present)
	}
	for i, line := range fetched {
		if want := fmt.Sprintf("* %d FETCH (UID %d)", i+1, (i+1)*keep); line != want {
			t.Fatalf("%s, want %s", line, want)
		}
	}
}

// BenchmarkExpungeWatched expunges a mailbox, while so many sessions are in IDLE on it and read
// what they are told, and reports how far the heap rose at most, clients and embedded database (in
// memory) included.
func BenchmarkExpungeWatched(b *testing.B) {
	const total = 50_000
	for _, watchers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				srv := newTestServer(b)
				srv.fill(b, total, func(int) mailstore.Flags { return mailstore.Deleted })
				c := srv.login(b)
				c.ok("SELECT INBOX")
				var wg sync.WaitGroup
				for range watchers {
					w := srv.watch(b)
					wg.Go(func() { w.expunged(b, total) })
				}
				before := heaptest.Settled()
				peak := heaptest.Watch()
				b.StartTimer()
				c.ok("EXPUNGE")
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64((peak().Objects-before.Objects)>>10)/1024, "heap-MiB")
				b.StartTimer()
			}
		})
	}
}

// A watcher is a session in IDLE on the inbox.
type watcher struct {
	*testClient
	messages int
}

func (s *testServer) watch(t testing.TB) *watcher {
	t.Helper()
	w := &watcher{testClient: s.login(t)}
	untagged, _ := w.ok("SELECT INBOX")
	for _, line := range untagged {
		if strings.HasSuffix(line, " EXISTS") && !scan(line, "* %d EXISTS", &w.messages) {
			t.Fatal(line)
		}
	}
	w.send("w IDLE\r\n")
	if line := w.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatal(line)
	}
	return w
}

// expunged reads until n messages were expunged, and returns how many are left.
func (w *watcher) expunged(t testing.TB, n int) int {
	for ; n > 0; n-- {
		line, err := w.Response()
		if err != nil {
			t.Errorf("%d more to be told: %v", n, err)
			return w.messages
		}
		var seq int
		if !scan(line, "* %d EXPUNGE", &seq) || seq < 1 || seq > w.messages {
			t.Errorf("%q, of %d messages", line, w.messages)
			return w.messages
		}
		w.messages--
	}
	return w.messages
}

// fill delivers n messages of one content.
func (s *testServer) fill(t testing.TB, n int, flags func(i int) mailstore.Flags) {
	t.Helper()
	box, err := s.store.MailboxByPath(t.Context(), s.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for first := 0; first < n; first += mailstore.MaxRecipients {
		list := make([]mailstore.Delivery, min(n-first, mailstore.MaxRecipients))
		w := s.contents.NewWriter(t.Context())
		if _, err := io.WriteString(w, message("many")); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(t.Context(), len(list))
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			list[i] = mailstore.Delivery{Mailbox: box.Key, Magic: stored.Magics[i], Flags: flags(first + i)}
		}
		results, err := s.store.Deliver(context.WithoutCancel(t.Context()), stored, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}

// scan reads a response that is as the format says.
func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}
