package dedupe

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

// holders are documents (counted by _id) that hold references to others (counted under a prefix),
// with a collector. Commands can be watched.
type holders struct {
	t          *testing.T
	holds, has *Counter
	collector  *Collector
	notHeld    []Hash
	started    atomic.Pointer[func(*event.CommandStartedEvent)]
}

func newHolders(t *testing.T) *holders {
	h := &holders{t: t}
	client := dbtest.NewClient(t, options.Client().SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if f := h.started.Load(); f != nil {
				(*f)(e)
			}
		}}))
	db := client.Database(dbtest.Database(t).Name())
	h.holds, h.has = NewCounter(db.Collection("holders"), "_id", ""),
		NewCounter(db.Collection("held"), "metadata.hash", "metadata.")
	if _, err := h.holds.coll.Indexes().CreateOne(t.Context(), h.holds.UnusedIndex()); err != nil {
		t.Fatal(err)
	}
	h.collector = &Collector{
		Counter: h.holds,
		Bytes:   func(bson.Raw) int64 { return 10 },
		Holds: &Holds{
			Counter: h.has, Field: "refs_held",
			Refs: func(doc bson.Raw) (refs []Ref) {
				_, data, _ := doc.Lookup("refs_held").BinaryOK()
				for part := range slices.Chunk(data, 36) {
					refs = append(refs, Ref{Hash(part), Magic(binary.BigEndian.Uint32(part[32:]))})
				}
				return refs
			},
			NotHeld: func(hash Hash) { h.notHeld = append(h.notHeld, hash) },
		},
	}
	return h
}

// hold stores a holder that nobody uses.
func (h *holders) hold(name string, refs ...Ref) Hash {
	h.t.Helper()
	hash := Sum([]byte(name))
	doc := bson.D{{Key: "_id", Value: hash.Binary()}, {Key: FieldRefs, Value: int64(0)},
		{Key: FieldMagic, Value: int64(0)}}
	var data []byte
	for _, r := range refs {
		data = binary.BigEndian.AppendUint32(append(data, r.Hash[:]...), uint32(r.Magic))
	}
	if data != nil {
		doc = append(doc, bson.E{Key: "refs_held", Value: bson.Binary{Data: data}})
	}
	if _, err := h.holds.coll.InsertOne(h.t.Context(), doc); err != nil {
		h.t.Fatal(err)
	}
	return hash
}

// held stores what is referred to, with references of these magics.
func (h *holders) held(name string, magics ...Magic) Hash {
	h.t.Helper()
	hash := Sum([]byte(name))
	insert(h.t, h.has.coll, "metadata.hash", "metadata.", hash)
	if _, err := h.has.Add(h.t.Context(), hash, magics...); err != nil {
		h.t.Fatal(err)
	}
	return hash
}

func (h *holders) expect(hash Hash, refs, magic int64) {
	h.t.Helper()
	got, _, exists, err := h.has.read(h.t.Context(), hash)
	if err != nil || !exists || got.sums != (sums{refs, magic}) {
		h.t.Errorf("counts %+v (there: %v), %v; want %d, %d", got.sums, exists, err, refs, magic)
	}
}

func (h *holders) collect(want Collected) {
	h.t.Helper()
	if got, err := h.collector.Collect(h.t.Context(), 0); err != nil || got != want {
		h.t.Errorf("collected %+v, %v; want %+v", got, err, want)
	}
}

func (h *holders) gone(hash Hash) bool {
	h.t.Helper()
	_, _, exists, err := h.holds.read(h.t.Context(), hash)
	if err != nil {
		h.t.Fatal(err)
	}
	return !exists
}

// onCommand calls f once, before the first command of that name to the collection is sent.
func (h *holders) onCommand(name, collection string, f func()) {
	var done atomic.Bool
	g := func(e *event.CommandStartedEvent) {
		if c, _ := e.Command.Lookup(name).StringValueOK(); e.CommandName == name &&
			c == collection && done.CompareAndSwap(false, true) {
			f()
		}
	}
	h.started.Store(&g)
}

// Documents go with what they hold, more of them than fit in one transaction or batch.
func TestCollectHolders(t *testing.T) {
	h := newHolders(t)
	const n = 2*maxHolders + 7
	var magics []Magic
	for i := range n {
		magics = append(magics, Magic(i+1))
	}
	shared := h.held("shared", append(slices.Clone(magics), 7000)...)
	for i, m := range magics {
		own := h.held(fmt.Sprint("own", i), m, m)
		h.hold(fmt.Sprint(i), Ref{shared, m}, Ref{own, m}, Ref{own, m})
		h.hold(fmt.Sprint("idle", i))
	}
	h.collect(Collected{Quarantined: 2 * n, Deleted: Amount{2 * n, 20 * n}})
	h.expect(shared, 1, 7000)
	h.expect(Sum([]byte("own3")), 0, 0)
	if len(h.notHeld) > 0 {
		t.Errorf("not held: %v", h.notHeld)
	}
}

// A document that holds more than a transaction should release goes alone.
func TestHoldersPerTransaction(t *testing.T) {
	of := func(refs ...int) (list []holder) {
		for _, n := range refs {
			list = append(list, holder{refs: make([]Ref, n)})
		}
		return list
	}
	for _, tt := range []struct {
		list []holder
		want int
	}{
		{of(1), 1}, {of(1, 2, 3), 3}, {of(maxHolderRefs+1, 1), 1}, {of(1, maxHolderRefs), 1},
		{of(1, maxHolderRefs-1, 1), 2}, {of(make([]int, maxHolders+5)...), maxHolders},
	} {
		if got := holdersPerTransaction(tt.list); got != tt.want {
			t.Errorf("%d of %d, want %d", got, len(tt.list), tt.want)
		}
	}
}

// References that are not counted, or whose documents do not exist, keep neither the document nor
// the other references.
func TestHolderOfWhatIsNotCounted(t *testing.T) {
	h := newHolders(t)
	a, b := h.held("a", 1, 2, 3), h.held("b", 4)
	if err := h.has.Remove(t.Context(), b, 4); err != nil {
		t.Fatal(err)
	}
	h.hold("good", Ref{a, 1})
	bad := []Hash{h.hold("missing", Ref{a, 2}, Ref{Sum([]byte("none")), 9}),
		h.hold("not counted", Ref{a, 3}, Ref{b, 4})}
	h.collect(Collected{Quarantined: 3, Deleted: Amount{3, 30}})
	h.expect(a, 0, 0)
	h.expect(b, 0, 0)
	compare := func(x, y Hash) int { return slices.Compare(x[:], y[:]) }
	slices.SortFunc(bad, compare)
	slices.SortFunc(h.notHeld, compare)
	if !slices.Equal(h.notHeld, bad) {
		t.Errorf("told of %v, want %v", h.notHeld, bad)
	}
}

// What is used again, or was deleted and stored again with other references, after it was read
// stays with what it holds.
func TestHoldersChangedWhileCollected(t *testing.T) {
	for _, held := range []bool{true, false} {
		t.Run(fmt.Sprintf("held=%v", held), func(t *testing.T) {
			h := newHolders(t)
			a := h.held("a", 1, 2, 3, 4)
			refs := func(m Magic) []Ref {
				if held {
					return []Ref{{a, m}}
				}
				return nil
			}
			used, replaced, unused := h.hold("used", refs(1)...), h.hold("replaced", refs(2)...),
				h.hold("unused", refs(3)...)
			asked := 0
			h.collector.Guard = func(ctx context.Context) error {
				if asked++; asked != 2 { // 1: before they are put in quarantine
					return nil
				}
				if _, err := h.holds.Add(ctx, used, 5); err != nil {
					return err
				}
				var old bson.M
				if err := h.holds.coll.FindOneAndDelete(ctx,
					bson.D{{Key: "_id", Value: replaced.Binary()}}).Decode(&old); err != nil {
					return err
				}
				other := binary.BigEndian.AppendUint32(append([]byte(nil), a[:]...), 4)
				old["refs_held"] = bson.Binary{Data: other}
				_, err := h.holds.coll.InsertOne(ctx, old)
				return err
			}
			got, err := h.collector.Collect(t.Context(), 0)
			if err != nil || got.Deleted != (Amount{1, 10}) {
				t.Errorf("collected %+v, %v", got, err)
			}
			if h.gone(used) || h.gone(replaced) || !h.gone(unused) {
				t.Errorf("gone: %v %v %v", h.gone(used), h.gone(replaced), h.gone(unused))
			}
			if held {
				h.expect(a, 3, 1+2+4)
			} else {
				h.expect(a, 4, 1+2+3+4)
			}
		})
	}
}

// Whatever stops a transaction, nothing of it is left.
func TestCollectionOfHoldersInterrupted(t *testing.T) {
	for _, at := range []struct{ command, collection string }{{"delete", "holders"}, {"update", "held"}} {
		t.Run(at.command, func(t *testing.T) {
			h := newHolders(t)
			a := h.held("a", 1)
			doc := h.hold("unused", Ref{a, 1})
			ctx, cancel := context.WithCancel(t.Context())
			h.onCommand(at.command, at.collection, cancel)
			if got, err := h.collector.Collect(ctx, 0); err == nil || got.Deleted != (Amount{}) {
				t.Errorf("collected %+v, %v", got, err)
			}
			if h.gone(doc) {
				t.Error("deleted")
			}
			h.expect(a, 1, 1)
			h.collect(Collected{Deleted: Amount{1, 10}})
			h.expect(a, 0, 0)
		})
	}
}

// A transaction that meets another one begins again; if that does not end, the documents are left
// to the next collection.
func TestCollectionOfHoldersMeetsTransaction(t *testing.T) {
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprintf("ends=%v", ends), func(t *testing.T) {
			h := newHolders(t)
			if !ends {
				h.collector.patience = 2 * time.Second // the free one takes some milliseconds of it
			}
			a, b := h.held("a", 1, 2), h.held("b", 3)
			busy, free := h.hold("busy", Ref{a, 1}), h.hold("free", Ref{b, 3})
			session := h.blocker(a)
			defer session.EndSession(context.WithoutCancel(t.Context()))
			if ends {
				var tries atomic.Int64
				f := func(e *event.CommandStartedEvent) {
					if e.CommandName != "abortTransaction" || tries.Add(1) != 3 {
						return
					}
					if err := session.CommitTransaction(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}
				h.started.Store(&f)
				h.collect(Collected{Quarantined: 2, Deleted: Amount{2, 20}})
				h.expect(a, 2, 2+7) // the transaction has added one
			} else {
				h.collect(Collected{Quarantined: 2, Deleted: Amount{1, 10}, Busy: 1})
				if err := session.AbortTransaction(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.expect(a, 2, 3)
				if h.gone(busy) || !h.gone(free) {
					t.Error("not the one that was to be left")
				}
				h.collect(Collected{Deleted: Amount{1, 10}})
				h.expect(a, 1, 2)
			}
			h.expect(b, 0, 0)
		})
	}
}

// blocker begins a transaction that adds a reference of magic 7.
func (h *holders) blocker(to Hash) *mongo.Session {
	h.t.Helper()
	session, err := h.has.coll.Database().Client().StartSession()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := session.StartTransaction(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.has.Add(mongo.NewSessionContext(h.t.Context(), session), to, 7); err != nil {
		h.t.Fatal(err)
	}
	return session
}
