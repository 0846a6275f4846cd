package docstore

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/query"
)

// maintain closes what nobody uses any more, until the server closes.
func (s *Server) maintain() {
	idle := time.NewTicker(maintenancePeriod)
	defer idle.Stop()
	swept := time.NewTicker(sessionSweepPeriod)
	defer swept.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-idle.C:
			s.cursors.expire(now)
			s.expireTransactions(now)
		case now := <-swept.C:
			if err := s.sessions.sweep(s.ctx, now); err != nil {
				s.log.Error("maintenance", "err", err)
			}
		}
	}
}

// expireDocuments deletes what TTL indexes say has expired, until the server closes. It may have to
// wait for a transaction, so it is apart from what aborts transactions.
func (s *Server) expireDocuments(period time.Duration) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-t.C:
			s.deleteExpired(s.ctx, now)
		}
	}
}

// expireTransactions aborts transactions that are open too long, their cursors first.
func (s *Server) expireTransactions(now time.Time) {
	s.sessions.expire(now, s.closeCursorsOf)
}

// deleteExpired deletes the documents that a TTL index says have expired.
func (s *Server) deleteExpired(ctx context.Context, now time.Time) {
	for _, c := range s.eng.catalog.Load().byName {
		for _, ix := range c.indexes {
			if !ix.ttl || ctx.Err() != nil {
				continue
			}
			n, err := s.deleteExpiredBy(ctx, c, ix, now)
			if err != nil && ctx.Err() == nil {
				s.log.Error("delete expired documents", "collection", c.ns(), "err", err)
			}
			if n > 0 {
				s.log.Debug("deleted expired documents", "collection", c.ns(), "n", n)
			}
		}
	}
}

// deleteExpiredBy deletes like an unacknowledged write: a crash undoes at worst the last few, which
// expire again.
func (s *Server) deleteExpiredBy(ctx context.Context, c *collection, ix *index, now time.Time) (n int, err error) {
	before := bson.NewDateTimeFromTime(now.Add(-ix.expireAfter))
	// As in MongoDB, the earliest date of an array counts, and what is no date never expires.
	cond := bson.D{{Key: ix.fields[0].Path, Value: bson.D{{Key: "$lt", Value: before}}}}
	raw, err := bson.Marshal(cond)
	if err != nil {
		return 0, err
	}
	if ix.partial != nil {
		partial := bson.Raw(ix.spec).Lookup("partialFilterExpression").Document()
		if raw, err = bson.Marshal(bson.D{{Key: "$and", Value: bson.A{partial, bson.Raw(raw)}}}); err != nil {
			return 0, err
		}
	}
	filter, err := query.ParseFilter(raw)
	if err != nil {
		return 0, err
	}
	r := &request{srv: s, name: "delete", db: c.db}
	w := r.newWriter(c.name)
	defer w.close()
	err = w.many(ctx, filter, bson.RawValue{}, func(c *collection, t *target) error {
		n++
		return w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil)
	})
	return n, errors.Join(err, w.flush())
}
