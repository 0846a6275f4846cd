package events

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/mailkey"
)

// embeddedPair is the buses of two processes on one data directory.
func embeddedPair(t testing.TB) (first, second *Redis) {
	t.Helper()
	e, err := StartEmbedded(filepath.Join(socketDir(t), "redis.sock"))
	if err != nil {
		t.Fatal(err)
	}
	other := SocketClient(e.ln.Addr().String())
	log := slog.New(slog.DiscardHandler)
	first, second = e.Bus(log), NewRedis(other, log)
	t.Cleanup(func() {
		second.Close()
		other.Close()
		first.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return first, second
}

// maxResyncs is how often a busy machine may keep a process from hearing an event in time, which is
// then told to read everything again. Processes that stand still do so at every event.
const maxResyncs = 3

// Sessions come and go while events pass. Subscribers that stay, in both processes, hear each event
// once, unless the machine itself stood still: a connection without an answer is given up.
func TestSubscribersComeAndGoUnderLoad(t *testing.T) {
	const (
		sessions = 50
		events   = 5000
	)
	first, second := embeddedPair(t)
	users := make([]mailkey.UserID, sessions)
	for i := range users {
		users[i] = mailkey.NewUserID()
	}
	stop := make(chan struct{})
	var churning sync.WaitGroup
	for i, bus := range []*Redis{first, second} {
		for j := range sessions {
			churning.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(j)))
				for {
					select {
					case <-stop:
						return
					default:
					}
					s := bus.Subscribe(users[r.IntN(len(users))])
					select {
					case <-s.C():
					case <-stop:
					}
					s.Close()
				}
			})
		}
	}

	watched := mailkey.NewUserID()
	here, there := first.Subscribe(watched), second.Subscribe(watched)
	defer here.Close()
	defer there.Close()
	for _, s := range []*Subscription{here, there} {
		if ev := receive(t, s); ev.Kind != Resync {
			t.Fatalf("first event: %+v", ev)
		}
	}
	resyncs := 0
	for n := 1; n <= events; n++ {
		for _, ev := range []Event{
			{User: users[n%len(users)], Mailbox: 1, ModSeq: uint64(n), Kind: Changed},
			{User: watched, Mailbox: 1, ModSeq: uint64(n), Kind: New},
		} {
			// The error is about the other process alone, which is then told to read again.
			if err := first.Publish(t.Context(), ev); err != nil {
				t.Logf("event %d: %v", n, err)
			}
		}
		for name, s := range map[string]*Subscription{"this": here, "the other": there} {
			ev := receive(t, s)
			for ev.Kind == New && ev.ModSeq < uint64(n) { // late, after a Resync
				ev = receive(t, s)
			}
			switch {
			case ev.Kind == Resync:
				if resyncs++; resyncs > maxResyncs {
					t.Fatalf("%s process was told to read again %d times, at last at event %d", name, resyncs, n)
				}
			case ev.Kind != New || ev.ModSeq != uint64(n):
				t.Fatalf("%s process hears %+v, not event %d", name, ev, n)
			}
		}
	}
	close(stop)
	churning.Wait()
	for name, b := range map[string]*Redis{"this": first, "the other": second} {
		if st := b.Stats(); st.Connects > 1+uint64(resyncs) {
			t.Errorf("%s process: %+v, %d times told to read again", name, st, resyncs)
		}
	}
}

// receive returns the next event of a subscription.
func receive(t *testing.T, s *Subscription) Event {
	t.Helper()
	select {
	case ev := <-s.C():
		return ev
	case <-time.After(within):
		t.Fatalf("no event within %v", within)
		return Event{}
	}
}

// BenchmarkEventToOtherProcess shows how long events of one process take to a subscriber of
// another while sessions come and go; p50 and p99 beside the mean.
func BenchmarkEventToOtherProcess(b *testing.B) {
	first, second := embeddedPair(b)
	stop := make(chan struct{})
	var churning sync.WaitGroup
	for range 50 {
		churning.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := second.Subscribe(mailkey.NewUserID())
				select {
				case <-s.C(): // Resync, once the channel is confirmed
				case <-stop:
				}
				s.Close()
			}
		})
	}
	user := mailkey.NewUserID()
	s := second.Subscribe(user)
	<-s.C()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		begun := time.Now()
		if err := first.Publish(b.Context(), Event{User: user, Mailbox: 1, Kind: Changed}); err != nil {
			b.Fatal(err)
		}
		<-s.C()
		took = append(took, time.Since(begun))
	}
	close(stop)
	churning.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// What is not a command that events need ends the connection, and nothing else.
func TestEmbeddedRefuses(t *testing.T) {
	first, _ := embeddedPair(t)
	eventually(t, "connected", func() bool { return first.Stats().Connected })
	path := first.client.Options().Addr
	for _, text := range []string{
		"*-5\r\n", "*0\r\n", "*\r\n", "\r\n\r\n", "PING\r\n", "*1\r\n$-5\r\n", "*1\r\n$4\r\nPINGxx",
		"*1\r\n$4\r\nQUIT\r\n",
		"*99999999\r\n", "*1\r\n$99999999\r\n", "*1\r\n$8\r\nFLUSHALL\r\n", "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n",
		"*3\r\n$4\r\nEVAL\r\n$12\r\nwhile 1 do e\r\n$1\r\n0\r\n", "*2\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n",
		strings.Repeat("*", 1000), "*1\n$4\nPING\n",
	} {
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.SetDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		n, err := nc.Read(make([]byte, 100))
		if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: answered with %d octets, %v", text, n, err)
		}
		nc.Close()
	}
	if err := first.client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after hostile clients: %v", err)
	}
	if st := first.Stats(); st.Connects != 1 || !st.Connected {
		t.Errorf("after hostile clients: %+v", st)
	}
}
