package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// Names of the collections.
const (
	collRows    = "searchrows"
	collBlocks  = "searchblocks"
	collColumns = "searchcolumns"
	collStates  = "searchstates"
)

// Fields of the documents.
const (
	fieldRules   = "v" // int32: rules
	fieldBits    = "b" // binary: see sealed
	fieldCount   = "n" // int32: mails of a block
	fieldNumbers = "m" // binary: see sealed, appendNumbers
	fieldUpTo    = "u" // int64: number up to which the index was compared with the mails
)

// Index reads the text index of a database. It is safe for concurrent use.
type Index struct {
	rows, blocks, columns, states *mongo.Collection

	forgotten atomic.Int64 // calls of forgetState
}

// Open returns the index of a database. It creates what is missing of the collections unless
// readOnly is set.
func Open(ctx context.Context, db *mongo.Database, readOnly bool) (*Index, error) {
	// What a crash of the database takes back is only missing. So no read asks for a majority, and
	// rows and columns wait for no disk. What says that there is something is durable: the document of
	// a block, and a state. It makes durable what was written before it.
	soon := options.Collection().SetReadConcern(readconcern.Local()).SetWriteConcern(database.Soon())
	durable := options.Collection().SetReadConcern(readconcern.Local()).SetWriteConcern(database.Durable())
	x := &Index{
		rows: db.Collection(collRows, soon), blocks: db.Collection(collBlocks, durable),
		columns: db.Collection(collColumns, soon), states: db.Collection(collStates, durable),
	}
	if readOnly {
		return x, nil
	}
	if err := database.CreateCollections(ctx, db, Forms()); err != nil {
		return nil, err
	}
	return x, nil
}

// Forms returns how the collections are to be stored. Rows and columns are codes that do not compress.
func Forms() []database.Form {
	return []database.Form{
		{Name: collRows, Clustered: true, Compressor: database.Uncompressed},
		{Name: collColumns, Clustered: true, Compressor: database.Uncompressed},
		{Name: collBlocks, Clustered: true}, {Name: collStates, Clustered: true},
	}
}

const blockIDSize = 8

type blockID [blockIDSize]byte

func rowKey(user mailkey.UserID, number uint64) []byte {
	return binary.BigEndian.AppendUint64(user[:], number)
}

func blockKey(user mailkey.UserID, id blockID) []byte { return append(user[:], id[:]...) }

func columnKey(user mailkey.UserID, group int, id blockID) []byte {
	return append(binary.BigEndian.AppendUint16(user[:], uint16(group)), id[:]...)
}

// byUser is the condition that a key of so many octets after the user's id is the user's.
func byUser(user mailkey.UserID, size int) bson.D {
	return between(append(user[:], make([]byte, size)...), append(user[:], bytes.Repeat([]byte{0xff}, size)...))
}

func between(first, last []byte) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: bson.Binary{Data: first}}, {Key: "$lte", Value: bson.Binary{Data: last}}}}}
}

func oneOf(keys [][]byte) bson.D {
	list := make(bson.A, len(keys))
	for i, k := range keys {
		list[i] = bson.Binary{Data: k}
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: list}}}}
}

// each calls f with the documents that filter finds, their keys and the binary field.
func each(
	ctx context.Context, c *mongo.Collection, filter bson.D, field string, keySize int,
	f func(key, stored []byte, doc bson.Raw) error,
) error {
	const batch = 1000
	cursor, err := c.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(batch))
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		_, key, ok := cursor.Current.Lookup("_id").BinaryOK()
		if !ok || len(key) != keySize {
			continue // it cannot be ours
		}
		_, stored, _ := cursor.Current.Lookup(field).BinaryOK()
		if err := f(key, stored, cursor.Current); err != nil {
			return err
		}
	}
	return cursor.Err()
}

// present reports whether a document was made by the present rules.
func present(doc bson.Raw) bool {
	v, ok := doc.Lookup(fieldRules).Int32OK()
	return ok && v == rules
}

// block is a block without its columns.
type block struct {
	id    blockID
	count int
	runs  []run
}

// readBlocks returns the blocks of a user that can be used. bad counts the others.
func (x *Index) readBlocks(ctx context.Context, user mailkey.UserID) (list []*block, bad []blockID, err error) {
	err = each(ctx, x.blocks, byUser(user, blockIDSize), fieldNumbers, len(user)+blockIDSize,
		func(key, stored []byte, doc bson.Raw) error {
			b := &block{id: blockID(key[len(user):])}
			n, _ := doc.Lookup(fieldCount).Int32OK()
			numbers, err := opened(key, stored)
			if err == nil && present(doc) && n > 0 && n <= blockRows {
				b.count = int(n)
				b.runs, err = readRuns(numbers, b.count)
			} else if err == nil {
				err = errDamaged
			}
			if err != nil {
				bad = append(bad, b.id)
				return nil
			}
			list = append(list, b)
			return nil
		})
	return list, bad, err
}

// overlaps reports whether the block has any of the ascending numbers.
func (b *block) overlaps(numbers []uint64) bool {
	for _, r := range b.runs {
		i, _ := slices.BinarySearch(numbers, r.first)
		if i < len(numbers) && numbers[i] < r.first+uint64(r.count) {
			return true
		}
	}
	return false
}

// Exclude returns the mails of a user that cannot be what the query asks for. wanted, if not nil, is
// the ascending numbers that the caller asks about; it may hold all of them. An error leaves the
// caller with all mails.
func (x *Index) Exclude(
	ctx context.Context, user mailkey.UserID, q *Query, wanted []uint64,
) (*Excluded, error) {
	out := new(Excluded)
	if q.Everything() || wanted != nil && len(wanted) == 0 {
		return out, nil
	}
	blocks, _, err := x.readBlocks(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("text index: read blocks: %w", err)
	}
	all := len(blocks)
	if wanted != nil {
		blocks = slices.DeleteFunc(blocks, func(b *block) bool { return !b.overlaps(wanted) })
	}
	if err := x.excludeBlocks(ctx, user, q, blocks, all, out); err != nil {
		return nil, fmt.Errorf("text index: read columns: %w", err)
	}
	if err := x.excludeRows(ctx, user, q, wanted, out); err != nil {
		return nil, fmt.Errorf("text index: read rows: %w", err)
	}
	return out, nil
}

func (x *Index) excludeRows(
	ctx context.Context, user mailkey.UserID, q *Query, wanted []uint64, out *Excluded,
) error {
	filter := byUser(user, 8)
	switch {
	case wanted == nil:
	case len(wanted) <= maxPointReads:
		keys := make([][]byte, len(wanted))
		for i, n := range wanted {
			keys[i] = rowKey(user, n)
		}
		filter = oneOf(keys)
	default:
		filter = between(rowKey(user, wanted[0]), rowKey(user, wanted[len(wanted)-1]))
	}
	v := newVector(bitCount)
	return each(ctx, x.rows, filter, fieldBits, len(user)+8, func(key, stored []byte, doc bson.Raw) error {
		data, err := opened(key, stored)
		if err == nil && present(doc) {
			err = readVector(v, bitCount, data)
		} else {
			err = errDamaged
		}
		if err == nil && !q.row(v) {
			out.add(binary.BigEndian.Uint64(key[len(user):]))
		}
		return nil
	})
}

// excludeBlocks reads the columns of the query's bits, of these blocks of the user's, of which there
// are all.
func (x *Index) excludeBlocks(
	ctx context.Context, user mailkey.UserID, q *Query, blocks []*block, all int, out *Excluded,
) error {
	if len(blocks) == 0 {
		return nil
	}
	wanted := make(map[int][]uint32) // bits by group
	q.eachBit(func(bit uint32) {
		if g := int(bit / groupBits); !slices.Contains(wanted[g], bit) {
			wanted[g] = append(wanted[g], bit)
		}
	})
	byID := make(map[blockID]*columns, len(blocks))
	for _, b := range blocks {
		byID[b.id] = &columns{block: b}
	}
	read := func(filter bson.D) error {
		return each(ctx, x.columns, filter, fieldBits, len(user)+2+blockIDSize,
			func(key, stored []byte, _ bson.Raw) error {
				group := int(binary.BigEndian.Uint16(key[len(user):]))
				c := byID[blockID(key[len(user)+2:])]
				if c == nil {
					return nil
				}
				data, err := opened(key, stored)
				if err == nil {
					err = c.read(group, wanted[group], data)
				}
				if !errors.Is(err, errDamaged) {
					return err
				}
				return nil // these columns exclude nothing
			})
	}
	// Few documents are read by their keys, and otherwise the groups whole.
	if n := len(blocks) * len(wanted); n <= maxPointReads || len(blocks) < all/4 {
		var keys [][]byte
		for g := range wanted {
			for _, b := range blocks {
				keys = append(keys, columnKey(user, g, b.id))
			}
		}
		slices.SortFunc(keys, bytes.Compare)
		for part := range slices.Chunk(keys, maxPointReads) {
			if err := read(oneOf(part)); err != nil {
				return err
			}
		}
	} else {
		for g := range wanted {
			var last blockID
			copy(last[:], bytes.Repeat([]byte{0xff}, blockIDSize))
			if err := read(between(columnKey(user, g, blockID{}), columnKey(user, g, last))); err != nil {
				return err
			}
		}
	}
	for _, c := range byID {
		if v := q.block(func(bit uint32) vector { return c.vectors[bit] }); v != nil {
			out.addBlock(c.block.runs, v)
		}
	}
	return nil
}

// columns are those of a block that were read.
type columns struct {
	block   *block
	vectors map[uint32]vector
}

// read reads the columns of some bits of a group.
func (c *columns) read(group int, wanted []uint32, data []byte) error {
	return eachColumn(data, func(i int, stored []byte) error {
		bit := uint32(group*groupBits + i)
		if !slices.Contains(wanted, bit) {
			return nil
		}
		v := newVector(c.block.count)
		if err := readVector(v, c.block.count, stored); err != nil {
			return err
		}
		if c.vectors == nil {
			c.vectors = make(map[uint32]vector)
		}
		c.vectors[bit] = v
		return nil
	})
}

// appendGroup appends columns of n bits: the length of each as an unsigned varint, and all forms.
func appendGroup(dst []byte, list []vector, n int) []byte {
	var forms []byte
	for _, v := range list {
		before := len(forms)
		forms = appendVector(forms, v, n)
		dst = binary.AppendUvarint(dst, uint64(len(forms)-before))
	}
	return append(dst, forms...)
}

// eachColumn calls f with the forms of a group's columns.
func eachColumn(data []byte, f func(i int, stored []byte) error) error {
	var lengths [groupBits]uint64
	for i := range lengths {
		n, k := binary.Uvarint(data)
		if k <= 0 {
			return errDamaged
		}
		lengths[i], data = n, data[k:]
	}
	for i, n := range lengths {
		if n > uint64(len(data)) {
			return errDamaged
		}
		if err := f(i, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
