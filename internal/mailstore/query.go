package mailstore

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// Documents per batch of a cursor: many when they are small.
const (
	batchSmall = 5000
	batchLarge = 500
	// batchDocuments is for whole documents, of which a message can have more than 100 KiB.
	batchDocuments = 100
)

// Messages iterates over the messages of a mailbox in ascending order of their UIDs (descending
// with Query.Reverse), loading only the fields asked for. Long ranges of UIDs are one walk along
// the key each. A mailbox that does not exist has no messages. After an error, which comes with a
// nil message, the iteration ends.
func (s *Store) Messages(ctx context.Context, box mailkey.Mailbox, q Query, fields Fields) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for doc, err := range s.find(ctx, box, q, projection(fields), batchSize(fields)) {
			var m *Message
			if err == nil {
				m, err = decodeMessage(doc)
			}
			if err != nil {
				yield(nil, fmt.Errorf("find messages: %w", err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// UIDs returns the UIDs of the messages that Messages would iterate over.
func (s *Store) UIDs(ctx context.Context, box mailkey.Mailbox, q Query) ([]uint32, error) {
	if s.uidsFromIndex && q.isPrefix() {
		uids, err := s.changedUIDs(ctx, box, 0)
		if err != nil {
			return nil, fmt.Errorf("find UIDs: %w", err)
		}
		if q.UIDs != nil {
			uids = q.UIDs.Keep(uids)
		}
		return uids, nil
	}
	var uids []uint32
	for doc, err := range s.find(ctx, box, q, projection(0), batchSmall) {
		var key mailkey.Message
		if err == nil {
			key, err = messageKey(doc.Lookup(DocID))
		}
		if err != nil {
			return nil, fmt.Errorf("find UIDs: %w", err)
		}
		uids = append(uids, key.UID())
	}
	return uids, nil
}

// Count returns how many messages Messages would iterate over. q has no Limit.
func (s *Store) Count(ctx context.Context, box mailkey.Mailbox, q Query) (int64, error) {
	ctx = database.Causal(ctx)
	filters, err := s.filters(ctx, box, q)
	if err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	s.traffic.note(box.User())
	total := int64(0)
	for _, filter := range filters {
		linked, end := s.link(ctx)
		opts := options.Count()
		if index := s.markerIndex(q.Filter); index != "" {
			opts.SetHint(index)
		}
		n, err := s.messages.CountDocuments(linked, filter, opts)
		end()
		if err != nil {
			return 0, fmt.Errorf("count messages: %w", err)
		}
		total += n
	}
	return total, nil
}

// isPrefix reports that the query asks for a mailbox from its first message on, without conditions.
func (q *Query) isPrefix() bool {
	return (q.UIDs == nil || len(q.UIDs) == 1 && q.UIDs[0].First <= 1 && q.UIDs[0].Last > shortRange) &&
		q.ModSince == 0 && len(q.Filter) == 0 && q.Limit == 0 && !q.Reverse
}

// FirstUnseen returns the least UID of a message without \Seen, or 0 if there is none.
func (s *Store) FirstUnseen(ctx context.Context, box mailkey.Mailbox) (uint32, error) {
	uids, err := s.UIDs(ctx, box, Query{Filter: FlagFilter(Seen, false), Limit: 1})
	if err != nil || len(uids) == 0 {
		return 0, err
	}
	return uids[0], nil
}

// FlagFilter is the condition that a message has all of the flags (set), or none of them.
func FlagFilter(flags Flags, set bool) bson.D {
	var filter bson.D
	if flags&Seen != 0 && !set {
		filter = append(filter, bson.E{Key: DocUnseen, Value: true})
		flags &^= Seen
	}
	if flags&Deleted != 0 && set {
		filter = append(filter, bson.E{Key: DocDeleted, Value: true})
		flags &^= Deleted
	}
	if flags != 0 {
		op := "$bitsAllClear"
		if set {
			op = "$bitsAllSet"
		}
		filter = append(filter, bson.E{Key: DocFlags, Value: bson.D{{Key: op, Value: int32(flags)}}})
	}
	return filter
}

// KeywordFilter is the condition that a message has the keyword, however it is spelled.
func KeywordFilter(keyword string) bson.D {
	return bson.D{{Key: DocKeywords, Value: bson.Regex{Pattern: "^" + regexp.QuoteMeta(keyword) + "$", Options: "i"}}}
}

// find iterates over the documents that q names, in order of their keys.
func (s *Store) find(ctx context.Context, box mailkey.Mailbox, q Query, projection bson.D,
	batch int32) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		s.traffic.note(box.User())
		ctx := database.Causal(ctx)
		filters, err := s.filters(ctx, box, q)
		if err != nil {
			yield(nil, err)
			return
		}
		sort := 1
		if q.Reverse {
			sort = -1
			slices.Reverse(filters)
		}
		left := q.Limit
		for i := 0; i < len(filters); {
			if q.Batch > 0 {
				batch = min(batch, q.Batch)
			}
			opts := options.Find().SetSort(bson.D{{Key: DocID, Value: sort}}).SetBatchSize(batch)
			if projection != nil {
				opts.SetProjection(projection)
			}
			if q.Limit > 0 {
				opts.SetLimit(int64(left))
			}
			if index := s.markerIndex(q.Filter); index != "" {
				opts.SetHint(index)
			}
			var last []byte // key of the last document
			lost := false
			n, more := s.walk(ctx, filters[i], opts, func(doc bson.Raw, err error) bool {
				if err == nil {
					_, key, _ := doc.Lookup(DocID).BinaryOK()
					last = append(last[:0], key...)
				} else if lost = last != nil && lostCursor(ctx, err); lost {
					return false
				}
				return yield(doc, err)
			})
			left -= n
			switch {
			case q.Limit > 0 && left <= 0:
				return
			case lost:
				filters[i] = beyond(filters[i], last, q.Reverse)
			case !more:
				return
			default:
				i++
			}
		}
	}
}

// markerIndex returns the index of messages with a marker that the condition asks for, if there is
// one. A server that chooses by itself may walk through the mailbox, because it found much in others.
func (s *Store) markerIndex(condition bson.D) string {
	for _, c := range condition {
		for _, m := range []struct{ field, index string }{{DocDeleted, indexDeleted}, {DocUnseen, indexUnseen}} {
			if c.Key == m.field && c.Value == true && s.missing != nil && !s.missing[m.index] {
				return m.index
			}
		}
	}
	return ""
}

// lostCursor reports whether a query can go on with another cursor after this error.
func lostCursor(ctx context.Context, err error) bool {
	// a transaction has lost more than the cursor
	if ctx.Err() != nil || mongo.SessionFromContext(ctx) != nil {
		return false
	}
	return database.IsCursorLost(err)
}

// beyond restricts a filter to what comes after the key.
func beyond(filter bson.D, key []byte, reverse bool) bson.D {
	op := "$gt"
	if reverse {
		op = "$lt"
	}
	return bson.D{{Key: "$and", Value: bson.A{filter,
		bson.D{{Key: DocID, Value: bson.D{{Key: op, Value: bson.Binary{Data: key}}}}}}}}
}

// walk yields the documents of one query and reports how many, and whether to go on. They are valid
// until the next one.
func (s *Store) walk(ctx context.Context, filter bson.D, opts *options.FindOptionsBuilder,
	yield func(bson.Raw, error) bool) (n int, more bool) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.messages.Find(ctx, filter, opts)
	if err != nil {
		return 0, yield(nil, err) && false
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	// With a deadline the driver makes no timer for each document.
	timeless, cancel := database.Unbounded(ctx)
	defer cancel()
	next := func() bool {
		if cursor.RemainingBatchLength() > 0 {
			return cursor.Next(timeless)
		}
		return cursor.Next(ctx)
	}
	for next() {
		n++
		if !yield(cursor.Current, nil) {
			return n, false
		}
	}
	if err := cursor.Err(); err != nil {
		return n, yield(nil, err) && false
	}
	return n, true
}

// filters are the conditions of the queries that together answer q.
func (s *Store) filters(ctx context.Context, box mailkey.Mailbox, q Query) ([]bson.D, error) {
	set := q.UIDs
	if set == nil {
		set = uidset.All()
	}
	if q.ModSince > 0 && len(set) > 0 {
		// Its index is not in the order of UIDs. So it first answers which UIDs they are.
		uids, err := s.changedUIDs(ctx, box, q.ModSince)
		if err != nil {
			return nil, err
		}
		set = uidset.FromAscending(set.Keep(uids))
	}
	filters := keyFilters(box, set, s.clustered)
	for i := range filters {
		if q.ModSince > 0 {
			filters[i] = append(filters[i],
				bson.E{Key: DocModSeq, Value: bson.D{{Key: "$gt", Value: int64(q.ModSince)}}})
		}
		if len(q.Filter) > 0 {
			// As $and, so that the condition may name the key, too.
			filters[i] = append(filters[i], bson.E{Key: "$and", Value: bson.A{q.Filter}})
		}
	}
	return filters, nil
}

// changedUIDs returns, ascending, the UIDs of messages with a mod-sequence above since.
func (s *Store) changedUIDs(ctx context.Context, box mailkey.Mailbox, since uint64) ([]uint32, error) {
	var uids []uint32
	var failed error
	s.walk(ctx, changedFilter(box, since), changedOptions().SetProjection(projection(0)),
		func(doc bson.Raw, err error) bool {
			var key mailkey.Message
			if err == nil {
				key, err = messageKey(doc.Lookup(DocID))
			}
			uids, failed = append(uids, key.UID()), err
			return err == nil
		})
	if failed != nil {
		return nil, failed
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// changedFilter is the condition that a message's mod-sequence is above since. That the key is one
// of the mailbox's goes without saying; it leads a sharded cluster to the shard.
func changedFilter(box mailkey.Mailbox, since uint64) bson.D {
	return append(bson.D{{Key: DocMailbox, Value: box.Binary()}, {Key: DocModSeq, Value: bson.D{
		{Key: "$gt", Value: int64(since)}}}}, rangeFilter(box, uidset.All()[0])...)
}

// changedOptions name the index: to a server the range of keys may look as good.
func changedOptions() *options.FindOptionsBuilder {
	return options.Find().SetHint(indexModSeq).SetBatchSize(batchSmall)
}
