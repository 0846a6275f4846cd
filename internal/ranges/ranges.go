package ranges

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"gadwall/internal/database"
	"gadwall/internal/lease"
)

const (
	collection = "rounds"
	// maxRanges is the largest number of ranges of a round, one for each first octet. perRange is how
	// many documents are worth a range of their own.
	maxRanges = 256
	perRange  = 50_000
	// pollInterval is how often an instance looks whether others have ended their ranges.
	pollInterval = time.Second
)

// A Job is long work on one collection.
type Job struct {
	Name string
	// KeySize is that of the keys that ranges consist of, in octets.
	KeySize  int
	Database *mongo.Database
	Redis    *redis.Client // for leases; nil without
	Log      *slog.Logger  // nil is slog.Default()
	// Poll waits for others; nil uses the clock.
	Poll func(ctx context.Context) error
	// PerRange is how many documents are worth a range of their own; 0 is the default.
	PerRange int64
	// Keep makes Begin note in the database even a round of a single range.
	Keep bool
}

// A Round is one run through all ranges.
type Round struct {
	job  *Job
	coll *mongo.Collection
	doc  roundDocument
	// Resumed says that the round had been begun before.
	Resumed bool
	// local says that the round is of one range and in no database: it is so short that a killed
	// instance begins again.
	local bool
}

type roundDocument struct {
	Job   string        `bson:"_id"`
	Round bson.ObjectID `bson:"round"`
	Begun time.Time     `bson:"begun"`
	// Ranges is a power of two, at most maxRanges.
	Ranges int      `bson:"ranges"`
	Note   bson.Raw `bson:"note,omitempty"`
}

func (j *Job) rounds() *mongo.Collection {
	return j.Database.Collection(collection, database.Committed())
}

// Local returns a round of one range that leaves nothing in the database.
func (j *Job) Local() *Round {
	return &Round{job: j, local: true, doc: roundDocument{
		Job: j.Name, Round: bson.NewObjectID(), Begun: time.Now().UTC(), Ranges: 1}}
}

// Begin goes on with the round that is under way, or begins one. It is about so many documents; if
// these are few, a new round is a local one. note, which may be nil, is kept with a new round that is
// not.
func (j *Job) Begin(ctx context.Context, documents int64, note any) (*Round, error) {
	ranges := 1
	for ranges < maxRanges && int64(ranges)*cmp.Or(j.PerRange, perRange) < documents {
		ranges *= 2
	}
	for {
		r, err := j.Find(ctx)
		if err != nil || r != nil {
			return r, err
		}
		if ranges == 1 && !j.Keep {
			return j.Local(), nil
		}
		r = &Round{job: j, coll: j.rounds(), doc: roundDocument{
			Job: j.Name, Round: bson.NewObjectID(), Ranges: ranges,
			Begun: time.Now().UTC().Truncate(time.Millisecond)}}
		if note != nil {
			if r.doc.Note, err = bson.Marshal(note); err != nil {
				return nil, fmt.Errorf("begin %s: %w", j.Name, err)
			}
		}
		_, err = r.coll.InsertOne(ctx, r.doc)
		if mongo.IsDuplicateKeyError(err) {
			continue // another instance was faster
		}
		if err != nil {
			return nil, fmt.Errorf("begin %s: %w", j.Name, err)
		}
		return r, nil
	}
}

// Find returns the round that is under way; nil if there is none.
func (j *Job) Find(ctx context.Context) (*Round, error) {
	r := &Round{job: j, coll: j.rounds(), Resumed: true}
	err := r.coll.FindOne(ctx, bson.D{{Key: "_id", Value: j.Name}}).Decode(&r.doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", j.Name, err)
	}
	return r, nil
}

// Begun is when the round began.
func (r *Round) Begun() time.Time { return r.doc.Begun }

// Note returns what Begin kept with the round; nil if nothing.
func (r *Round) Note() bson.Raw { return r.doc.Note }

// Kept reports whether the round is in the database.
func (r *Round) Kept() bool { return !r.local }

// Same reports whether both are one round.
func (r *Round) Same(o *Round) bool { return o != nil && r.doc.Round == o.doc.Round }

// End removes the round: the next Begin begins another one.
func (r *Round) End(ctx context.Context) error {
	if r.local {
		return nil
	}
	_, err := r.coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: r.job.Name}, {Key: "round", Value: r.doc.Round}})
	if err == nil {
		_, err = r.coll.DeleteMany(ctx, r.all())
	}
	if err != nil {
		return fmt.Errorf("end %s: %w", r.job.Name, err)
	}
	return nil
}

// all is the condition for the ranges of the round.
func (r *Round) all() bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: r.id(0)}, {Key: "$lte", Value: r.id(r.doc.Ranges - 1)}}}}
}

func (r *Round) id(index int) string {
	return fmt.Sprintf("%s/%s/%02x", r.job.Name, r.doc.Round.Hex(), index)
}

// A State is how far a range is.
type State struct {
	Index int
	Count int64 // documents
	Done  bool
	Note  bson.Raw // of the job; nil if there is none
	at    []byte
}

type rangeDocument struct {
	ID    string   `bson:"_id"`
	Job   string   `bson:"job"`
	Token int64    `bson:"token"`
	At    []byte   `bson:"at,omitempty"`
	Count int64    `bson:"n"`
	Done  bool     `bson:"done"`
	Note  bson.Raw `bson:"note,omitempty"`
}

// States returns how far each range is.
func (r *Round) States(ctx context.Context) ([]State, error) {
	states := make([]State, r.doc.Ranges)
	for i := range states {
		states[i].Index = i
	}
	if r.local {
		return states, nil
	}
	cur, err := r.coll.Find(ctx, r.all())
	if err == nil {
		defer cur.Close(context.WithoutCancel(ctx))
		for cur.Next(ctx) {
			var doc rangeDocument
			var i int
			if err := cur.Decode(&doc); err != nil {
				return nil, fmt.Errorf("ranges of %s: %w", r.job.Name, err)
			}
			if _, err := fmt.Sscanf(doc.ID[max(len(doc.ID)-2, 0):], "%02x", &i); err != nil || i >= len(states) {
				return nil, fmt.Errorf("ranges of %s: id %q", r.job.Name, doc.ID)
			}
			states[i] = State{Index: i, Count: doc.Count, Done: doc.Done, Note: doc.Note, at: doc.At}
		}
		err = cur.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("ranges of %s: %w", r.job.Name, err)
	}
	return states, nil
}

// Totals are sums over the ranges.
func Totals(states []State) (done int, documents int64) {
	for _, s := range states {
		documents += s.Count
		if s.Done {
			done++
		}
	}
	return done, documents
}

// A Range is one range whose lease this instance holds.
type Range struct {
	round *Round
	lease *lease.Lease
	state State
}

// Index is the number of the range in its round, in the order of the keys.
func (g *Range) Index() int { return g.state.Index }

// octets is how many first octets a range has.
func (r *Round) octets() int { return maxRanges / r.doc.Ranges }

// First and Last are the first and the last key of the range.
func (g *Range) First() []byte {
	key := make([]byte, g.round.job.KeySize)
	key[0] = byte(g.state.Index * g.round.octets())
	return key
}

// Last is the last key of the range.
func (g *Range) Last() []byte {
	key := bytes.Repeat([]byte{0xff}, g.round.job.KeySize)
	key[0] = byte((g.state.Index+1)*g.round.octets() - 1)
	return key
}

// Bounds are From and Last, but nil where no key is less than the range, or none greater: where keys
// of other types and lengths are, which should not exist.
func (g *Range) Bounds() (from, to []byte) {
	from, to = g.From(), g.Last()
	if g.state.Index == 0 && g.state.at == nil {
		from = nil
	}
	if g.state.Index == g.round.doc.Ranges-1 {
		to = nil
	}
	return from, to
}

// From is the position: the first key that is not done yet.
func (g *Range) From() []byte {
	if g.state.at != nil {
		return g.state.at
	}
	return g.First()
}

// Count is the number of documents that are done, Note what the job has kept with the range.
func (g *Range) Count() int64 { return g.state.Count }

// Note is what the job has kept with the range; nil if nothing.
func (g *Range) Note() bson.Raw { return g.state.Note }

// Check returns lease.ErrLost if another instance has taken the range.
func (g *Range) Check(ctx context.Context) error {
	if g.lease == nil {
		return ctx.Err()
	}
	return g.lease.Check(ctx)
}

// Save notes that all keys up to and including last are done, count documents more than before. note
// replaces the one before, unless it is nil.
func (g *Range) Save(ctx context.Context, last []byte, count int64, note any) error {
	if bytes.Compare(last, g.Last()) >= 0 {
		return g.save(ctx, nil, count, note, true)
	}
	next := bytes.Clone(last)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	return g.save(ctx, next, count, note, false)
}

// Finish notes that the whole range is done, count documents more than before.
func (g *Range) Finish(ctx context.Context, count int64, note any) error {
	return g.save(ctx, nil, count, note, true)
}

func (g *Range) save(ctx context.Context, at []byte, count int64, note any, done bool) error {
	state := g.state
	state.Count += count
	state.Done = done
	state.at = at
	if note != nil {
		raw, err := bson.Marshal(note)
		if err != nil {
			return fmt.Errorf("%s: %w", g.round.job.Name, err)
		}
		state.Note = raw
	}
	if g.round.local {
		g.state = state
		return nil
	}
	set := bson.D{{Key: "job", Value: g.round.job.Name}, {Key: "token", Value: g.lease.Token()},
		{Key: "n", Value: state.Count}, {Key: "done", Value: done}}
	if !done {
		set = append(set, bson.E{Key: "at", Value: at})
	}
	if note != nil {
		set = append(set, bson.E{Key: "note", Value: state.Note})
	}
	_, err := g.round.coll.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: g.round.id(state.Index)},
			{Key: "token", Value: bson.D{{Key: "$lte", Value: g.lease.Token()}}}},
		bson.D{{Key: "$set", Value: set}}, options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) { // there is one with a later token
		return fmt.Errorf("%s: range %02x: %w", g.round.job.Name, state.Index, lease.ErrLost)
	}
	if err != nil {
		return fmt.Errorf("%s: range %02x: %w", g.round.job.Name, state.Index, err)
	}
	g.state = state
	return nil
}

// take takes a range, unless another instance has it or it is done.
func (r *Round) take(ctx context.Context, index int) (*Range, error) {
	task := &lease.Task{Name: fmt.Sprintf("%s/%02x", r.job.Name, index), Database: r.job.Database,
		Redis: r.job.Redis, Log: r.job.Log}
	l, err := task.Acquire(ctx)
	if errors.Is(err, lease.ErrHeld) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g := &Range{round: r, lease: l, state: State{Index: index}}
	var doc rangeDocument
	err = r.coll.FindOne(ctx, bson.D{{Key: "_id", Value: r.id(index)}}).Decode(&doc)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		over, err := r.over(ctx)
		if err != nil || over {
			l.Release(ctx)
			return nil, err
		}
		return g, nil
	case err != nil:
		l.Release(ctx)
		return nil, fmt.Errorf("%s: range %02x: %w", r.job.Name, index, err)
	case doc.Done:
		l.Release(ctx)
		return nil, nil
	}
	g.state = State{Index: index, Count: doc.Count, Note: doc.Note, at: doc.At}
	return g, nil
}

// over reports whether another instance has ended the round.
func (r *Round) over(ctx context.Context) (bool, error) {
	now, err := r.job.Find(ctx)
	return err == nil && !r.Same(now), err
}

// Each calls f with each range that is not done, one after the other in each of so many workers,
// until every range is done, those of other instances included. f notes that its range is done by
// Finish. An error of f ends Each, but for lease.ErrLost: the range is another instance's then.
func (r *Round) Each(ctx context.Context, workers int, f func(ctx context.Context, g *Range) error) error {
	for {
		left, err := r.Help(ctx, workers, f)
		if err != nil || left == 0 {
			return err
		}
		if err := r.job.poll(ctx); err != nil {
			return err
		}
	}
}

// Help is Each for an instance that does not wait for others: it does the ranges that it can get,
// and returns how many were left to others.
func (r *Round) Help(ctx context.Context, workers int,
	f func(ctx context.Context, g *Range) error) (left int, err error) {
	if r.local {
		return 0, f(ctx, &Range{round: r})
	}
	if over, err := r.over(ctx); err != nil || over {
		return 0, err
	}
	states, err := r.States(ctx)
	if err != nil {
		return 0, err
	}
	var open []int
	for _, s := range states {
		if !s.Done {
			open = append(open, s.Index)
		}
	}
	// At random, so that instances seldom ask for the same range.
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	queue := make(chan int, len(open))
	for _, i := range open {
		queue <- i
	}
	close(queue)
	group, working := errgroup.WithContext(ctx)
	for range max(workers, 1) {
		group.Go(func() error {
			for i := range queue {
				if err := r.do(working, i, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return len(open), err
	}
	if len(open) == 0 {
		return 0, nil
	}
	if states, err = r.States(ctx); err != nil {
		return len(open), err
	}
	done, _ := Totals(states)
	return r.doc.Ranges - done, nil
}

func (r *Round) do(ctx context.Context, index int, f func(ctx context.Context, g *Range) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g, err := r.take(ctx, index)
	if err != nil || g == nil {
		return err
	}
	defer g.lease.Release(ctx)
	if err := f(ctx, g); err != nil && !errors.Is(err, lease.ErrLost) {
		return err
	}
	return nil
}

func (j *Job) poll(ctx context.Context) error {
	if j.Poll != nil {
		return j.Poll(ctx)
	}
	t := time.NewTimer(pollInterval)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
