package engine

import (
	"bytes"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A ProblemKind says what is wrong with the stored data.
type ProblemKind string

// What a check can find.
const (
	BadDocument  ProblemKind = "bad document"  // not valid BSON, or not to be indexed
	WrongID      ProblemKind = "wrong _id"     // a document is not where its _id belongs
	MissingEntry ProblemKind = "missing entry" // a document lacks an entry of an index
	ExtraEntry   ProblemKind = "extra entry"   // an index has an entry without its document
	BadEntry     ProblemKind = "bad entry"     // the key of an index entry cannot be read
	DuplicateKey ProblemKind = "duplicate key" // a unique index has a key twice
	NotMultikey  ProblemKind = "not multikey"  // an index is not known to have several entries for a document
	Unreadable   ProblemKind = "unreadable"    // the storage gave an error; some of what is there was not checked
	BadCatalogue ProblemKind = "bad catalogue" // the records of collections and indexes
	BadSession   ProblemKind = "bad session"   // the record by which a retried write is recognised
	UnknownKey   ProblemKind = "unknown key"   // a key of no known kind
)

// A Problem is one thing that is wrong.
type Problem struct {
	Kind ProblemKind
	// Index is the index it is about, "" for none.
	Index string
	// ID is the document's _id; its type is 0 when nobody knows it.
	ID bson.RawValue
	// Key is the key of _id as it is stored, or of what else is wrong.
	Key    []byte
	Detail string
	// Range reports that the keys behind Key, up to Next, cannot be read. There may be any number
	// of documents or entries. Key is nil when the range begins the collection or index, and Next
	// when it ends it; NextID is the _id that belongs to Next, as far as it is known.
	Range  bool
	Next   []byte
	NextID bson.RawValue
}

func (p Problem) String() string {
	var b bytes.Buffer
	b.WriteString(string(p.Kind))
	if p.Index != "" {
		fmt.Fprintf(&b, ", index %s", p.Index)
	}
	name := func(id bson.RawValue, key []byte) {
		if id.Type != 0 {
			fmt.Fprintf(&b, " _id %s", id)
		} else {
			fmt.Fprintf(&b, " key %x", key)
		}
	}
	switch {
	case p.Range && p.Key == nil && p.Next == nil:
		b.WriteString(", all keys")
	case p.Range:
		b.WriteString(", all")
		if p.Key != nil {
			b.WriteString(" behind")
			name(p.ID, p.Key)
		}
		if p.Next != nil {
			b.WriteString(" before")
			name(p.NextID, p.Next)
		}
	case p.ID.Type != 0 || len(p.Key) > 0:
		b.WriteString(",")
		name(p.ID, p.Key)
	}
	if p.Detail != "" {
		fmt.Fprintf(&b, ": %s", p.Detail)
	}
	return b.String()
}

// Problems is a bounded list of problems.
type Problems struct {
	List []Problem
	// More counts those that are not in the list.
	More int64

	// each, if set, is called with every problem.
	each func(Problem)
}

func (ps *Problems) add(p Problem) {
	if ps.each != nil {
		ps.each(p)
	}
	if len(ps.List) >= maxProblems {
		ps.More++
		return
	}
	if p.Key != nil { // nil says something of a range
		p.Key = clone(p.Key)
	}
	p.ID.Value = clone(p.ID.Value)
	ps.List = append(ps.List, p)
}

// Count is the number of problems.
func (ps *Problems) Count() int64 { return int64(len(ps.List)) + ps.More }

// Texts are the problems as text, those beyond the list as a number.
func (ps *Problems) Texts() []string {
	var out []string
	for _, p := range ps.List {
		out = append(out, p.String())
	}
	if ps.More > 0 {
		out = append(out, fmt.Sprintf("%d further problems", ps.More))
	}
	return out
}

// A CollectionReport is what a check found in a collection.
type CollectionReport struct {
	Problems
	DB, Name string
	// Documents counts the documents, and Invalid those among them that are not valid.
	Documents, Invalid int64
	Indexes            []IndexReport
}

// An IndexReport is what a check found in an index.
type IndexReport struct {
	Name string
	// Keys counts the entries.
	Keys  int64
	Valid bool
}

// A CheckReport is what a check found in the whole database.
type CheckReport struct {
	// Problems are those of the catalogue and of the sessions.
	Problems
	Collections []*CollectionReport
	// Leftovers counts collections and indexes that were dropped and are not erased yet, which is
	// no harm.
	Leftovers int
}

// Clean reports that nothing is wrong.
func (r *CheckReport) Clean() bool {
	for _, c := range r.Collections {
		if c.Count() > 0 {
			return false
		}
	}
	return r.Count() == 0
}
