package mailstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/quota"
)

// replacing is the new message of a Replace.
func (e *env) replacing(t testing.TB, box *Mailbox, text string, keywords ...string) AppendItem {
	t.Helper()
	stored := e.content(t, text, 1)
	return NewAppendItem(stored, Delivery{
		Mailbox: box.Key, InternalDate: time.Now(), Magic: stored.Magics[0], Keywords: keywords,
	})
}

// Replace stores and removes in one transaction, in one mailbox or from one into another; where it
// fails nothing is changed. Counters, quota and references are right after each.
func TestReplace(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	drafts, sent := e.box(t, u, "Drafts"), e.box(t, u, "Sent")
	first := e.deliver(t, drafts.Key, 1, Draft)
	before, err := e.MailboxByKey(t.Context(), drafts.Key)
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Replace(t.Context(), e.replacing(t, drafts, "second"), drafts.Key, first.UID)
	if err != nil || second.UID != first.UID+1 {
		t.Fatal(second, err)
	}
	changes, err := e.Changes(t.Context(), drafts.Key, before.HighestModSeq)
	if err != nil || !changes.Complete || len(changes.Vanished) != 1 || changes.Vanished[0] != first.UID ||
		len(changes.Changed) != 1 {
		t.Errorf("changes %+v, %v", changes, err)
	}
	e.checkConsistent(t, u)
	third, err := e.Replace(t.Context(), e.replacing(t, sent, "third"), drafts.Key, second.UID)
	if err != nil || third.UID != 1 {
		t.Fatal(third, err)
	}
	e.checkConsistent(t, u)

	for want, replace := range map[error]func() error{
		ErrNoSuchMessage: func() error {
			_, err := e.Replace(t.Context(), e.replacing(t, sent, "fourth"), drafts.Key, second.UID)
			return err
		},
		ErrInvalidKeyword: func() error {
			_, err := e.Replace(t.Context(), e.replacing(t, sent, "fourth", "a b"), sent.Key, third.UID)
			return err
		},
		quota.ErrOverQuota: func() error {
			size := e.list(t, sent.Key, Query{}, FieldSize)[0].Size
			if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Bytes: size + 100}); err != nil {
				return err
			}
			_, err := e.Replace(t.Context(), e.replacing(t, sent, strings.Repeat("x", 200)), sent.Key, third.UID)
			return errors.Join(err, e.SetLimits(t.Context(), u.ID, quota.Limits{}))
		},
	} {
		if err := replace(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if got := e.list(t, sent.Key, Query{}, FieldFlags); len(got) != 1 || got[0].UID != third.UID {
			t.Errorf("after %v: %d messages", want, len(got))
		}
		e.checkConsistent(t, u)
	}
}

// The quota needs room for what a message is larger than the one that it replaces (RFC 8508 section
// 3.4), and no room if it is smaller, even if the limits are below what is there.
func TestReplaceInFullMailbox(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	drafts := e.box(t, u, "Drafts")
	old := e.deliver(t, drafts.Key, 1, Draft)
	replace := func(text string) (err error) {
		if old, err = e.Replace(t.Context(), e.replacing(t, drafts, text), drafts.Key, old.UID); err != nil {
			old = Delivered{UID: e.list(t, drafts.Key, Query{}, 0)[0].UID}
		}
		e.checkConsistent(t, u)
		return err
	}
	if err := replace("first"); err != nil {
		t.Fatal(err)
	}
	size := e.list(t, drafts.Key, Query{}, FieldSize)[0].Size
	for _, tt := range []struct {
		limits quota.Limits
		text   string
		want   error
	}{
		{quota.Limits{Bytes: size, Messages: 1}, "other", nil},
		{quota.Limits{Bytes: size, Messages: 1}, "others", quota.ErrOverQuota},
		{quota.Limits{Bytes: size + 1, Messages: 1}, "others", nil},
		{quota.Limits{Bytes: 1, Messages: 1}, "short", nil},
		{quota.Limits{Bytes: 1, Messages: 1}, "longer", quota.ErrOverQuota},
	} {
		if err := e.SetLimits(t.Context(), u.ID, tt.limits); err != nil {
			t.Fatal(err)
		}
		if err := replace(tt.text); !errors.Is(err, tt.want) {
			t.Errorf("%q with %+v: %v, want %v", tt.text, tt.limits, err, tt.want)
		}
	}
}

// Of many who replace one message at the same time, one does.
func TestReplaceConcurrently(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	drafts := e.box(t, u, "Drafts")
	first := e.deliver(t, drafts.Key, 1, 0)
	items := make([]AppendItem, 8)
	for i := range items {
		items[i] = e.replacing(t, drafts, fmt.Sprint("text ", i))
	}
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { _, errs[i] = e.Replace(t.Context(), item, drafts.Key, first.UID) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, ErrNoSuchMessage):
			t.Error(err)
		}
	}
	if got := e.list(t, drafts.Key, Query{}, FieldFlags); done != 1 || len(got) != 1 {
		t.Errorf("%d replaced it, %d messages", done, len(got))
	}
	e.checkConsistent(t, u)
}
