package account

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
)

// chainCheck looks at each command that reads mailboxes, messages or the journal. Outside of
// transactions the read concern must be majority; and all reads, and all transactions, must wait
// for the operation time of the latest commit and of the latest read.
type chainCheck struct {
	mu      sync.Mutex
	on      bool
	latest  bson.Timestamp
	pending map[int64]bool // by request id: an answer counts
	reads   int
	starts  int
	wrong   []string
}

var chained = map[string]bool{"mailboxes": true, "messages": true, "journal": true}

func timestamp(v bson.RawValue) bson.Timestamp {
	t, i, _ := v.TimestampOK()
	return bson.Timestamp{T: t, I: i}
}

func (c *chainCheck) started(_ context.Context, e *event.CommandStartedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return
	}
	name, _ := e.Command.Lookup(e.CommandName).StringValueOK()
	_, err := e.Command.LookupErr("autocommit")
	inTransaction := err == nil
	starts, _ := e.Command.Lookup("startTransaction").BooleanOK()
	reads := (e.CommandName == "find" || e.CommandName == "aggregate") && chained[name]
	if e.CommandName == "commitTransaction" || reads && !inTransaction {
		c.pending[e.RequestID] = true
	}
	concern := e.Command.Lookup("readConcern")
	after := timestamp(lookup(concern, "afterClusterTime"))
	level, _ := lookup(concern, "level").StringValueOK()
	switch {
	case starts:
		c.starts++
		if level != "snapshot" || after.Before(c.latest) {
			c.wrong = append(c.wrong, fmt.Sprintf("a transaction begins with %v, not after %v", concern, c.latest))
		}
	case reads && !inTransaction:
		c.reads++
		if level != "majority" || after.Before(c.latest) {
			c.wrong = append(c.wrong, fmt.Sprintf("%v of %s with %v, not after %v",
				e.Command.Lookup("filter"), name, concern, c.latest))
		}
	}
}

func lookup(doc bson.RawValue, key string) bson.RawValue {
	d, ok := doc.DocumentOK()
	if !ok {
		return bson.RawValue{}
	}
	return d.Lookup(key)
}

func (c *chainCheck) succeeded(_ context.Context, e *event.CommandSucceededEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pending[e.RequestID] {
		return
	}
	delete(c.pending, e.RequestID)
	if t := timestamp(e.Reply.Lookup("operationTime")); t.After(c.latest) {
		c.latest = t
	}
}

// check calls f and reports what went wrong in it.
func (c *chainCheck) check(t *testing.T, what string, reads, transactions bool, f func() error) {
	t.Helper()
	c.mu.Lock()
	c.on, c.reads, c.starts, c.wrong = true, 0, 0, nil
	c.mu.Unlock()
	if err := f(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
	for _, w := range c.wrong {
		t.Errorf("%s: %s", what, w)
	}
	if reads && c.reads == 0 || transactions && c.starts == 0 {
		t.Errorf("%s: %d reads, %d transactions seen", what, c.reads, c.starts)
	}
}

func testChain(t *testing.T, columns int64) {
	c := &chainCheck{pending: make(map[int64]bool)}
	db := dbtest.Watched(t, &event.CommandMonitor{Started: c.started, Succeeded: c.succeeded})
	st := storetest.Open(t, storetest.Options{Database: db})
	accounts, err := New(Options{Store: st.Store, Bus: st.Bus, ColumnBytes: columns})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	a := accounts.Of(st.User(t, "alice@example.com"))
	var inbox, other *Mailbox
	var opened *mailstore.Mailbox
	steps := []struct {
		what                string
		reads, transactions bool
		f                   func() error
	}{
		{"create", false, true, func() error {
			_, err := a.Create(ctx, "Other", mailstore.CreateOptions{})
			return err
		}},
		{"list", true, false, func() error { _, err := a.Mailboxes(ctx); return err }},
		{"list subscriptions", true, false, func() error { _, err := a.Subscriptions(ctx); return err }},
		{"open", true, false, func() (err error) {
			inbox, opened, err = a.Open(ctx, "INBOX", ReadWrite)
			return err
		}},
		{"destination", true, false, func() (err error) { other, err = a.Destination(ctx, "Other"); return err }},
		{"append", false, true, func() error {
			i, err := inbox.Import()
			if err != nil {
				return err
			}
			for n := range 4 {
				if err := i.Add(ctx, Entry{}, bytes.NewReader(mailgen.Simple(fmt.Sprint(n)))); err != nil {
					return err
				}
			}
			_, err = i.Commit(ctx)
			return err
		}},
		{"changes", true, false, func() error { _, err := inbox.Changes(ctx, 1); return err }},
		{"select", true, false, func() (err error) {
			if opened, err = a.Status(ctx, "INBOX"); err == nil {
				_, err = inbox.Opening(ctx, opened)
			}
			return err
		}},
		{"store", false, true, func() error {
			change := mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted}
			_, err := inbox.StoreFlags(ctx, uidset.All(), change)
			return err
		}},
		{"fetch of flags", true, false, func() error {
			return drain(inbox.Messages(ctx, mailstore.Query{}, mailstore.FieldFlags))
		}},
		{"fetch", true, false, func() error {
			return drain(inbox.Messages(ctx, mailstore.Query{ModSince: 1}, mailstore.FieldEnvelope))
		}},
		{"search", true, false, func() error {
			plan := search.Plan{UIDs: uidset.All(), Filter: mailstore.FlagFilter(mailstore.Deleted, true)}
			for _, err := range inbox.Search(ctx, search.Request{Plan: plan}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"count", false, false, func() error {
			plan := search.Plan{UIDs: uidset.All(), Filter: mailstore.FlagFilter(mailstore.Deleted, true)}
			_, err := inbox.CountFound(ctx, search.Request{Plan: plan})
			return err
		}},
		{"copy", false, true, func() error { _, err := inbox.Copy(ctx, uidset.All(), other, nil); return err }},
		{"move", false, true, func() error {
			_, err := inbox.Move(ctx, uidset.Of(uidset.Range{First: 1, Last: 1}), other, nil)
			return err
		}},
		{"expunge", false, true, func() error {
			return inbox.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
		}},
		{"changes with journal", true, false, func() error { _, err := inbox.Changes(ctx, 1); return err }},
		{"expunge of nothing", false, false, func() error {
			return inbox.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
		}},
		{"status", true, false, func() error { _, err := inbox.Status(ctx); return err }},
		{"rename", false, true, func() error { return a.Rename(ctx, "Other", "Another") }},
		{"delete", false, true, func() error { return a.Delete(ctx, "Another") }},
		{"quota", false, false, func() error { _, _, err := a.Quota(ctx); return err }},
	}
	for _, s := range steps {
		c.check(t, s.what, s.reads, s.transactions, s.f)
	}
}

// Whatever an account does sees what it did and saw before.
func TestOperationsAreAChain(t *testing.T) {
	t.Run("from the database", func(t *testing.T) { testChain(t, -1) })
	t.Run("from columns", func(t *testing.T) { testChain(t, 0) })
}

func drain(messages iter.Seq2[*mailstore.Message, error]) error {
	for _, err := range messages {
		if err != nil {
			return err
		}
	}
	return nil
}
