package dedupe

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"
)

// IndexUnused is the name of the index that a Collector needs.
const IndexUnused = "unused"

// UnusedIndex is the index by which a Collector finds unused documents. It has entries only for
// documents without references.
func (c *Counter) UnusedIndex() mongo.IndexModel {
	return mongo.IndexModel{
		Keys: bson.D{{Key: c.quarantined, Value: 1}},
		Options: options.Index().SetName(IndexUnused).
			SetPartialFilterExpression(bson.D{{Key: c.refs, Value: int64(0)}}),
	}
}

// A Collector deletes documents to which nothing refers. Its methods may be called concurrently, by
// any number of processes. At most one of Holds and Deleted is set: it says how to give up what
// belongs to a document.
type Collector struct {
	Counter *Counter
	// Bytes returns the number of bytes stored for a document.
	Bytes func(doc bson.Raw) int64
	// Holds, if not nil, describes the references that the documents hold themselves.
	Holds *Holds
	// Deleted, if not nil, is called once with each deleted document, and deletes what belongs to
	// it. Its context does not end with that of Collect. An error ends the collection.
	Deleted func(ctx context.Context, doc bson.Raw) error
	// Guard, if not nil, is called before each batch; its error ends the collection.
	Guard func(ctx context.Context) error
	// Workers is the number of single deletes at the same time; 0 is collectWorkers.
	Workers int

	patience time.Duration // for tests; 0 is transactionTimeout
}

// An Amount is a number of documents, and the bytes stored for them.
type Amount struct {
	Documents int64 `json:"documents"`
	Bytes     int64 `json:"bytes"`
}

// A Plan says what there is to collect.
type Plan struct {
	Fresh   Amount `json:"fresh"`   // unused, to be quarantined
	Waiting Amount `json:"waiting"` // quarantined, but not for long enough
	Ready   Amount `json:"ready"`   // to be deleted
}

// Collected says what a collection did.
type Collected struct {
	Quarantined int64  `json:"quarantined"` // documents
	Deleted     Amount `json:"deleted"`
	// Busy documents are left to the next collection: others kept changing the documents to which
	// they refer.
	Busy int64 `json:"busy"`
}

// Plan counts the documents that Collect would handle. It changes nothing.
func (c *Collector) Plan(ctx context.Context, grace time.Duration) (Plan, error) {
	var p Plan
	for _, part := range []bson.E{c.Counter.fresh(), c.Counter.old()} {
		if err := c.plan(ctx, &p, part, grace); err != nil {
			return p, fmt.Errorf("look for unused documents: %w", err)
		}
	}
	return p, nil
}

func (c *Collector) plan(ctx context.Context, p *Plan, part bson.E, grace time.Duration) error {
	cutoff := c.Counter.Now().Add(-grace)
	cur, err := c.Counter.coll.Find(ctx, c.Counter.unused(part), options.Find().SetBatchSize(collectBatch))
	if err != nil {
		return err
	}
	defer cur.Close(context.WithoutCancel(ctx))
	for cur.Next(ctx) {
		to := &p.Fresh
		if grace <= 0 {
			to = &p.Ready // both steps at once
		} else if at, ok := lookup(cur.Current, c.Counter.quarantined).TimeOK(); ok {
			to = &p.Waiting
			if !at.After(cutoff) {
				to = &p.Ready
			}
		}
		to.Documents++
		to.Bytes += c.Bytes(cur.Current)
	}
	return cur.Err()
}

// Collect quarantines unused documents, and deletes those that have been in quarantine for the
// grace period. Without a grace period it also deletes those that it has just quarantined. After an
// error, done still says what was done.
func (c *Collector) Collect(ctx context.Context, grace time.Duration) (done Collected, err error) {
	if done.Quarantined, err = c.quarantine(ctx); err != nil {
		return done, err
	}
	cutoff := c.Counter.Now().Add(-grace)
	if c.Holds != nil {
		err = c.deleteHolders(ctx, cutoff, &done)
	} else {
		done.Deleted, err = c.deleteExpired(ctx, cutoff)
	}
	return done, err
}

// unused is the condition that nothing refers to a document. A query also needs a condition on the
// quarantine, so that the database uses the index.
func (c *Counter) unused(more ...bson.E) bson.D {
	return append(bson.D{{Key: c.refs, Value: int64(0)}, {Key: c.magic, Value: int64(0)}}, more...)
}

// byKey names the index on the hashes. A server that may choose takes the index of unused documents
// for a condition on hashes and counts, and then examines all that are unused for each batch.
func (c *Counter) byKey() bson.D { return bson.D{{Key: c.key, Value: 1}} }

// fresh is the condition that a document is not in quarantine, old that it is, expired that it is
// since cutoff or before.
func (c *Counter) fresh() bson.E { return bson.E{Key: c.quarantined, Value: nil} }

func (c *Counter) old() bson.E {
	return bson.E{Key: c.quarantined, Value: bson.D{{Key: "$gte", Value: bson.DateTime(0)}}}
}

func (c *Counter) expired(cutoff time.Time) bson.E {
	return bson.E{Key: c.quarantined, Value: bson.D{{Key: "$lte", Value: cutoff}}}
}

// quarantine marks unused documents. The update repeats the condition, so a document that was
// referenced since the query is not marked.
func (c *Collector) quarantine(ctx context.Context) (int64, error) {
	k := c.Counter
	var n int64
	err := c.hashes(ctx, k.unused(k.fresh()), func(hashes []Hash) error {
		keys := make(bson.A, len(hashes))
		for i, h := range hashes {
			keys[i] = h.Binary()
		}
		res, err := k.coll.UpdateMany(ctx,
			k.unused(k.fresh(), bson.E{Key: k.key, Value: bson.D{{Key: "$in", Value: keys}}}),
			bson.D{{Key: "$set", Value: bson.D{{Key: k.quarantined, Value: k.Now()}}}},
			options.UpdateMany().SetHint(k.byKey()))
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		n += res.ModifiedCount
		return nil
	})
	return n, err
}

// deleteExpired deletes documents that were quarantined until cutoff and are still unused.
func (c *Collector) deleteExpired(ctx context.Context, cutoff time.Time) (Amount, error) {
	k := c.Counter
	expired := k.expired(cutoff)
	var documents, bytes atomic.Int64
	workers := c.Workers
	if workers <= 0 {
		workers = collectWorkers
	}
	err := c.hashes(ctx, k.unused(expired), func(hashes []Hash) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(workers)
		for _, h := range hashes {
			group.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := c.delete(ctx, k.unused(expired, bson.E{Key: k.key, Value: h.Binary()}))
				if n >= 0 {
					documents.Add(1)
					bytes.Add(n)
				}
				return err
			})
		}
		return group.Wait()
	})
	return Amount{documents.Load(), bytes.Load()}, err
}

// delete deletes the document that meets the filter, if there is one, and returns its bytes; -1 if
// there is none. Of two callers that delete the same document, only one gets it.
func (c *Collector) delete(ctx context.Context, filter bson.D) (int64, error) {
	// The delete and Deleted run to their end even if ctx ends: otherwise what belongs to the
	// document would be leaked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	doc, err := c.Counter.coll.FindOneAndDelete(ctx, filter, options.FindOneAndDelete().
		SetHint(c.Counter.byKey())).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("delete an unused document: %w", err)
	}
	return c.Bytes(doc), c.Deleted(ctx, doc)
}

// hashes calls f with the hashes of the documents that meet the filter, in batches.
func (c *Collector) hashes(ctx context.Context, filter bson.D, f func([]Hash) error) error {
	var list []Hash
	return c.batches(ctx, filter, bson.D{{Key: c.Counter.key, Value: 1}}, func(h Hash, _ bson.Raw) {
		list = append(list, h)
	}, func() error {
		defer func() { list = list[:0] }()
		return f(list)
	})
}

// batches calls read with each document that meets the filter and has a hash, and flush after each
// batch of them.
func (c *Collector) batches(ctx context.Context, filter, projection bson.D,
	read func(Hash, bson.Raw), flush func() error) error {
	opts := options.Find().SetBatchSize(collectBatch)
	if projection != nil {
		opts.SetProjection(projection)
	}
	cur, err := c.Counter.coll.Find(ctx, filter, opts)
	if err != nil {
		return fmt.Errorf("look for unused documents: %w", err)
	}
	defer cur.Close(context.WithoutCancel(ctx))
	for {
		n := 0
		for n < collectBatch && cur.Next(ctx) {
			// A document whose key is no hash is passed over, so that it does not keep the others
			// from being collected.
			if h, err := hashOf(cur.Current, c.Counter.key); err == nil {
				read(h, cur.Current)
				n++
			}
		}
		if err := cur.Err(); err != nil {
			return fmt.Errorf("look for unused documents: %w", err)
		}
		if n == 0 {
			return nil
		}
		if c.Guard != nil {
			if err := c.Guard(ctx); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
