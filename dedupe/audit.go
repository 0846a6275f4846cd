package dedupe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	// Referrers gives every reference that there is to the Tally.
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
	// TableSize is the number of references in memory; 0 is DefaultTableSize.
	TableSize int
	// Dir is where temporary files are made, in a directory that only this user can read; "" is that
	// of the operating system.
	Dir string
	// Disk bounds these files, in bytes; 0 is DefaultDisk. They take about RecordSize for each
	// reference, and as much again while files become one. If the references to all documents do not
	// fit, the audit reads the referrers once for each part of the hashes whose references do.
	Disk int64
	// From and To are the first and the last hash to audit; a zero To is the last that there can be.
	From, To Hash
	// Saved, if not nil, is called when all hashes up to last are done, with what came of those since
	// the call before. Its error ends the audit.
	Saved func(ctx context.Context, last Hash, part Audited) error
}

// RecordSize is about what a reference takes in a temporary file, in bytes.
const RecordSize = recordHead + maxHolder

// Audit runs the audit.
func (a *Auditor) Audit(ctx context.Context) (sum Audited, err error) {
	to := a.To
	if to == (Hash{}) {
		to = lastHash
	}
	for from := a.From; ; {
		part, last, err := a.section(ctx, from, to)
		sum.Add(part)
		if err == nil && a.Saved != nil {
			err = a.Saved(ctx, last, part)
		}
		if err != nil || last == to {
			return sum, err
		}
		from = last.successor()
	}
}

// Add adds what came of another part of the hashes.
func (s *Audited) Add(o Audited) {
	s.Documents += o.Documents
	s.References += o.References
	s.Undecided += o.Undecided
	s.Unreadable = max(s.Unreadable, o.Unreadable) // each part meets all referrers
}

// section audits the hashes from from on up to last, which is to, or less if there are more references
// than fit on the disk.
func (a *Auditor) section(ctx context.Context, from, to Hash) (sum Audited, last Hash, err error) {
	t := &Tally{limit: cmp.Or(max(a.TableSize, 0), DefaultTableSize), shelf: shelf{parent: a.Dir},
		from: from, to: to, disk: cmp.Or(max(a.Disk, 0), DefaultDisk) / 2}
	defer func() { err = errors.Join(err, t.shelf.remove()) }()
	c := &comparison{Auditor: a, sum: &sum, begun: a.Counter.Now(), from: from}
	if err := a.Referrers(ctx, t); err != nil {
		return sum, from, err
	}
	c.read, c.raiseOnly = a.Counter.Now(), t.unreadable > 0
	sum.Unreadable = t.unreadable
	if c.found, err = t.sorted(); err != nil {
		return sum, from, err
	}
	c.to = t.to
	defer func() { err = errors.Join(err, c.found.close()) }()
	return sum, c.to, c.run(ctx)
}

// A comparison walks along the counts and the references, both in the order of their hashes.
type comparison struct {
	*Auditor
	sum         *Audited
	from, to    Hash
	found       *merge
	begun, read time.Time // when the reading of the referrers began and ended
	raiseOnly   bool      // some referrers could not be read
	settled     bool
	candidates  []entry
	unknown     []unknown
}

func (c *comparison) run(ctx context.Context) error {
	// Documents whose key is no hash are ignored: nothing can refer to them.
	scan := database.Scan{Collection: c.Counter.coll, Field: c.Counter.key, Key: database.Key{Size: HashSize},
		From: c.from[:], To: c.to[:], Projection: c.Counter.countProjection(), Page: tableBatch}
	err := scan.Pages(ctx, func(docs []bson.Raw) error {
		if err := c.guard(ctx); err != nil {
			return err
		}
		for _, doc := range docs {
			if err := c.document(ctx, doc); err != nil {
				return err
			}
		}
		if len(c.candidates) < maxCandidates {
			return nil
		}
		return c.judge(ctx)
	}, c.gap)
	if err != nil {
		return fmt.Errorf("compare counts: %w", err)
	}
	if err := c.pass(ctx, nil); err != nil {
		return err
	}
	if err := c.resolve(ctx, c.unknown); err != nil {
		return err
	}
	return c.judge(ctx)
}

// document compares the counts of a document with the references to it.
func (c *comparison) document(ctx context.Context, doc bson.Raw) error {
	h, err := hashOf(doc, c.Counter.key)
	if err != nil {
		return err
	}
	if err := c.pass(ctx, &h); err != nil {
		return err
	}
	e := entry{hash: h}
	if err := c.add(&e); err != nil {
		return err
	}
	c.sum.Documents++
	e.counts, e.quarantined, err = c.Counter.countsOf(doc)
	if err != nil {
		c.Found(Finding{Fault: Uncounted, Hash: h, Referenced: e.found.refs})
		return nil
	}
	if e.counts.sums == e.found && !(e.quarantined && e.counts.refs > 0) && e.counts.touched != noTouch {
		return nil
	}
	if e.unsure || e.counts.touched > c.begun.Add(-c.Grace).UnixMilli() {
		c.sum.Undecided++
		return nil
	}
	c.candidates = append(c.candidates, e)
	return nil
}

// pass passes over the references before a hash, or all that are left: the scan met no document for
// them.
func (c *comparison) pass(ctx context.Context, h *Hash) error {
	for {
		r, err := c.found.peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h != nil && bytes.Compare(r.hash[:], h[:]) >= 0 {
			return nil
		}
		c.sum.References++
		c.unknown = append(c.unknown, unknown{bytes.Clone(r.holder[:r.size]), Ref{r.hash, r.magic}})
		if _, err := c.found.next(); err != nil {
			return err
		}
		if len(c.unknown) >= maxUnknown {
			if err := c.resolve(ctx, c.unknown); err != nil {
				return err
			}
			c.unknown = c.unknown[:0]
		}
	}
}

// add sums up the references to a document.
func (c *comparison) add(e *entry) error {
	var last Magic
	repeated := false // whether last is of a referrer that may have been read twice
	for {
		r, err := c.found.peek()
		if err == io.EOF || err == nil && r.hash != e.hash {
			return nil
		}
		if err != nil {
			return err
		}
		c.sum.References++
		if r.repeated && repeated && r.magic == last {
			e.unsure = true
		} else {
			e.found.refs++
			e.found.magic += int64(r.magic)
		}
		last, repeated = r.magic, r.repeated
		if _, err := c.found.next(); err != nil {
			return err
		}
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

// judge decides on the documents that differ.
func (c *comparison) judge(ctx context.Context) error {
	for i := range c.candidates {
		if !c.settled {
			if err := c.settle(ctx); err != nil {
				return err
			}
			c.settled = true
		}
		if i%judgeBatch == judgeBatch-1 {
			if err := c.guard(ctx); err != nil {
				return err
			}
		}
		decided, err := c.decide(ctx, &c.candidates[i], c.raiseOnly)
		if err != nil {
			return err
		}
		if !decided {
			c.sum.Undecided++
		}
	}
	c.candidates = c.candidates[:0]
	return nil
}

// settle waits until releases that were under way when the last referrer was read have come.
func (c *comparison) settle(ctx context.Context) error {
	d := c.Settle - c.Counter.Now().Sub(c.read)
	switch {
	case d <= 0:
		return nil
	case c.Wait != nil:
		return c.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
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
