package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/internal/database"
)

// Holds describes the references that the documents of a Collector hold to documents of another
// kind. One transaction deletes a holder and releases its references, so that no crash leaves them
// counted. Others that change the counts of the same documents wait for that transaction, or make
// it fail and begin again.
type Holds struct {
	// Counter counts the references.
	Counter *Counter
	// Field is the field in which a document keeps them; its value never changes. A document that
	// was deleted and stored again meanwhile has another value there, since every reference has a
	// magic of its own.
	Field string
	// Refs reads the references from a document with that field.
	Refs func(doc bson.Raw) []Ref
	// NotHeld is called for a deleted document some of whose references were not counted. The
	// others were released.
	NotHeld func(Hash)
}

// A holder is an unused document as it was read.
type holder struct {
	hash  Hash
	bytes int64
	field bson.RawValue
	refs  []Ref
}

var (
	// errChanged: a document has changed since it was read. errPartly: some references were not
	// counted. Both undo a transaction on several documents; the collector then deletes these one
	// by one.
	errChanged = errors.New("unused documents were changed meanwhile")
	errPartly  = errors.New("some references are not counted")
)

// deleteHolders deletes documents that were quarantined until cutoff and are still unused, with the
// references that they hold.
func (c *Collector) deleteHolders(ctx context.Context, cutoff time.Time, done *Collected) error {
	k := c.Counter
	expired := k.expired(cutoff)
	var idle, holders []holder
	return c.batches(ctx, k.unused(expired), nil, func(hash Hash, doc bson.Raw) {
		h := holder{hash: hash, bytes: c.Bytes(doc), field: lookup(doc, c.Holds.Field), refs: c.Holds.Refs(doc)}
		h.field.Value = append([]byte(nil), h.field.Value...) // not the cursor's
		if len(h.refs) == 0 {
			idle = append(idle, h)
		} else {
			holders = append(holders, h)
		}
	}, func() error {
		defer func() { idle, holders = idle[:0], holders[:0] }()
		if err := c.deleteIdle(ctx, expired, idle, done); err != nil {
			return err
		}
		for len(holders) > 0 {
			n := holdersPerTransaction(holders)
			if err := c.deleteTogether(ctx, expired, holders[:n], done); err != nil {
				return err
			}
			holders = holders[n:]
		}
		return nil
	})
}

// holdersPerTransaction returns how many of the holders one transaction deletes, at least one.
func holdersPerTransaction(holders []holder) (n int) {
	refs := 0
	for n < min(len(holders), maxHolders) {
		if refs += len(holders[n].refs); n > 0 && refs > maxHolderRefs {
			break
		}
		n++
	}
	return n
}

// deletions returns the statements that delete these documents, if they are still unused and
// unchanged.
func (c *Collector) deletions(expired bson.E, list []holder) []mongo.WriteModel {
	models := make([]mongo.WriteModel, len(list))
	for i, h := range list {
		same := bson.E{Key: c.Holds.Field, Value: h.field}
		if h.field.IsZero() {
			same.Value = nil
		}
		models[i] = mongo.NewDeleteOneModel().SetFilter(
			c.Counter.unused(expired, same, bson.E{Key: c.Counter.key, Value: h.hash.Binary()})).
			SetHint(c.Counter.byKey())
	}
	return models
}

// deleteIdle deletes documents that hold no references.
func (c *Collector) deleteIdle(ctx context.Context, expired bson.E, list []holder, done *Collected) error {
	if len(list) == 0 {
		return nil
	}
	res, err := c.Counter.coll.BulkWrite(ctx, c.deletions(expired, list), options.BulkWrite().SetOrdered(false))
	if err != nil {
		return fmt.Errorf("delete unused documents: %w", err)
	}
	left := make(map[Hash]bool)
	if res.DeletedCount != int64(len(list)) {
		// The answer has only a sum. Documents that are used again still exist.
		docs := make([]docRefs, len(list))
		for i, h := range list {
			docs[i].hash = h.hash
		}
		if left, err = c.Counter.present(ctx, docs); err != nil {
			return err
		}
	}
	done.Deleted.Documents += res.DeletedCount
	for _, h := range list {
		if !left[h.hash] {
			done.Deleted.Bytes += h.bytes
		}
	}
	return nil
}

// deleteTogether deletes documents in one transaction, or else each in one of its own.
func (c *Collector) deleteTogether(ctx context.Context, expired bson.E, list []holder, done *Collected) error {
	err := c.deleteHeld(ctx, expired, list, len(list) == 1)
	switch {
	case err == nil:
		done.Deleted.Documents += int64(len(list))
		for _, h := range list {
			done.Deleted.Bytes += h.bytes
		}
		return nil
	case errors.Is(err, errChanged) && len(list) == 1:
		return nil // used again, or deleted by somebody else
	case database.IsConflict(err) && len(list) == 1:
		done.Busy++
		return nil
	case !errors.Is(err, errChanged) && !errors.Is(err, errPartly) && !database.IsConflict(err):
		return fmt.Errorf("delete unused documents: %w", err)
	}
	for i := range list {
		if err := c.deleteTogether(ctx, expired, list[i:i+1], done); err != nil {
			return err
		}
	}
	return nil
}

// deleteHeld deletes documents and releases the references that they hold, all or nothing; with
// partly, also if some references are not counted. The error is errChanged, errPartly, a conflict,
// or another failure. An unknown outcome of the commit is such a failure: the next collection finds
// the documents, or does not.
func (c *Collector) deleteHeld(ctx context.Context, expired bson.E, list []holder, partly bool) error {
	deletions := c.deletions(expired, list)
	var refs []Ref
	for _, h := range list {
		refs = append(refs, h.refs...)
	}
	docs := byDocument(refs)
	var short bool
	patience := c.patience
	if patience <= 0 {
		patience = transactionTimeout
	}
	err := transact(ctx, c.Counter.coll.Database().Client(), patience, func(ctx context.Context) error {
		short = false
		res, err := c.Counter.coll.BulkWrite(ctx, deletions, options.BulkWrite().SetOrdered(true))
		if err != nil {
			return err
		}
		if res.DeletedCount != int64(len(list)) {
			return errChanged
		}
		err = c.Holds.Counter.removeUpdates(ctx, docs)
		if errors.Is(err, ErrNotHeld) {
			if short = true; !partly {
				return errPartly
			}
			return nil
		}
		return err
	})
	if err == nil && short && c.Holds.NotHeld != nil {
		c.Holds.NotHeld(list[0].hash)
	}
	return err
}

// transact runs fn in a transaction with a durable commit. If the transaction conflicts with
// others, transact repeats it until patience is over; then it returns the last conflict.
func transact(parent context.Context, client *mongo.Client, patience time.Duration,
	fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, patience)
	defer cancel()
	session, err := client.StartSession()
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	var last, conflict error // of fn
	_, err = session.WithTransaction(ctx, func(tx context.Context) (any, error) {
		if last = ctx.Err(); last == nil {
			last = fn(tx)
		}
		if database.IsConflict(last) {
			conflict = last
		}
		return nil, last
	}, options.Transaction().SetReadConcern(readconcern.Snapshot()).
		SetReadPreference(readpref.Primary()).SetWriteConcern(database.Durable()))
	if err != nil && conflict != nil && mongo.IsTimeout(last) && parent.Err() == nil {
		return conflict
	}
	return err
}
