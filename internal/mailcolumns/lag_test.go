package mailcolumns

import (
	"context"
	"slices"
	"testing"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// laggingModel is a store that reads some states of before.
type laggingModel struct {
	*model
	before    *model // an earlier state
	documents int    // so many reads of the document are of that state
	changes   int    // so many reads of changes are
}

// keep makes the present state the earlier one.
func (l *laggingModel) keep() {
	l.before = &model{box: l.box, rows: slices.Clone(l.rows), journal: slices.Clone(l.journal), expunged: l.expunged}
}

func (l *laggingModel) MailboxByKey(ctx context.Context, key mailkey.Mailbox) (*mailstore.Mailbox, error) {
	if l.documents > 0 {
		l.documents--
		return l.before.MailboxByKey(ctx, key)
	}
	return l.model.MailboxByKey(ctx, key)
}

func (l *laggingModel) Changes(
	ctx context.Context, key mailkey.Mailbox, since uint64,
) (*mailstore.Changes, error) {
	if l.changes > 0 {
		l.changes--
		return l.before.Changes(ctx, key, since)
	}
	return l.model.Changes(ctx, key, since)
}

// lagging returns a store with columns loaded, and then a message more and one less.
func lagging(t *testing.T) (*Cache, *laggingModel) {
	t.Helper()
	l := &laggingModel{model: newModel()}
	l.deliver(3, 0, nil, 1, day)
	c := New(l, 0)
	if !ask(t, c, l.model, mailstore.Query{}) {
		t.Fatal("no columns")
	}
	l.keep()
	l.deliver(1, 0, nil, 1, day)
	l.expunge(uidset.Of(uidset.Range{First: 2, Last: 2}))
	return c, l
}

// Whichever reads are of an earlier state: a client that follows by changes comes to what is there,
// and skips nothing on the way.
func TestChangesOfLaggingReads(t *testing.T) {
	for documents := range 2 {
		for changes := range 4 {
			c, l := lagging(t)
			l.documents, l.changes = documents, changes
			client, known := map[uint32]bool{1: true, 2: true, 3: true}, l.before.box.HighestModSeq
			for range 6 {
				ch, err := c.Changes(t.Context(), l.box.Key, known)
				if err != nil || !ch.Complete {
					t.Fatal(ch, err)
				}
				for _, r := range ch.Changed {
					client[r.UID] = true
				}
				for _, uid := range ch.Vanished {
					delete(client, uid)
				}
				known = max(known, ch.Mailbox.HighestModSeq)
			}
			if known != l.box.HighestModSeq || len(client) != 3 || !client[1] || !client[3] || !client[4] {
				t.Errorf("%d documents, %d changes of before: %v at %d of %d", documents, changes, client, known,
					l.box.HighestModSeq)
			}
		}
	}
}

// A document that is older than the columns does not hide what these have.
func TestChangesOfOlderDocument(t *testing.T) {
	c, l := lagging(t)
	ask(t, c, l.model, mailstore.Query{}) // takes in what changed
	l.documents = 1
	ch, err := c.Changes(t.Context(), l.box.Key, l.before.box.HighestModSeq)
	if err != nil || len(ch.Changed) != 1 || len(ch.Vanished) != 1 ||
		ch.Mailbox.HighestModSeq != l.box.HighestModSeq {
		t.Errorf("%+v, %v", ch, err)
	}
}

// SELECT gets no document with UIDs of an earlier state.
func TestOpenedWithLaggingReads(t *testing.T) {
	c, l := lagging(t)
	box, err := l.MailboxByKey(t.Context(), l.box.Key)
	if err != nil {
		t.Fatal(err)
	}
	l.changes = 1
	if _, uids, _, ok, err := c.Opened(t.Context(), box); ok || err != nil {
		t.Errorf("%v for a document with other messages, %v", uids, err)
	}
	at, uids, _, ok, err := c.Opened(t.Context(), box)
	if err != nil || !ok || !slices.Equal(uids, []uint32{1, 3, 4}) || at.HighestModSeq != box.HighestModSeq {
		t.Errorf("%v, %v, %t, %v", at, uids, ok, err)
	}
}

// Columns that were brought up to date do not become older by a read of before.
func TestColumnsNeverBecomeOlder(t *testing.T) {
	c, l := lagging(t)
	ask(t, c, l.model, mailstore.Query{})
	l.documents, l.changes = 3, 3
	ask(t, c, l.model, mailstore.Query{})
	ch, err := c.Changes(t.Context(), l.box.Key, l.before.box.HighestModSeq)
	if err != nil || len(ch.Changed) != 1 || ch.Mailbox.HighestModSeq != l.box.HighestModSeq {
		t.Errorf("%+v, %v", ch, err)
	}
}
