package search

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// mailboxes is a store of messages in memory: of each mailbox the contents of UIDs 1, 2, ...
type mailboxes map[mailkey.Mailbox][]contents.ID

func (b mailboxes) Messages(
	_ context.Context, box mailkey.Mailbox, q mailstore.Query, _ mailstore.Fields,
) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		for i, id := range b[box] {
			uid := uint32(i + 1)
			if q.UIDs.Contains(uid) && !yield(&mailstore.Message{UID: uid, Content: id}, nil) {
				return
			}
		}
	}
}

func (b mailboxes) UIDs(context.Context, mailkey.Mailbox, mailstore.Query) ([]uint32, error) {
	panic("only texts are searched")
}

func (b mailboxes) Count(context.Context, mailkey.Mailbox, mailstore.Query) (int64, error) {
	panic("only texts are searched")
}

// newContents returns a store of contents, and the ids of those that hold the mails.
func newContents(t *testing.T, mails ...string) (*contents.Store, []contents.ID) {
	t.Helper()
	db := dbtest.Database(t)
	blobs, err := blobstore.New(db, blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := contents.New(db, blobs, contents.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []contents.ID
	for _, mail := range mails {
		w := store.NewWriter(t.Context())
		if _, err := w.Write([]byte(mail)); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, stored.ID)
	}
	// One is not there, and of one the bytes are gone.
	coll := db.Collection("contents")
	for id, mail := range mails {
		update := bson.D{{Key: "$unset", Value: bson.D{{Key: "f", Value: ""}}}}
		if strings.Contains(mail, "damaged") {
			if _, err := coll.UpdateOne(t.Context(),
				bson.D{{Key: "_id", Value: bson.Binary{Data: ids[id][:]}}}, update); err != nil {
				t.Fatal(err)
			}
		}
	}
	return store, ids
}

func plainMail(i int, word string) string {
	return fmt.Sprintf("Subject: %d\r\n\r\nhello %s\r\n", i, word)
}

// TestRunGoesOn: messages whose contents are missing or damaged are logged and left out.
func TestRunGoesOn(t *testing.T) {
	store, ids := newContents(t, plainMail(1, "a"), plainMail(2, "damaged"), plainMail(3, "b"))
	box := mailkey.UserID{1}.Mailbox(1)
	ids = append(ids, contents.ID{1}, ids[0])
	var log strings.Builder
	s := NewSearcher(mailboxes{box: ids}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	var found []uint32
	for f, err := range s.Run(t.Context(), Request{Plan: mustCompile(t, Body("hello"), box), Contents: store}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, f.UID)
	}
	if want := []uint32{1, 3, 5}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d lines logged, want 2: %s", n, log.String())
	}
}

func mustCompile(t *testing.T, key *Key, box mailkey.Mailbox) Plan {
	t.Helper()
	plan, err := Compile(key, box, uidset.All())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestRunTakesTurns: the search of a user that comes last, for one message, ends before
// the first of many searches of another user that came before.
func TestRunTakesTurns(t *testing.T) {
	const many, messages = 20, 30
	var mails []string
	for i := range messages {
		mails = append(mails, plainMail(i, "x"))
	}
	store, ids := newContents(t, mails...)
	busy, other, gate := mailkey.UserID{1}, mailkey.UserID{2}, mailkey.UserID{3}
	boxes := mailboxes{busy.Mailbox(1): ids, other.Mailbox(1): ids[:1]}
	s := NewSearcher(boxes, nil, nil)
	s.turns = newTurns(1)
	if err := s.turns.take(t.Context(), gate); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ended []mailkey.UserID
	var wg sync.WaitGroup
	search := func(user mailkey.UserID) {
		wg.Go(func() {
			n := 0
			for _, err := range s.Run(t.Context(), Request{
				Plan: mustCompile(t, Text("hello"), user.Mailbox(1)), Contents: store.WithCache(nil)}) {
				if err != nil {
					t.Error(err)
					return
				}
				if n++; n == 1 {
					mu.Lock()
					ended = append(ended, user)
					mu.Unlock()
				}
			}
			if n != len(boxes[user.Mailbox(1)]) {
				t.Errorf("user %d: %d messages found", user[0], n)
			}
		})
	}
	waiting := func(user mailkey.UserID) int {
		s.turns.mu.Lock()
		defer s.turns.mu.Unlock()
		if l := s.turns.line(user); l != nil {
			return len(l.waiting)
		}
		return 0
	}
	for range many {
		search(busy)
	}
	for waiting(busy) < many {
		runtime.Gosched()
	}
	search(other)
	for waiting(other) < 1 {
		runtime.Gosched()
	}
	s.turns.done(gate)
	wg.Wait()
	if len(ended) != many+1 || ended[0] != other {
		t.Errorf("searches ended in the order %v", ended)
	}
	if s.turns.free != 1 || len(s.turns.lines) != 0 {
		t.Errorf("places are lost: %d free, lines %v", s.turns.free, s.turns.lines)
	}
}
