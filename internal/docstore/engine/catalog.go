package engine

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
)

// A Catalog is all collections and their indexes. It never changes: a change makes a new one. The
// engine publishes that after it has stored the entries of new indexes, and before it erases what
// was dropped.
type Catalog struct {
	byName map[string]*Collection
	byID   map[uint32]*Collection
}

// A collection is one version of a collection's catalogue entry.
type Collection struct {
	id        uint32
	db, Name  string
	UUID      bson.Binary
	Clustered bool // created with clusteredIndex: only matters to what listCollections says
	Indexes   []*Index
	gate      *gate // shared by all versions
}

func (c *Collection) Namespace() string { return c.db + "." + c.Name }

func (c *Collection) DocKey(idKey []byte) []byte {
	return append(appendPrefix(make([]byte, 0, prefixLen+len(idKey)), spaceDoc, c.id), idKey...)
}

func (c *Collection) IndexNamed(name string) *Index {
	for _, ix := range c.Indexes {
		if ix.Name == name {
			return ix
		}
	}
	return nil
}

// collectionRecord is how a collection is stored.
type collectionRecord struct {
	DB        string        `bson:"db"`
	Name      string        `bson:"name"`
	UUID      bson.Binary   `bson:"uuid"`
	Clustered bool          `bson:"clustered"`
	Indexes   []indexRecord `bson:"indexes"`
}

type indexRecord struct {
	ID   int64    `bson:"id"`
	Spec bson.Raw `bson:"spec"`
}

func (c *Collection) marshal() ([]byte, error) {
	r := collectionRecord{DB: c.db, Name: c.Name, UUID: c.UUID, Clustered: c.Clustered, Indexes: []indexRecord{}}
	for _, ix := range c.Indexes {
		r.Indexes = append(r.Indexes, indexRecord{ID: int64(ix.id), Spec: ix.Spec})
	}
	return bson.Marshal(r)
}

func unmarshalCollection(id uint32, value []byte, multikey map[uint32]bool) (*Collection, error) {
	var r collectionRecord
	if err := bson.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("catalogue record %d: %w", id, err)
	}
	c := &Collection{id: id, db: r.DB, Name: r.Name, UUID: r.UUID, Clustered: r.Clustered, gate: newGate()}
	for _, ir := range r.Indexes {
		ix, err := ParseIndex(ir.Spec)
		if err != nil {
			return nil, fmt.Errorf("catalogue record of %s: %w", c.Namespace(), err)
		}
		ix.setID(uint32(ir.ID))
		ix.Multikey.Store(multikey[ix.id])
		ix.multikeyStored.Store(multikey[ix.id])
		c.Indexes = append(c.Indexes, ix)
	}
	return c, nil
}

// with returns a catalogue where c takes the place of the collection of its number.
func (cat *Catalog) with(c *Collection) *Catalog {
	next := &Catalog{byName: maps.Clone(cat.byName), byID: maps.Clone(cat.byID)}
	next.byName[c.Namespace()] = c
	next.byID[c.id] = c
	return next
}

// without returns a catalogue without these collections.
func (cat *Catalog) without(drop []*Collection) *Catalog {
	next := &Catalog{byName: maps.Clone(cat.byName), byID: maps.Clone(cat.byID)}
	for _, c := range drop {
		delete(next.byName, c.Namespace())
		delete(next.byID, c.id)
	}
	return next
}

func (cat *Catalog) Lookup(db, name string) *Collection { return cat.byName[db+"."+name] }

// inDatabase returns the database's collections by name.
func (cat *Catalog) InDatabase(db string) []*Collection {
	var out []*Collection
	for _, c := range cat.byName {
		if c.db == db {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *Collection) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (cat *Catalog) Databases() []string {
	seen := map[string]bool{}
	for _, c := range cat.byName {
		seen[c.db] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// readable reports as an error that a transaction with this catalogue at its snapshot cannot write
// to c: c replaces another collection or has other indexes, whose entries the snapshot lacks. A
// collection that is new altogether is well: the snapshot knows nothing of it, and that is all
// there was.
func (cat *Catalog) readable(c *Collection) error {
	if then := cat.byName[c.Namespace()]; then != nil && then != c {
		return errCatalogChanged(c.Namespace())
	}
	return nil
}

// counter is the last number given to a collection or index. Numbers are never used again.
type counter struct{ last atomic.Uint32 }

func (n *counter) next() uint32 { return n.last.Add(1) }

func (n *counter) marshal() []byte { return binary.BigEndian.AppendUint32(nil, n.last.Load()) }

func (n *counter) unmarshal(value []byte) error {
	if len(value) != 4 {
		return fmt.Errorf("a counter of %d bytes", len(value))
	}
	n.last.Store(binary.BigEndian.Uint32(value))
	return nil
}

// CheckNamespace checks the names of a database and a collection.
func CheckNamespace(db, name string) error {
	if db == "" || strings.ContainsAny(db, "/\\. \"$\x00") || len(db) > 63 {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid database name: '%s'", db)
	}
	if name == "" || name[0] == '.' || name[len(name)-1] == '.' || strings.ContainsAny(name, "$\x00") {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid collection name: '%s'", name)
	}
	if len(db)+1+len(name) > maxNamespace {
		return mongoerr.New(mongoerr.InvalidNamespace,
			"Fully qualified namespace is too long. Namespace: %s.%s Max: %d", db, name, maxNamespace)
	}
	return nil
}

func newUUID() bson.Binary {
	u := make([]byte, 16)
	rand.Read(u) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: u}
}
