package maintenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/ranges"
)

const (
	// maxKept is how many findings of one range are kept in the database for the process that ends
	// the check, maxKeptSuspects how many damaged contents, and blobs. Beyond them it knows numbers
	// only.
	maxKept         = 1000
	maxKeptSuspects = 4096
	// saveUsers and saveMessages are after how many users or messages a check saves how far it is.
	saveUsers    = 500
	saveMessages = 20_000
)

// A stage is a phase of the check that is done by ranges of keys.
type stage struct {
	name    string // of its job
	keySize int
	// coll has about as many documents as the stage reads. perRange is as in ranges.Job.
	coll     *mongo.Collection
	perRange int64
	do       func(ctx context.Context, p *part) error
}

// A part is one range of a stage that this process does.
type part struct {
	*check
	g        *ranges.Range
	kept     bool     // in the database
	note     partNote // what is done of the range
	fresh    []Finding
	finished bool
}

// partNote is what the database keeps of a range: what it will add to the result.
type partNote struct {
	Sum      Checked   `bson:"sum"`
	Findings []Finding `bson:"findings,omitempty"` // the first maxKept
	Contents [][]byte  `bson:"contents,omitempty"` // damaged
	Blobs    [][]byte  `bson:"blobs,omitempty"`
	More     bool      `bson:"more,omitempty"` // not all of these
}

func (c *check) part(g *ranges.Range, kept bool) (*part, error) {
	p := &part{check: c, g: g, kept: kept}
	if g.Note() != nil {
		if err := bson.Unmarshal(g.Note(), &p.note); err != nil {
			return nil, fmt.Errorf("read what is done: %w", err)
		}
	}
	c.tell(g.Index(), p.note.Findings)
	return p, nil
}

// tell reports the findings of a range that were not reported yet.
func (c *check) tell(index int, findings []Finding) {
	for _, f := range findings[min(c.told[index], len(findings)):] {
		c.o.Found(f)
		c.told[index]++
	}
}

// found reports a finding. In a range that others may take over it does so when it is saved: the
// other one finds again what was not.
func (p *part) found(ctx context.Context, f Finding) {
	p.names.fill(ctx, &f)
	if p.kept && len(p.fresh) < maxKept {
		p.fresh = append(p.fresh, f)
		return
	}
	p.note.Sum.count(f)
	p.o.Found(f)
}

func (p *part) suspectContent(id contents.ID) {
	p.note.More = !p.remember(&p.note.Contents, id[:]) || p.note.More
}

func (p *part) suspectBlob(h dedupe.Hash) {
	p.note.More = !p.remember(&p.note.Blobs, h[:]) || p.note.More
}

// remember adds an id, unless it was the last, and reports false if there are too many.
func (p *part) remember(list *[][]byte, id []byte) bool {
	if n := len(*list); n > 0 && bytes.Equal((*list)[n-1], id) {
		return true
	}
	if p.kept && len(*list) >= maxKeptSuspects || len(*list) >= maxSuspects {
		return false
	}
	*list = append(*list, slices.Clone(id))
	return true
}

// save notes that all keys up to last are done, n documents more than before.
func (p *part) save(ctx context.Context, last []byte, n int64) error {
	if bytes.Compare(last, p.g.Last()) >= 0 {
		return p.finish(ctx, n)
	}
	p.keepFresh()
	if err := p.g.Save(ctx, last, n, &p.note); err != nil {
		return err
	}
	return p.saved(ctx)
}

func (p *part) finish(ctx context.Context, n int64) error {
	if p.finished {
		return nil
	}
	p.keepFresh()
	if err := p.g.Finish(ctx, n, &p.note); err != nil {
		return err
	}
	if p.finished = true; !p.kept {
		p.add(p.note)
	}
	return p.saved(ctx)
}

// keepFresh moves what was found since the last save into the note.
func (p *part) keepFresh() {
	for _, f := range p.fresh {
		p.note.Sum.count(f)
		if len(p.note.Findings) < maxKept {
			p.note.Findings = append(p.note.Findings, f)
		}
	}
}

// saved reports what was found.
func (p *part) saved(ctx context.Context) error {
	for _, f := range p.fresh {
		p.o.Found(f)
		p.told[p.g.Index()]++
	}
	p.fresh = nil
	return p.done(ctx, p.g.Count())
}

// add adds what came of a range to the result.
func (c *check) add(n partNote) {
	c.sum.add(&n.Sum)
	for _, id := range n.Contents {
		c.suspects.content(contents.ID(id))
	}
	for _, h := range n.Blobs {
		c.suspects.blob(dedupe.Hash(h))
	}
	c.suspects.more = c.suspects.more || n.More
}

// count counts a finding.
func (c *Checked) count(f Finding) {
	if c.Found == nil {
		c.Found = make(map[string]int64)
	}
	c.Found[f.Kind]++
	if f.Repaired {
		c.Repaired++
	} else {
		c.Damaged++
	}
}

func (c *Checked) add(o *Checked) {
	c.Mail.Add(o.Mail)
	c.Contents.Add(o.Contents)
	c.Blobs.Add(o.Blobs)
	c.Files += o.Files
	c.Repaired += o.Repaired
	c.Damaged += o.Damaged
	for kind, n := range o.Found {
		c.Found[kind] += n
	}
}

// refused is an error of the caller's guard. It hides lease.ErrLost from package ranges, which takes
// that for the loss of a range.
type refused struct{ err error }

func (r refused) Error() string { return r.err.Error() }

func (c *check) job(s *stage) *ranges.Job {
	perRange := s.perRange
	if c.o.perRange > 0 {
		perRange = c.o.perRange
	}
	return &ranges.Job{Name: "check" + c.o.mode() + "-" + s.name, KeySize: s.keySize,
		Database: c.mail.MessageCollection().Database(), Redis: c.o.Redis, Log: c.o.Log,
		Poll: c.o.poll, PerRange: perRange, Keep: c.keep}
}

// mode names the options that processes which share a check have in common.
func (o *CheckOptions) mode() (mode string) {
	for _, f := range []struct {
		set  bool
		name string
	}{{o.Repair && !o.LeaksOnly, "-repair"}, {o.Repair && o.LeaksOnly, "-leaks"}, {o.Deep, "-deep"},
		{o.Offline, "-offline"}} {
		if f.set {
			mode += f.name
		}
	}
	return mode
}

// run does a stage: with others, and from where it was interrupted, if the check is shared.
func (c *check) run(ctx context.Context, s *stage) error {
	n, err := estimate(ctx, s.coll)
	if err != nil {
		return err
	}
	job := c.job(s)
	round := job.Local()
	if c.keep {
		if round, err = job.Begin(ctx, n, nil); err != nil {
			return err
		}
	}
	states, err := round.States(ctx)
	if err != nil {
		return err
	}
	c.told = make(map[int]int)
	c.progress.Total = n
	_, c.before = ranges.Totals(states)
	if round.Begun().Before(c.begun) {
		c.begun = round.Begun()
	}
	if err := c.done(ctx, 0); err != nil {
		return err
	}
	if err := round.Each(ctx, 1, c.each(s, round)); err != nil {
		return err
	}
	if !round.Kept() {
		return nil
	}
	return c.gather(ctx, round)
}

// estimate returns about how many documents a collection has; 0 if the database cannot tell because it
// is damaged.
func estimate(ctx context.Context, coll *mongo.Collection) (int64, error) {
	n, err := coll.EstimatedDocumentCount(ctx)
	if err != nil && !database.IsDamaged(err) {
		return 0, fmt.Errorf("estimate %s: %w", coll.Name(), err)
	}
	return n, nil
}

// each returns what does a range.
func (c *check) each(s *stage, round *ranges.Round) func(context.Context, *ranges.Range) error {
	return func(ctx context.Context, g *ranges.Range) error {
		p, err := c.part(g, round.Kept())
		if err != nil {
			return err
		}
		c.before -= g.Count() // it is what the part says from now on
		if err := s.do(ctx, p); err != nil {
			return err
		}
		c.before += g.Count()
		c.ranges++
		return nil
	}
}

func unrefused(err error) error {
	var r refused
	if errors.As(err, &r) {
		return r.err
	}
	return err
}

// errEnded: another process has ended the check that this one took part in.
var errEnded = errors.New("another process has ended this check")

// gather adds what came of all ranges, whichever process did them.
func (c *check) gather(ctx context.Context, round *ranges.Round) error {
	states, err := round.States(ctx)
	if err != nil {
		return err
	}
	for _, state := range states {
		if !state.Done {
			return errEnded
		}
		var note partNote
		if state.Note != nil {
			if err := bson.Unmarshal(state.Note, &note); err != nil {
				return fmt.Errorf("read what is done: %w", err)
			}
		}
		c.tell(state.Index, note.Findings)
		c.add(note)
	}
	return nil
}
