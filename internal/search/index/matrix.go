package index

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// A matrix is a block that is being made, of rows and of other blocks.
type matrix struct {
	numbers []uint64
	rows    []vector // beside numbers
	sources []source
}

// source is a block that becomes a part of another.
type source struct {
	*block
	numbers []uint64 // of its mails; 0 for those that are left out
	places  []int    // in the new block; -1 for those that are left out
}

// damagedError reports a block that cannot be read.
type damagedError struct{ id blockID }

func (e *damagedError) Error() string { return fmt.Sprintf("text index: block %x is damaged", e.id[:]) }
func (e *damagedError) Unwrap() error { return errDamaged }

// addRows takes the user's first rows, at most blockRows. stale is the numbers of rows that a block
// has already, or that cannot be used.
func (m *matrix) addRows(
	ctx context.Context, x *Index, user mailkey.UserID, blocks []*block,
) (stale []uint64, err error) {
	have := func(number uint64) bool {
		return slices.ContainsFunc(blocks, func(b *block) bool { return b.has(number) })
	}
	full := errors.New("full")
	err = each(ctx, x.rows, byUser(user, 8), fieldBits, len(user)+8, func(key, stored []byte, doc bson.Raw) error {
		number := binary.BigEndian.Uint64(key[len(user):])
		if len(m.numbers)+len(stale) >= blockRows {
			return full
		}
		data, err := opened(key, stored)
		v := newVector(bitCount)
		if err == nil && present(doc) {
			err = readVector(v, bitCount, data)
		} else {
			err = errDamaged
		}
		if err != nil || have(number) {
			stale = append(stale, number)
			return nil
		}
		m.numbers, m.rows = append(m.numbers, number), append(m.rows, v)
		return nil
	})
	if errors.Is(err, full) {
		err = nil
	}
	return stale, err
}

func (b *block) has(number uint64) bool {
	_, ok := slices.BinarySearchFunc(b.runs, number, func(r run, n uint64) int {
		switch {
		case n < r.first:
			return 1
		case n >= r.first+uint64(r.count):
			return -1
		}
		return 0
	})
	return ok
}

// addBlock takes the mails of a block that live knows; nil knows all.
func (m *matrix) addBlock(b *block, live func(uint64) bool) {
	s := source{block: b, numbers: make([]uint64, 0, b.count)}
	for _, r := range b.runs {
		for n := r.first; n < r.first+uint64(r.count); n++ {
			if live == nil || live(n) {
				s.numbers = append(s.numbers, n)
			} else {
				s.numbers = append(s.numbers, 0)
			}
		}
	}
	m.sources = append(m.sources, s)
}

// place finds the place of each mail in the new block, by ascending number. rows is the places of the
// rows.
func (m *matrix) place() (numbers []uint64, rows []int) {
	numbers = slices.Clone(m.numbers)
	for _, s := range m.sources {
		numbers = append(numbers, s.numbers...)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if len(numbers) > 0 && numbers[0] == 0 {
		numbers = numbers[1:]
	}
	places := func(list []uint64) []int {
		out := make([]int, len(list))
		for i, n := range list {
			at, ok := slices.BinarySearch(numbers, n)
			if !ok {
				at = -1
			}
			out[i] = at
		}
		return out
	}
	for i := range m.sources {
		m.sources[i].places = places(m.sources[i].numbers)
	}
	return numbers, places(m.numbers)
}

// groupsAtOnce is how many groups are made at a time.
const groupsAtOnce = 16

// write writes the block: columns, and then the document that makes them count. A block of no mails
// is not written. The error is a damagedError if not all columns of a source can be read.
func (m *matrix) write(
	ctx context.Context, x *Index, user mailkey.UserID, check func(context.Context) error,
) error {
	numbers, rows := m.place()
	n := len(numbers)
	if n == 0 {
		return nil
	}
	var id blockID
	rand.Read(id[:]) // never fails, as documented
	columns := make([]vector, groupsAtOnce*groupBits)
	for i := range columns {
		columns[i] = newVector(n)
	}
	var docs []any
	for first := 0; first < groupCount; first += groupsAtOnce {
		for i := range columns {
			clear(columns[i])
		}
		if err := m.readSources(ctx, x, user, first, columns); err != nil {
			return err
		}
		docs = docs[:0]
		for g := range groupsAtOnce {
			group := columns[g*groupBits:][:groupBits]
			for i, at := range rows {
				for word := m.rows[i][first+g]; word != 0; word &= word - 1 { // groupBits is a word
					group[bits.TrailingZeros64(word)].set(at)
				}
			}
			key := columnKey(user, first+g, id)
			docs = append(docs, bson.D{{Key: "_id", Value: bson.Binary{Data: key}},
				{Key: fieldBits, Value: bson.Binary{Data: sealed(key, appendGroup(nil, group, n))}}})
		}
		if _, err := x.columns.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false)); err != nil {
			return err
		}
	}
	if err := check(ctx); err != nil {
		return err
	}
	key := blockKey(user, id)
	_, err := x.blocks.InsertOne(ctx,
		bson.D{
			{Key: "_id", Value: bson.Binary{Data: key}}, {Key: fieldRules, Value: rules},
			{Key: fieldCount, Value: int32(n)},
			{Key: fieldNumbers, Value: bson.Binary{Data: sealed(key, appendNumbers(nil, numbers))}}})
	return err
}

// A group is a word of a row, and groupsAtOnce divide all groups.
var (
	_ = [1]struct{}{}[groupBits-64]
	_ = [1]struct{}{}[groupCount%groupsAtOnce]
)

// readSources puts groupsAtOnce groups of the sources, from first on, into the columns of the new
// block.
func (m *matrix) readSources(
	ctx context.Context, x *Index, user mailkey.UserID, first int, columns []vector,
) error {
	if len(m.sources) == 0 {
		return nil
	}
	byID := make(map[blockID]*source, len(m.sources))
	missing := make(map[blockID]int, len(m.sources)) // documents
	var keys [][]byte
	for i := range m.sources {
		s := &m.sources[i]
		byID[s.id], missing[s.id] = s, groupsAtOnce
		for g := range groupsAtOnce {
			keys = append(keys, columnKey(user, first+g, s.id))
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	from := newVector(blockRows)
	err := each(ctx, x.columns, oneOf(keys), fieldBits, len(keys[0]), func(key, stored []byte, _ bson.Raw) error {
		s := byID[blockID(key[len(user)+2:])]
		data, err := opened(key, stored)
		if err != nil {
			return &damagedError{s.id}
		}
		at := (int(binary.BigEndian.Uint16(key[len(user):])) - first) * groupBits
		missing[s.id]--
		err = eachColumn(data, func(i int, form []byte) error {
			column := from[:(s.count+63)/64]
			if err := readVector(column, s.count, form); err != nil {
				return err
			}
			s.add(columns[at+i], column)
			return nil
		})
		if err != nil {
			return &damagedError{s.id}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, n := range missing {
		if n > 0 {
			return &damagedError{id}
		}
	}
	return nil
}

// add puts a column of the source into the same one of the new block.
func (s *source) add(to, from vector) {
	for w, word := range from {
		for ; word != 0; word &= word - 1 {
			if at := s.places[w*64+bits.TrailingZeros64(word)]; at >= 0 {
				to.set(at)
			}
		}
	}
}
