package logins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// written is an authentication log in memory.
type written struct {
	mu      sync.Mutex
	calls   int
	entries map[mailstore.LoginKind]int64
	away    bool
}

func (w *written) write(_ context.Context, list []mailstore.LoginEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.away {
		return errTrouble
	}
	for _, e := range list {
		w.entries[e.LoginKind] += e.Count
	}
	return nil
}

func (w *written) setAway(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (w *written) attempts() (n int64) {
	for _, count := range w.entries {
		n += count
	}
	return n
}

// recording runs a test with a Recorder on a clock of its own.
func recording(t *testing.T, f func(r *Recorder, log *written)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		log := &written{entries: make(map[mailstore.LoginKind]int64)}
		f(NewRecorder(RecorderOptions{Write: log.write, Logger: slog.New(slog.DiscardHandler)}), log)
	})
}

// pass lets the bubble's clock go on. What the Recorder does until then is done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var (
	phone = mailstore.LoginKind{User: mailkey.NewUserID(), Username: "ada@example.com", Protocol: "imap",
		Remote: "192.0.2.1", Result: mailstore.LoginOK}
	guess = mailstore.LoginKind{User: phone.User, Username: "ada@example.com", Protocol: "imap",
		Result: mailstore.LoginWrongPassword}
)

// A client that logs in every minute is one entry a day, and no write a minute.
func TestRecorderCountsWhatIsAlike(t *testing.T) {
	recording(t, func(r *Recorder, log *written) {
		pass(time.Until(time.Now().Truncate(successPeriod).Add(successPeriod)))
		for range 24 * 60 {
			for range 10 {
				r.Record(phone)
			}
			pass(time.Minute)
		}
		if len(log.entries) != 1 || log.attempts() != 24*60*10 || log.calls != 24*60 {
			t.Errorf("%d entries of %d attempts in %d writes", len(log.entries), log.attempts(), log.calls)
		}
		r.Record(phone)
		r.Record(guess)
		pass(failurePeriod)
		r.Record(guess)
		if err := r.Close(); err != nil || len(log.entries) != 4 {
			t.Errorf("%d entries, %v", len(log.entries), err)
		}
	})
}

// What cannot be written is written later; Close writes the rest, and then nothing is pending.
func TestRecorderKeepsWhatCannotBeWritten(t *testing.T) {
	recording(t, func(r *Recorder, log *written) {
		log.setAway(true)
		for range 3 {
			r.Record(phone)
			pass(2 * recordEvery)
		}
		if s := r.Stats(); s.Pending != 1 || s.Written != 0 || s.Dropped != 0 {
			t.Errorf("%+v while the database is away", s)
		}
		log.setAway(false)
		pass(2 * recordEvery)
		if log.attempts() != 3 {
			t.Errorf("%d attempts are written", log.attempts())
		}
		r.Record(phone)
		if err := r.Close(); err != nil || log.attempts() != 4 {
			t.Errorf("%d attempts are written at the end, %v", log.attempts(), err)
		}
		r.Record(phone)
		if s := r.Stats(); s != (RecorderStats{Written: 4, Dropped: 1}) {
			t.Errorf("%+v after the end", s)
		}
	})
	recording(t, func(r *Recorder, log *written) {
		log.setAway(true)
		r.Record(phone)
		if err := r.Close(); !errors.Is(err, errTrouble) {
			t.Errorf("closed without the database: %v", err)
		}
		if s := r.Stats(); s != (RecorderStats{Dropped: 1}) {
			t.Errorf("%+v", s)
		}
	})
}

// Guesses from everywhere, of all names, make a bounded number of entries, and are counted. They take
// no entry from others.
func TestRecorderIsBounded(t *testing.T) {
	recording(t, func(r *Recorder, log *written) {
		n := int64(0)
		for i := range 3 * maxUnknown {
			r.Record(mailstore.LoginKind{Username: fmt.Sprintf("u%d@example.com", i), Remote: fmt.Sprint(i),
				Protocol: "imap", Result: mailstore.LoginNoSuchUser})
			n++
		}
		for i := range 3 * maxFailures {
			g := guess
			g.Remote = fmt.Sprint(i)
			r.Record(g)
			n++
		}
		r.Record(phone)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if entries := len(log.entries); entries != maxUnknown+maxFailures+3 || log.attempts() != n+1 {
			t.Errorf("%d entries of %d attempts", entries, log.attempts())
		}
		several := guess
		several.Remote, several.Period = SeveralAddresses, time.Now().UTC().Truncate(failurePeriod)
		if log.entries[several] != 2*maxFailures {
			t.Errorf("%d further guesses", log.entries[several])
		}
	})
	recording(t, func(r *Recorder, log *written) {
		for i := range 2 * maxPending {
			p := phone
			p.Remote = fmt.Sprint(i)
			r.Record(p)
		}
		if s := r.Stats(); s.Pending != maxPending || s.Dropped != maxPending {
			t.Errorf("%+v", s)
		}
		_ = r.Close()
	})
}
