package dedupe

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
)

// A Fault is what an audit finds wrong with a document.
type Fault int

const (
	// Leaked: the document counts more references than there are. That costs space.
	Leaked Fault = iota + 1
	// TooLow: the document counts fewer references than there are. Only damage does that.
	TooLow
	// Mismatch: the number of references is right, but the magics are not theirs.
	Mismatch
	// FalseQuarantine: a document with references is marked as unused. The mark alone does not let
	// a collector delete it.
	FalseQuarantine
	// Untouched: the document does not say when its counts changed, so the audit cannot judge it.
	Untouched
	// Uncounted: the document has no counts. No repair is possible, and no collector deletes it.
	Uncounted
	// Missing: the document does not exist, and a referrer needs it. No repair is possible.
	Missing
	// Unreadable: the database cannot read the document, because its files are damaged, and a
	// referrer needs it; or, without a referrer, it cannot read a range of documents. No repair is
	// possible.
	Unreadable
)

var faultNames = map[Fault]string{
	Leaked: "leaked", TooLow: "too low", Mismatch: "mismatch", FalseQuarantine: "quarantined",
	Untouched: "untouched", Uncounted: "uncounted", Missing: "missing",
	Unreadable: "unreadable",
}

func (f Fault) String() string { return faultNames[f] }

// A Finding is one certain fault.
type Finding struct {
	Fault      Fault
	Hash       Hash
	Holder     []byte        // Missing, Unreadable: the referrer
	Gap        *database.Gap // Unreadable, without a Holder: the hashes
	Counted    int64         // references
	Referenced int64
	Repaired   bool
}

// Audited sums up an audit.
type Audited struct {
	Documents  int64 `json:"documents"`
	References int64 `json:"references"`
	// Undecided documents differ from their referrers, and changed too shortly before or during the
	// audit to be judged.
	Undecided int64 `json:"undecided"`
	// Unreadable referrers kept the audit from lowering any count.
	Unreadable int64 `json:"unreadable"`
}

// An Auditor compares the counts of documents with their referrers, and repairs them if told so.
// See the package documentation for how it does so beside live traffic.
type Auditor struct {
	Counter *Counter
	// Referrers gives every reference that there is to the Tally. It is called once per pass.
	Referrers func(ctx context.Context, t *Tally) error
	// Holds reports whether the referrer still exists and has that reference.
	Holds func(ctx context.Context, holder []byte, ref Ref) (bool, error)
	// Found is called with each finding.
	Found func(Finding)
	// The audit judges only documents that nobody has touched for Grace. Settle is how long it
	// waits for releases under way. Values below DefaultGrace and DefaultSettle are for a store
	// that nothing else uses.
	Grace, Settle time.Duration
	// Wait waits; nil uses the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Repair makes the audit repair what it can, with LeaksOnly only leaks.
	Repair, LeaksOnly bool
	// Guard, if not nil, is called before each batch. It may block; its error ends the audit.
	Guard func(ctx context.Context) error
	// TableSize is the number of documents per pass; 0 is DefaultTableSize.
	TableSize int
}

// Audit runs the audit.
func (a *Auditor) Audit(ctx context.Context) (Audited, error) {
	var sum Audited
	size := a.TableSize
	if size <= 0 {
		size = DefaultTableSize
	}
	t := &Tally{counter: a.Counter, lost: a.missing, hidden: a.unreadable, gap: a.gap,
		guard: a.guard}
	var after *Hash
	for {
		begun := a.Counter.Now()
		more, err := t.load(ctx, after, size)
		if err != nil {
			return sum, err
		}
		sum.Documents += int64(len(t.entries))
		t.seen, t.unreadable = 0, 0
		if err := a.Referrers(ctx, t); err != nil {
			return sum, err
		}
		t.Rollback()
		if err := t.resolve(ctx); err != nil {
			return sum, err
		}
		sum.References = t.seen
		sum.Unreadable = t.unreadable
		undecided, err := a.judge(ctx, t, begun)
		if err != nil {
			return sum, err
		}
		sum.Undecided += undecided
		if !more {
			return sum, nil
		}
		last := t.entries[len(t.entries)-1].hash
		after = &last
	}
}

func (a *Auditor) guard(ctx context.Context) error {
	if a.Guard == nil {
		return nil
	}
	return a.Guard(ctx)
}

// missing reports a reference to a document that does not exist, if the referrer still exists. The
// referrer existed before the look-up of the document, so it existed at that moment.
func (a *Auditor) missing(ctx context.Context, holder []byte, ref Ref) error {
	holds, err := a.Holds(ctx, holder, ref)
	if err != nil {
		return err
	}
	if holds {
		a.Found(Finding{Fault: Missing, Hash: ref.Hash, Holder: holder, Referenced: 1})
	}
	return nil
}

// unreadable reports a reference to a document that the database cannot read.
func (a *Auditor) unreadable(_ context.Context, holder []byte, ref Ref) error {
	a.Found(Finding{Fault: Unreadable, Hash: ref.Hash, Holder: holder, Referenced: 1})
	return nil
}

// gap reports documents that the database cannot read. Their referrers are reported one by one.
func (a *Auditor) gap(g database.Gap) error {
	a.Found(Finding{Fault: Unreadable, Hash: Hash(g.From), Gap: &g})
	return nil
}

// judge decides on the documents that differ. It returns the number of those on which it cannot.
func (a *Auditor) judge(ctx context.Context, t *Tally, begun time.Time) (undecided int64, err error) {
	limit := begun.Add(-a.Grace).UnixMilli()
	settled, judged := false, 0
	for i := range t.entries {
		e := &t.entries[i]
		if e.damaged {
			a.Found(Finding{Fault: Uncounted, Hash: e.hash, Referenced: e.found.refs})
			continue
		}
		if e.counts.sums == e.found && !(e.quarantined && e.counts.refs > 0) && e.counts.touched != noTouch {
			continue
		}
		if e.counts.touched > limit {
			undecided++
			continue
		}
		if !settled {
			if err := a.settle(ctx); err != nil {
				return undecided, err
			}
			settled = true
		}
		if judged++; judged%judgeBatch == 0 {
			if err := a.guard(ctx); err != nil {
				return undecided, err
			}
		}
		decided, err := a.decide(ctx, e, t.unreadable > 0)
		if err != nil {
			return undecided, err
		}
		if !decided {
			undecided++
		}
	}
	return undecided, nil
}

func (a *Auditor) settle(ctx context.Context) error {
	switch {
	case a.Settle <= 0:
		return nil
	case a.Wait != nil:
		return a.Wait(ctx, a.Settle)
	}
	timer := time.NewTimer(a.Settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decide reports what is wrong with a document that differs, if nobody has touched it since, and
// repairs it.
func (a *Auditor) decide(ctx context.Context, e *entry, raiseOnly bool) (decided bool, err error) {
	now, quarantined, exists, err := a.Counter.read(ctx, e.hash)
	if database.IsDamaged(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !exists {
		// A collector deleted it meanwhile, so it had no references. If a referrer needs it,
		// missing reports that.
		return e.found.refs == 0, nil
	}
	if now != e.counts {
		return false, nil
	}
	found := Finding{Hash: e.hash, Counted: now.refs, Referenced: e.found.refs}
	to := e.found
	switch {
	case now.touched == noTouch:
		// The repair sets the time of change to now, so that the next audit can judge it.
		found.Fault, to = Untouched, now.sums
	case now.sums == e.found && quarantined && now.refs > 0:
		found.Fault = FalseQuarantine
	case now.sums == e.found:
		return true, nil
	case now.refs > e.found.refs:
		found.Fault = Leaked
	case now.refs < e.found.refs:
		found.Fault = TooLow
	default:
		found.Fault = Mismatch
	}
	if raiseOnly && (found.Fault == Leaked || found.Fault == Mismatch) {
		return false, nil
	}
	if a.Repair && (!a.LeaksOnly || found.Fault == Leaked) {
		if found.Repaired, err = a.Counter.correct(ctx, e.hash, now, to); err != nil {
			return false, err
		}
		if !found.Repaired {
			return false, nil // touched just now
		}
	}
	a.Found(found)
	return true, nil
}

// correct sets the counts of a document, if they are still those that were read.
func (c *Counter) correct(ctx context.Context, h Hash, from counts, to sums) (bool, error) {
	var touched any // absent
	if from.touched != noTouch {
		touched = bson.DateTime(from.touched)
	}
	set := bson.D{{Key: c.refs, Value: to.refs}, {Key: c.magic, Value: to.magic}, {Key: c.touched, Value: c.Now()}}
	update := bson.D{{Key: "$set", Value: set}}
	if to.refs > 0 {
		update = append(update, bson.E{Key: "$unset", Value: bson.D{{Key: c.quarantined, Value: ""}}})
	}
	res, err := c.coll.UpdateOne(ctx, bson.D{{Key: c.key, Value: h.Binary()},
		{Key: c.refs, Value: from.refs}, {Key: c.magic, Value: from.magic}, {Key: c.touched, Value: touched}}, update)
	if err != nil {
		return false, fmt.Errorf("correct the counts of %v: %w", h, err)
	}
	return res.MatchedCount == 1, nil
}
