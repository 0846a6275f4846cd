package engine

import (
	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/query"
)

// A Reading is a consistent state of the database, to be read by queries. The streams that it
// returns must be closed before it is.
type Reading struct {
	eng  *Engine
	view view
	// cat is the catalogue that belongs to the view.
	cat *Catalog
	// snap is the snapshot that the reading has of its own, if any.
	snap *pebble.Snapshot
	// unit is the transaction that reads, or nil.
	unit *Unit
}

// Read gives the state of now.
func (e *Engine) Read() *Reading {
	snap, cat := e.snapshot()
	return &Reading{eng: e, view: pebbleView{snap}, cat: cat, snap: snap}
}

// ReadNewest gives a view of the newest state at each read. It is consistent for one key.
func (e *Engine) ReadNewest() *Reading {
	return &Reading{eng: e, view: pebbleView{e.db}, cat: e.catalog.Load()}
}

// Read gives what the transaction sees: its snapshot and its own writes.
func (u *Unit) Read() *Reading {
	return &Reading{eng: u.eng, view: u.view(), cat: u.snapCatalog, unit: u}
}

// Close ends the reading. It may be called more than once.
func (rd *Reading) Close() error {
	if rd.snap == nil {
		return nil
	}
	snap := rd.snap
	rd.snap = nil
	return rd.eng.closeSnapshot(snap)
}

// collection finds the collection; nil when there is none.
func (rd *Reading) collection(db, name string) *Collection {
	c := rd.cat.Lookup(db, name)
	if c == nil && rd.unit != nil {
		// The transaction itself may have made it.
		if now := rd.eng.catalog.Load().Lookup(db, name); now != nil && rd.unit.gates[now.id] != nil {
			return now
		}
	}
	return c
}

// A FindQuery says which documents of a collection to find, and how to give them.
type FindQuery struct {
	DB, Collection string
	Filter         *query.Filter
	Sort           *query.Sort
	Projection     *query.Projection // nil for whole documents
	Skip           int64
	Limit          int64 // 0 for none
	// Hint names the index to use; its type is 0 for none.
	Hint bson.RawValue
}

// Find plans a query and returns its stream; nil when the collection does not exist.
func (rd *Reading) Find(q *FindQuery) (*FindStream, error) {
	c := rd.collection(q.DB, q.Collection)
	h, err := hintOf(q.Hint, c)
	if err != nil || c == nil {
		return nil, err
	}
	p, err := planQuery(rd.view, c, q.Filter, q.Sort, h)
	if err != nil {
		return nil, err
	}
	f := &FindStream{scan: newDocScan(rd.eng, rd.view, p), projection: q.Projection, skip: q.Skip, limit: q.Limit}
	if q.Limit == 0 {
		f.limit = -1
	}
	if !p.sorted {
		f.sort = q.Sort
	}
	return f, nil
}

// Aggregate plans an aggregation and returns its stream; over nothing when the collection does not
// exist. The type of the hint is 0 for none.
func (rd *Reading) Aggregate(db, name string, p *query.Pipeline, hint bson.RawValue) (*PipelineStream, error) {
	c := rd.collection(db, name)
	h, err := hintOf(hint, c)
	if err != nil {
		return nil, err
	}
	sort := p.Lead()
	wantsOrder := sort != nil && len(sort.Fields) > 0
	if !wantsOrder {
		sort = &query.Sort{}
	}
	if c == nil {
		return newPipelineStream(newDocScan(rd.eng, rd.view, &Plan{filter: p.Match()}), p, wantsOrder), nil
	}
	pl, err := planQuery(rd.view, c, p.Match(), sort, h)
	if err != nil {
		return nil, err
	}
	return newPipelineStream(newDocScan(rd.eng, rd.view, pl), p, wantsOrder && pl.sorted), nil
}
