package engine

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/query"
)

// expireDocuments deletes what TTL indexes say has expired, until the database closes. It may have
// to wait for a transaction, so it is apart from what aborts transactions.
func (e *Engine) expireDocuments(period time.Duration) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-t.C:
			err := contain(func() error {
				e.deleteExpired(e.ctx, now)
				return nil
			})
			if err != nil {
				e.log.Error("delete expired documents", "error", err.Error())
			}
		}
	}
}

// deleteExpired deletes the documents that a TTL index says have expired.
func (e *Engine) deleteExpired(ctx context.Context, now time.Time) {
	for _, c := range e.catalog.Load().byName {
		for _, ix := range c.Indexes {
			if !ix.ttl || ctx.Err() != nil {
				continue
			}
			n, err := e.deleteExpiredBy(ctx, c, ix, now)
			if err != nil && ctx.Err() == nil {
				e.log.Error("delete expired documents", "collection", c.Namespace(), "error", err)
			}
			if n > 0 {
				e.log.Debug("deleted expired documents", "collection", c.Namespace(), "n", n)
			}
		}
	}
}

// deleteExpiredBy deletes like an unacknowledged write: a crash undoes at worst the last few, which
// expire again.
func (e *Engine) deleteExpiredBy(ctx context.Context, c *Collection, ix *Index, now time.Time) (n int32, err error) {
	before := bson.NewDateTimeFromTime(now.Add(-ix.expireAfter))
	// As in MongoDB, the earliest date of an array counts, and what is no date never expires.
	cond := bson.D{{Key: ix.Fields[0].Path, Value: bson.D{{Key: "$lt", Value: before}}}}
	raw, err := bson.Marshal(cond)
	if err != nil {
		return 0, err
	}
	if ix.Partial != nil {
		partial := bson.Raw(ix.Spec).Lookup("partialFilterExpression").Document()
		if raw, err = bson.Marshal(bson.D{{Key: "$and", Value: bson.A{partial, bson.Raw(raw)}}}); err != nil {
			return 0, err
		}
	}
	filter, err := query.ParseFilter(raw)
	if err != nil {
		return 0, err
	}
	w := e.NewWriter(WriterOptions{DB: c.db, Collection: c.Name})
	defer w.Close()
	n, err = w.deleteMany(ctx, &Delete{Filter: filter})
	return n, errors.Join(err, w.Flush())
}
