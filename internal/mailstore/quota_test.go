package mailstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Of 64 deliveries at the same time by four instances into the last free bytes, as many are stored
// as fit.
func TestConcurrentDeliveriesIntoTheLastBytes(t *testing.T) {
	const writers = 64
	size := int64(len(mail(1)))
	db := dbtest.Database(t)
	envs := make([]*env, 4)
	for i := range envs {
		envs[i] = openEnvWith(t, db, Options{Quota: quota.Policy{Limits: quota.Limits{Bytes: 13*size - 1}}})
	}
	first := envs[0]
	for _, tt := range []struct {
		name   string
		limits quota.Limits
		room   int64
	}{
		{"bytes", quota.Limits{Bytes: 24*size - 1}, 23},
		{"messages", quota.Limits{Bytes: quota.Unlimited, Messages: 7}, 7},
		{"policy", quota.Limits{}, 12},
		{"everything fits", quota.Limits{Bytes: writers * size}, writers},
		{"nothing fits", quota.Limits{Bytes: size - 1}, 0},
	} {
		u := first.user(t)
		inbox := first.box(t, u, Inbox).Key
		if err := first.SetLimits(t.Context(), u.ID, tt.limits); err != nil {
			t.Fatal(err)
		}
		stored := first.content(t, mail(1), writers)
		var ok, over atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range writers {
			wg.Go(func() {
				<-start
				got, err := envs[i%len(envs)].Deliver(t.Context(), stored,
					[]Delivery{{Mailbox: inbox, Magic: stored.Magics[i]}})
				switch {
				case err != nil:
					t.Error(err)
				case got[0].Err == nil:
					ok.Add(1)
				case errors.Is(got[0].Err, quota.ErrOverQuota):
					over.Add(1)
				default:
					t.Error(got[0].Err)
				}
			})
		}
		close(start)
		wg.Wait()
		if ok.Load() != tt.room || over.Load() != writers-tt.room {
			t.Errorf("%s: %d stored and %d refused, want %d stored of %d", tt.name, ok.Load(),
				over.Load(), tt.room, writers)
		}
		got, usage, err := first.Quota(t.Context(), u.ID)
		if err != nil || !got.Fit(quota.Usage{}, usage) || got.Fit(usage, quota.Usage{Bytes: size, Messages: 1}) {
			t.Errorf("%s: usage %+v of %+v, %v", tt.name, usage, got, err)
		}
		first.checkConsistent(t, u)
		if err := first.DeleteUser(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A level is told of once, by whatever charge crosses it, and again after the usage was below it.
func TestQuotaWarnings(t *testing.T) {
	var log bytes.Buffer
	e := openEnvWith(t, dbtest.Database(t), Options{
		Quota:  quota.Policy{Limits: quota.Limits{Messages: 10}, Levels: quota.Levels{50, 90}},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	u := e.user(t)
	inbox, archive := e.box(t, u, Inbox).Key, e.box(t, u, "Archive").Key
	sub := e.bus.Subscribe(u.ID)
	defer sub.Close()
	expect := func(after string, want ...events.QuotaLevel) {
		t.Helper()
		var got []events.QuotaLevel
		for len(sub.C()) > 0 {
			if ev := <-sub.C(); ev.Kind == events.Quota {
				got = append(got, *ev.Quota)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %s: %s", after, diff)
		}
	}
	level := func(percent int, usage int64) events.QuotaLevel {
		return events.QuotaLevel{Resource: "MESSAGE", Level: percent, Usage: usage, Limit: 10}
	}
	for i := range 4 {
		e.deliver(t, inbox, i, Deleted)
	}
	expect("4")
	e.deliver(t, inbox, 4, 0)
	expect("5", level(50, 5))
	e.deliver(t, inbox, 5, 0)
	expect("6")
	if _, err := e.Copy(t.Context(), inbox, uidset.Set{{First: 1, Last: 3}}, archive); err != nil {
		t.Fatal(err)
	}
	expect("copying 3", level(90, 9))
	if _, err := e.Move(t.Context(), inbox, uidset.Set{{First: 5, Last: 5}}, archive); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Expunge(t.Context(), inbox, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Expunge(t.Context(), archive, nil); err != nil {
		t.Fatal(err)
	}
	expect("moving and expunging")
	var items []AppendItem
	for i := range 8 {
		stored := e.content(t, mail(i), 1)
		items = append(items, NewAppendItem(stored, Delivery{Mailbox: archive, Magic: stored.Magics[0]}))
	}
	if _, err := e.Append(t.Context(), items[:7]); err != nil {
		t.Fatal(err)
	}
	expect("appending 7, both levels at once", level(90, 9))
	e.release(t.Context(), []contents.Ref{items[7].Ref()})
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: quota.Unlimited}); err != nil {
		t.Fatal(err)
	}
	e.deliver(t, inbox, 9, 0)
	expect("there is no limit any more")
	line := fmt.Sprintf("usage has reached a level\" user=%s id=%s ", u.Username, u.ID)
	if n := strings.Count(log.String(), line); n != 3 {
		t.Errorf("%d warnings in the log, want 3:\n%s", n, log.String())
	}
	e.checkConsistent(t, u)
}
