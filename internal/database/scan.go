package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A Scan reads the documents of a collection in the order of their keys, page by page, and goes on
// behind documents that the database cannot read. Documents that come or go meanwhile may be
// passed over.
type Scan struct {
	Collection *mongo.Collection
	// Field has the keys; _id if empty. Another one needs an index.
	Field string
	Key   Key
	// From and To are the first and the last key to read; nil for the least and the greatest.
	From, To   []byte
	Projection bson.D
	// Page is how many documents a query returns at most, BatchSize how many each of its replies
	// has; 0 leaves that to the server.
	Page      int
	BatchSize int32
}

// A Key is the type that the keys of a collection have: a fixed number of octets, whose order
// is that of the keys.
type Key struct {
	Size     int
	ObjectID bool // an ObjectID; else a binary
}

// value is a key as it stands in a filter.
func (k Key) value(key []byte) any {
	if k.ObjectID {
		return bson.ObjectID(key)
	}
	return bson.Binary{Data: key}
}

// of returns the octets of a key; ok is false if it has another type or length.
func (k Key) of(v bson.RawValue) (key []byte, ok bool) {
	if k.ObjectID {
		id, ok := v.ObjectIDOK()
		return id[:], ok
	}
	_, key, ok = v.BinaryOK()
	return key, ok && len(key) == k.Size
}

// successor returns the key after key; last is true if there is none.
func (k Key) successor(key []byte) (next []byte, last bool) {
	if last = bytes.Equal(key, k.last()); last {
		return key, true
	}
	return k.octets(new(big.Int).Add(k.number(key), big.NewInt(1))), false
}

// number and octets turn keys into numbers and back.
func (k Key) number(key []byte) *big.Int { return new(big.Int).SetBytes(key) }

func (k Key) octets(n *big.Int) []byte { return n.FillBytes(make([]byte, k.Size)) }

func (k Key) last() []byte { return bytes.Repeat([]byte{0xff}, k.Size) }

// A Gap is a range of keys whose documents the database cannot read, From and To included. There
// may be no document with these keys.
type Gap struct {
	From, To []byte
	Err      error // of the database
}

// Contains reports whether the key is in the gap.
func (g *Gap) Contains(key []byte) bool {
	return bytes.Compare(g.From, key) <= 0 && bytes.Compare(key, g.To) <= 0
}

// Run calls f with each document, and gap with the ranges of keys that cannot be read, in the order
// of the keys. Their errors end the scan and are returned. A document is valid until f returns. f
// may take its time: no query returns more than Page documents.
func (s *Scan) Run(ctx context.Context, f func(bson.Raw) error, gap func(Gap) error) error {
	return s.run(ctx, s.find, f, gap)
}

// Pages is Run for a caller that looks at several documents at once: at most Page of them.
func (s *Scan) Pages(ctx context.Context, page func([]bson.Raw) error, gap func(Gap) error) error {
	var docs []bson.Raw
	flush := func() error {
		if len(docs) == 0 {
			return nil
		}
		err := page(docs)
		docs = nil
		return err
	}
	err := s.Run(ctx, func(doc bson.Raw) error {
		if docs = append(docs, bytes.Clone(doc)); len(docs) == s.Page {
			return flush()
		}
		return nil
	}, func(g Gap) error {
		if err := flush(); err != nil {
			return err
		}
		return gap(g)
	})
	if err != nil {
		return err
	}
	return flush()
}

// A finder calls f with the first documents from a bound on ("$gt" or "$gte", and a key; none if it
// is empty), at most limit of them, and returns how many it read, the last one too if f failed.
type finder func(
	ctx context.Context, from bson.E, limit int, f func(bson.Raw) error,
) (n int, err error)

func (s *Scan) field() string {
	if s.Field == "" {
		return "_id"
	}
	return s.Field
}

func (s *Scan) find(
	ctx context.Context, from bson.E, limit int, f func(bson.Raw) error,
) (n int, err error) {
	var bounds bson.D
	if from.Key != "" {
		bounds = append(bounds, from)
	}
	if s.To != nil {
		bounds = append(bounds, bson.E{Key: "$lte", Value: s.Key.value(s.To)})
	}
	filter := bson.D{}
	if len(bounds) > 0 {
		filter = bson.D{{Key: s.field(), Value: bounds}}
	}
	opts := options.Find().SetSort(bson.D{{Key: s.field(), Value: 1}}).SetLimit(int64(limit))
	if s.BatchSize > 0 {
		opts.SetBatchSize(s.BatchSize)
	}
	if len(s.Projection) > 0 {
		opts.SetProjection(s.Projection)
	}
	ctx, end := Link(ctx, s.Collection.Database().Client())
	defer end()
	cursor, err := s.Collection.Find(ctx, filter, opts)
	if err != nil {
		return 0, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		n++
		if err := f(cursor.Current); err != nil {
			return n, err
		}
	}
	return n, cursor.Err()
}

// stopped is an error of the caller's function, which ends the scan whatever it says.
type stopped struct{ error }

func (s *Scan) run(
	ctx context.Context, find finder, f func(bson.Raw) error, gap func(Gap) error,
) error {
	var from bson.E
	next := make([]byte, s.Key.Size) // all before it is done
	if s.From != nil {
		from, next = bson.E{Key: "$gte", Value: s.Key.value(s.From)}, s.From
	}
	last := false // the greatest key is done
	read := func(doc bson.Raw) error {
		if err := f(doc); err != nil {
			return stopped{err}
		}
		v := doc.Lookup(strings.Split(s.field(), ".")...)
		v.Value = bytes.Clone(v.Value)
		from = bson.E{Key: "$gt", Value: v}
		if key, ok := s.Key.of(v); ok {
			next, last = s.Key.successor(key)
		}
		return nil
	}
	for limit := s.Page; !last; {
		n, err := find(ctx, from, limit, read)
		var ended stopped
		switch {
		case errors.As(err, &ended):
			return ended.error
		case err != nil && !IsDamaged(err):
			return err
		case err != nil && limit > 1:
			limit = (limit + 15) / 16 // documents before the damage first
		case err != nil:
			g, more, err := s.gap(ctx, find, next, err)
			if err == nil {
				err = gap(g)
			}
			if err != nil || !more {
				return err
			}
			next, last = s.Key.successor(g.To)
			from, limit = bson.E{Key: "$gte", Value: s.Key.value(next)}, s.Page
		case n < limit:
			return nil
		default:
			limit = min(limit*2, s.Page)
		}
	}
	return nil
}

// gap finds out how far the damage reaches that begins at or behind the key from, by asking from
// which keys on the first document can be read. A question whose answer is no may cost a database
// much time, so it asks few: first it looks for the number of bits of the distance, by bisection, and
// then bisects what that leaves, down to 2^-gapBits of it. Documents behind the damage that are nearer
// to it than that are taken for damaged. more is false if nothing behind the gap is to be read.
func (s *Scan) gap(
	ctx context.Context, find finder, from []byte, damage error,
) (g Gap, more bool, err error) {
	one := big.NewInt(1)
	end := s.Key.number(s.Key.last())
	if s.To != nil {
		end = s.Key.number(s.To)
	}
	start := s.Key.number(from)
	bad := start                       // the first document from here on cannot be read
	good := new(big.Int).Add(end, one) // from here on it can, or there is none
	probe := func(at *big.Int) error {
		readable, err := s.readable(ctx, find, at)
		if err != nil {
			return err
		}
		if readable {
			good = at
		} else {
			bad = at
		}
		return nil
	}
	for low, high := 0, new(big.Int).Sub(good, start).BitLen(); low < high; {
		middle := (low + high) / 2
		at := new(big.Int).Add(start, new(big.Int).Lsh(one, uint(middle)))
		if at.Cmp(end) <= 0 {
			if err := probe(at); err != nil {
				return g, false, err
			}
		}
		if at.Cmp(end) > 0 || good == at {
			high = middle
		} else {
			low = middle + 1
		}
	}
	size := new(big.Int).Sub(good, start)
	precision := size.Rsh(size, gapBits)
	for {
		distance := new(big.Int).Sub(good, bad)
		if distance.Cmp(one) <= 0 || distance.Cmp(precision) <= 0 {
			break
		}
		if err := probe(new(big.Int).Add(bad, distance.Rsh(distance, 1))); err != nil {
			return g, false, err
		}
	}
	last := new(big.Int).Sub(good, one)
	return Gap{From: from, To: s.Key.octets(last), Err: damage}, last.Cmp(end) < 0, nil
}

// gapBits is how many bits of the length of a gap are found out.
const gapBits = 16

// readable reports whether the first document from the key on, if there is one, can be read.
func (s *Scan) readable(ctx context.Context, find finder, from *big.Int) (bool, error) {
	bound := bson.E{Key: "$gte", Value: s.Key.value(s.Key.octets(from))}
	_, err := find(ctx, bound, 1, func(bson.Raw) error { return nil })
	if IsDamaged(err) {
		return false, nil
	}
	return err == nil, err
}

// String names the range.
func (g *Gap) String() string { return fmt.Sprintf("%x to %x", g.From, g.To) }
