package dedupe

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Fault is what an audit finds wrong with a document.
type Fault int

const (
	// Leaked: more references are counted than there are. It costs space.
	Leaked Fault = iota + 1
	// TooLow: fewer references are counted than there are. Nothing but damage does that.
	TooLow
	// Mismatch: as many are counted as there are, but not these.
	Mismatch
	// FalseQuarantine: a document with references is marked as unused. It cannot be deleted so.
	FalseQuarantine
	// Untouched: the document does not say when its counts were changed, so that nothing can be
	// decided.
	Untouched
	// Uncounted: the document has no counts. Nothing repairs that, and nothing deletes it.
	Uncounted
	// Missing: the document does not exist, and a referrer needs it. Nothing repairs that.
	Missing
)

var faultNames = map[Fault]string{
	Leaked: "leaked", TooLow: "too low", Mismatch: "mismatch", FalseQuarantine: "quarantined",
	Untouched: "untouched", Uncounted: "uncounted", Missing: "missing",
}

func (f Fault) String() string { return faultNames[f] }

// A Finding is one thing that an audit found and is sure of.
type Finding struct {
	Fault      Fault
	Hash       Hash
	Holder     []byte // Missing: the referrer
	Counted    int64  // references
	Referenced int64
	Repaired   bool
}

// Audited sums up an audit.
type Audited struct {
	Documents  int64 `json:"documents"`
	References int64 `json:"references"`
	// Undecided documents differ from what was found, and were changed too shortly before or during
	// the audit to say whether that is wrong.
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
	// Holds reports whether the referrer is still there, with that reference.
	Holds func(ctx context.Context, holder []byte, ref Ref) (bool, error)
	// Found is called with each finding.
	Found func(Finding)
	// Grace is how long a document must not have been touched to be judged, Settle how long to wait
	// for releases on their way. Less than DefaultGrace and DefaultSettle is only for when nothing
	// else uses the store.
	Grace, Settle time.Duration
	// Wait waits; nil uses the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Repair says whether to repair what can be, LeaksOnly that this is leaks.
	Repair, LeaksOnly bool
	// Guard is called before each batch, if not nil. It may take its time; its error ends the
	// audit.
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
	t := &Tally{counter: a.Counter, lost: a.missing, guard: a.guard}
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

// missing reports a reference to a document that does not exist, if the referrer is still there. It
// was there before the document was looked up, so it was there at that moment.
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

// judge decides on the documents that differ. It returns on how many it cannot.
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

// decide reports what is wrong with a document that differs and that nobody has touched since, and
// repairs it.
func (a *Auditor) decide(ctx context.Context, e *entry, raiseOnly bool) (decided bool, err error) {
	now, quarantined, exists, err := a.Counter.read(ctx, e.hash)
	if err != nil {
		return false, err
	}
	if !exists {
		// Collected meanwhile, so it had no references. Whoever needs it reports that it is
		// missing.
		return e.found.refs == 0, nil
	}
	if now != e.counts {
		return false, nil
	}
	found := Finding{Hash: e.hash, Counted: now.refs, Referenced: e.found.refs}
	to := e.found
	switch {
	case now.touched == noTouch:
		// The repair is to say that it was changed now: then the next audit can judge it.
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
