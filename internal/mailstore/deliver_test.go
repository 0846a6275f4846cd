package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/dedupe"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

func TestDeliverStoresAMessage(t *testing.T) {
	begun := time.Now().Truncate(time.Second)
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX")
	sub := e.bus.Subscribe(u.ID)
	defer sub.Close()

	stored := e.content(t, mail(1), 1)
	prefix := []byte("Return-Path: <alice@example.com>\r\n")
	date := time.Date(2025, 4, 2, 4, 30, 59, 999, time.FixedZone("", 3600))
	got, err := e.Deliver(t.Context(), stored, []Delivery{{
		Mailbox: inbox.Key, Flags: Answered, Keywords: []string{"$Label"}, InternalDate: date,
		Prefix: prefix, Magic: stored.Magics[0]}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Delivered{{UIDValidity: inbox.UIDValidity, UID: 1, ModSeq: 2, Number: 1, Thread: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	list := e.list(t, inbox.Key, Query{}, FieldAll)
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	m := list[0]
	if m.SaveDate.Before(begun) || m.SaveDate.After(time.Now()) || len(m.Envelope) == 0 || len(m.BodyStructure) == 0 {
		t.Errorf("message %+v", m)
	}
	m.SaveDate, m.Envelope, m.BodyStructure = time.Time{}, nil, nil
	wantMessage := &Message{
		UID: 1, ModSeq: 2, Flags: Answered, Keywords: []string{"$Label"},
		InternalDate: time.Date(2025, 4, 2, 3, 30, 59, 0, time.UTC),
		Size:         int64(len(prefix) + len(mail(1))), Content: stored.ID, Magic: stored.Magics[0], Prefix: prefix,
		Sent: time.Date(2025, 4, 2, 4, 30, 0, 0, time.UTC), SentDay: time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC),
		Subject: m.Subject, BaseSubject: m.BaseSubject, From: m.From, To: m.To,
		TextsWhole: true, MessageID: "<1@example.com>",
		Number: 1, Thread: 1, Preview: "This is number 1.", HasPreview: true,
	}
	if diff := cmp.Diff(wantMessage, m); diff != "" {
		t.Error(diff)
	}
	if m.Subject == m.BaseSubject || m.BaseSubject == "" || m.From == "" || m.To == "" {
		t.Errorf("search fields %+v", m)
	}
	after := e.box(t, u, "INBOX")
	if after.UIDNext != 2 || after.HighestModSeq != 2 || after.Messages != 1 || after.Unseen != 1 ||
		after.Size != m.Size {
		t.Errorf("mailbox %+v", after)
	}
	select {
	case ev := <-sub.C():
		want := events.Event{User: u.ID, Mailbox: inbox.Key.Number(), ModSeq: 2, Kind: events.New, UIDs: []uint32{1}}
		if diff := cmp.Diff(want, ev); diff != "" {
			t.Error(diff)
		}
	case <-time.After(2 * time.Minute):
		t.Error("no event")
	}
	e.checkConsistent(t, u)
}

func TestDeliverToManyFailsOneByOne(t *testing.T) {
	e := newEnv(t)
	a, b, full := e.user(t), e.user(t), e.user(t)
	if err := e.SetLimits(t.Context(), full.ID, quota.Limits{Bytes: 10}); err != nil {
		t.Fatal(err)
	}
	stored := e.content(t, mail(1), 6)
	to := []mailkey.Mailbox{
		e.box(t, a, "INBOX").Key, e.box(t, full, "INBOX").Key, a.ID.Mailbox(99), e.box(t, b, "INBOX").Key,
		mailkey.UserID{1}.Mailbox(1), e.box(t, a, "Junk").Key,
	}
	var list []Delivery
	for i, key := range to {
		list = append(list, Delivery{Mailbox: key, Magic: stored.Magics[i]})
	}
	got, err := e.Deliver(t.Context(), stored, list)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, quota.ErrOverQuota, ErrNoSuchMailbox, nil, ErrNoSuchMailbox, nil} {
		if !errors.Is(got[i].Err, want) {
			t.Errorf("delivery %d: %v, want %v", i, got[i].Err, want)
		}
		if (got[i].UID == 1) != (want == nil) {
			t.Errorf("delivery %d: UID %d", i, got[i].UID)
		}
	}
	e.checkConsistent(t, a, b, full)
}

func TestDeliverRefusesWhatIsTooMuch(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX").Key
	for name, change := range map[string]func(*Delivery){
		"keyword": func(d *Delivery) { d.Keywords = []string{"not an atom"} },
		"prefix":  func(d *Delivery) { d.Prefix = make([]byte, MaxPrefixLength+1) },
	} {
		stored := e.content(t, mail(1), 2)
		bad := Delivery{Mailbox: box, Magic: stored.Magics[0]}
		change(&bad)
		got, err := e.Deliver(t.Context(), stored, []Delivery{bad, {Mailbox: box, Magic: stored.Magics[1]}})
		if err != nil || got[0].Err == nil || got[1].Err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	stored := e.content(t, mail(1), MaxRecipients+1)
	list := make([]Delivery, MaxRecipients+1)
	for i := range list {
		list[i] = Delivery{Mailbox: box, Magic: stored.Magics[i]}
	}
	if got, err := e.Deliver(t.Context(), stored, list); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d results, %v", len(got), err)
	}
	e.checkConsistent(t, u)
}

func TestAppendIsAllOrNothing(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "Drafts").Key
	items := func(n int) []AppendItem {
		var list []AppendItem
		for i := range n {
			stored := e.content(t, mail(i), 1)
			list = append(list, NewAppendItem(stored, Delivery{Mailbox: box, Flags: Draft | Seen,
				Magic: stored.Magics[0]}))
		}
		return list
	}
	got, err := e.Append(t.Context(), items(3))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range got {
		if d.UID != uint32(i+1) || d.Err != nil {
			t.Errorf("message %d: %+v", i, d)
		}
	}
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: 5}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Append(t.Context(), items(3)); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("over quota: %v, %v", got, err)
	}
	bad := items(2)
	bad[1].delivery.Keywords = []string{""}
	if got, err := e.Append(t.Context(), bad); !errors.Is(err, ErrInvalidKeyword) {
		t.Errorf("bad keyword: %v, %v", got, err)
	}
	other := items(2)
	other[1].delivery.Mailbox = e.box(t, u, "Sent").Key
	if got, err := e.Append(t.Context(), other); err == nil {
		t.Errorf("two mailboxes: %v", got)
	}
	if list := e.list(t, box, Query{}, 0); len(list) != 3 {
		t.Errorf("%d messages", len(list))
	}
	if got, err := e.Append(t.Context(), items(2)); err != nil || got[0].UID != 4 {
		t.Errorf("what fits: %v, %v", got, err)
	}
	e.checkConsistent(t, u)
}

// Many writers into one mailbox and into many, through two instances: each message is there once,
// with a UID of its own, and nobody sees a UID before a smaller one.
func TestDeliverConcurrently(t *testing.T) {
	first := newEnv(t)
	stores := []*env{first, openEnv(t, first.db)}
	one := first.user(t)
	users := []*User{one, first.user(t), first.user(t)}
	shared := first.box(t, one, "INBOX").Key
	const writers, each = 16, 8

	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		seen := make(map[uint32]bool)
		var last uint32
		for {
			uids, err := first.UIDs(context.WithoutCancel(t.Context()), shared, Query{})
			if err != nil {
				t.Error(err)
				return
			}
			for _, uid := range uids {
				if !seen[uid] && uid < last {
					t.Errorf("UID %d was seen only after %d", uid, last)
				}
				seen[uid] = true
			}
			if n := len(uids); n > 0 {
				last = max(last, uids[n-1])
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})

	var mu sync.Mutex
	got := make(map[mailkey.Mailbox][]uint32)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				e := stores[(w+i)%len(stores)]
				stored := e.content(t, mail(w*each+i), 2)
				other := e.box(t, users[i%len(users)], "Archive").Key
				results, err := e.Deliver(t.Context(), stored, []Delivery{
					{Mailbox: shared, Magic: stored.Magics[0]}, {Mailbox: other, Flags: Seen, Magic: stored.Magics[1]}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for j, key := range []mailkey.Mailbox{shared, other} {
					if results[j].Err != nil {
						t.Error(results[j].Err)
					}
					got[key] = append(got[key], results[j].UID)
				}
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	close(stop)
	watching.Wait()
	for key, uids := range got {
		slices.Sort(uids)
		there, err := first.UIDs(t.Context(), key, Query{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(uids, there) {
			t.Errorf("mailbox %s: told %v, there %v", key, uids, there)
		}
		if !slices.Equal(uidset.FromAscending(there), uidset.Set{{First: 1, Last: uint32(len(there))}}) {
			t.Errorf("mailbox %s: UIDs %v", key, uidset.FromAscending(there))
		}
	}
	first.checkConsistent(t, users...)
}

// The last free bytes are given away once, through two instances.
func TestQuotaIsExactUnderConcurrency(t *testing.T) {
	first := newEnv(t)
	stores := []*env{first, openEnv(t, first.db)}
	u := first.user(t)
	boxes := []mailkey.Mailbox{first.box(t, u, "INBOX").Key, first.box(t, u, "Archive").Key}
	text := mail(1)
	const fits, writers = 7, 64
	if err := first.SetLimits(t.Context(), u.ID, quota.Limits{Bytes: int64(len(text))*(fits+1) - 1}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	stored, over := 0, 0
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			e := stores[i%2]
			c := e.content(t, text, 1)
			got, err := e.Deliver(t.Context(), c, []Delivery{{Mailbox: boxes[i/2%2], Magic: c.Magics[0]}})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case got[0].Err == nil:
				stored++
			case errors.Is(got[0].Err, quota.ErrOverQuota):
				over++
			default:
				t.Error(got[0].Err)
			}
		})
	}
	wg.Wait()
	if stored != fits || over != writers-fits {
		t.Errorf("%d stored and %d over quota, want %d and %d", stored, over, fits, writers-fits)
	}
	first.checkConsistent(t, u)
}

func TestDeliverHonoursContext(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX").Key
	// While somebody holds the user's lock, nothing is stored.
	unlock, err := e.locks.lock(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	stored := e.content(t, mail(1), 2)
	ctx, cancel := context.WithCancel(t.Context())
	type answer struct {
		got []Delivered
		err error
	}
	answers := make(chan answer, 2)
	go func() {
		got, err := e.Deliver(ctx, stored, []Delivery{{Mailbox: box, Magic: stored.Magics[0]}})
		answers <- answer{got, err}
	}()
	cancel()
	a := <-answers
	if a.err != nil || !errors.Is(a.got[0].Err, context.Canceled) {
		t.Errorf("cancelled: %+v", a)
	}
	go func() {
		got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: box, Magic: stored.Magics[1]}})
		answers <- answer{got, err}
	}()
	unlock()
	a = <-answers
	if a.err != nil || a.got[0].Err != nil || a.got[0].UID != 1 {
		t.Errorf("the other: %+v", a)
	}
	e.checkConsistent(t, u)
}

func TestDeliverAfterClose(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX").Key
	stored := e.content(t, mail(1), 1)
	e.Close()
	if got, err := e.Deliver(t.Context(), stored,
		[]Delivery{{Mailbox: box, Magic: stored.Magics[0]}}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, %v", got, err)
	}
	e.checkConsistent(t, u)
}

func TestKeywordsAreSpelledAsFirstSeen(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX")
	e.deliver(t, box.Key, 1, 0, "Work", "$Later")
	e.deliver(t, box.Key, 2, 0, "WORK", "New")
	list := e.list(t, box.Key, Query{}, FieldFlags)
	if !slices.Equal(list[1].Keywords, []string{"Work", "New"}) {
		t.Errorf("keywords %q", list[1].Keywords)
	}
	if after := e.box(t, u, "INBOX"); !slices.Equal(after.Keywords, []string{"Work", "$Later", "New"}) {
		t.Errorf("the mailbox's keywords %q", after.Keywords)
	}
	for keyword, want := range map[string]int{"work": 2, "new": 1, "wor": 0, "w.rk": 0} {
		if got := len(e.list(t, box.Key, Query{Filter: KeywordFilter(keyword)}, 0)); got != want {
			t.Errorf("%d messages with %s, want %d", got, keyword, want)
		}
	}
	// Fill up what the mailbox can remember.
	for n := 3; ; n += MaxKeywords {
		if n >= MaxMailboxKeywords {
			break
		}
		var some []string
		for i := n; i < min(n+MaxKeywords, MaxMailboxKeywords); i++ {
			some = append(some, fmt.Sprintf("k%d", i))
		}
		e.deliver(t, box.Key, n, 0, some...)
	}
	stored := e.content(t, mail(1), 2)
	got, err := e.Deliver(t.Context(), stored, []Delivery{
		{Mailbox: box.Key, Keywords: []string{"one", "too", "many"}, Magic: stored.Magics[0]},
		{Mailbox: box.Key, Keywords: []string{"work"}, Magic: stored.Magics[1]}})
	if err != nil || !errors.Is(got[0].Err, ErrInvalidKeyword) || got[1].Err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	e.checkConsistent(t, u)
}

// TestAppendOfLargeHeaders: messages whose documents together are too large for one transaction are
// refused, and their references released.
func TestAppendOfLargeHeaders(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "Drafts").Key
	text := "To: " + strings.Repeat("someone@example.com,\r\n ", 1200) + "last@example.com\r\n\r\nHello.\r\n"
	stored := e.content(t, text, maxBatch)
	one := NewAppendItem(stored, Delivery{Mailbox: box, Magic: stored.Magics[0]}).Bytes()
	if one < 16<<10 {
		t.Fatalf("a document has %d bytes, too few for this test", one)
	}
	fits := MaxAppendBytes / one
	items := make([]AppendItem, fits+1)
	for i := range items {
		items[i] = NewAppendItem(stored, Delivery{Mailbox: box, Magic: stored.Magics[i]})
	}
	if _, err := e.Append(t.Context(), items); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d bytes: %v", len(items)*one, err)
	}
	again := e.content(t, text, fits) // the references of those are gone
	for i := range fits {
		items[i] = NewAppendItem(again, Delivery{Mailbox: box, Magic: again.Magics[i]})
	}
	if _, err := e.Append(t.Context(), items[:fits]); err != nil {
		t.Errorf("%d bytes: %v", fits*one, err)
	}
	e.release(t.Context(), deliveryRefs(stored, deliveriesOf(stored.Magics[fits+1:])))
	e.checkConsistent(t, u)
}

func deliveriesOf(magics []dedupe.Magic) []Delivery {
	list := make([]Delivery, len(magics))
	for i, m := range magics {
		list[i].Magic = m
	}
	return list
}
