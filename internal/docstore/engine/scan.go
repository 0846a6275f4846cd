package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/query"
)

// docScan reads the documents of a plan that match its filter.
type docScan struct {
	eng  *Engine
	view view
	plan *Plan
	// filter is the conditions that the plan's ranges do not ensure.
	filter *query.Filter

	ranges []keyRange // those not read to the end
	s      scanner
	// key is a copy of the last key read, from which a paused scan goes on.
	key     []byte
	release io.Closer
	seen    map[string]struct{}

	docsExamined, keysExamined int64
	docsCounted, keysCounted   int64 // of them, in the metrics of the engine
	steps                      int
	turn                       turn
}

func newDocScan(e *Engine, v view, p *Plan) *docScan {
	d := &docScan{eng: e, view: v, plan: p, filter: p.filter, ranges: p.ranges}
	if p.Stage == stageClustered {
		d.filter = p.filter.Residual()
	}
	if p.Dedupe {
		d.seen = map[string]struct{}{}
	}
	return d
}

// checkEvery is how many keys are read between two looks at the context.
const checkEvery = 256

// next returns the next document and the key of its _id, valid until the next call of any method;
// io.EOF after the last.
func (d *docScan) next(ctx context.Context) (idKey []byte, doc bson.Raw, err error) {
	for {
		if d.steps++; d.steps%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			d.turn.giveWay()
		}
		ok, err := d.advance()
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, io.EOF
		}
		idKey, doc, err := d.fetch()
		if err != nil {
			return nil, nil, err
		}
		large := d.filter.Large()
		if large {
			d.filter.StopAt(ctx.Done())
		}
		if doc != nil && d.filter.Match(doc) {
			return idKey, doc, nil
		}
		if large && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
}

// countKeys counts the documents of a scan whose filter matches everything, without reading them.
func (d *docScan) countKeys(ctx context.Context) (n int64, err error) {
	for {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			d.turn.giveWay()
		}
		if ok, err := d.advance(); err != nil || !ok {
			return n, err
		}
		n++
	}
}

// advance moves to the next key.
func (d *docScan) advance() (bool, error) {
	for {
		if d.s == nil {
			if len(d.ranges) == 0 {
				return false, nil
			}
			if err := d.open(d.ranges[0]); err != nil {
				return false, fmt.Errorf("read %s: %w", d.plan.coll.Namespace(), err)
			}
		}
		if d.s.next() {
			return true, nil
		}
		if len(d.ranges) > 1 && !d.ranges[1].point && d.s.reset(d.ranges[1].lower, d.ranges[1].upper) {
			d.ranges = d.ranges[1:]
			continue
		}
		err := d.s.close()
		d.s = nil
		if err != nil {
			return false, fmt.Errorf("read %s: %w", d.plan.coll.Namespace(), err)
		}
		d.ranges = d.ranges[1:]
	}
}

func (d *docScan) open(r keyRange) (err error) {
	if r.point {
		d.s = &pointScanner{view: d.view, k: r.lower}
		return nil
	}
	d.s, err = d.view.scan(r.lower, r.upper, d.plan.Reverse)
	return err
}

// fetch returns the document of the current key; nil when it came up before.
func (d *docScan) fetch() (idKey []byte, doc bson.Raw, err error) {
	key := d.s.key()
	if d.plan.Stage != StageIndex {
		if d.plan.Stage == stageClustered {
			d.keysExamined++
		}
		d.docsExamined++
		value, err := d.s.value()
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", d.plan.coll.Namespace(), err)
		}
		return key[prefixLen:], value, nil
	}
	d.keysExamined++
	if _, idKey, err = SplitEntry(key, len(d.plan.Index.Fields)); err != nil {
		return nil, nil, fmt.Errorf("index %s of %s: %w", d.plan.Index.Name, d.plan.coll.Namespace(), err)
	}
	if d.seen != nil {
		if _, twice := d.seen[string(idKey)]; twice {
			return nil, nil, nil
		}
		d.seen[string(idKey)] = struct{}{}
	}
	if err := d.drop(); err != nil {
		return nil, nil, err
	}
	d.docsExamined++
	value, release, err := d.view.get(d.plan.coll.DocKey(idKey))
	if errors.Is(err, errNotFound) {
		return nil, nil, fmt.Errorf("index %s of %s has an entry without a document",
			d.plan.Index.Name, d.plan.coll.Namespace())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", d.plan.coll.Namespace(), err)
	}
	d.release = release
	return idKey, value, nil
}

// splitEntry splits the key of an index entry into the keys of its fields and that of the _id.
func SplitEntry(key []byte, fields int) (fieldKeys, idKey []byte, err error) {
	fieldKeys = key[prefixLen:]
	idKey = fieldKeys
	for range fields {
		if idKey, err = bsonkey.Skip(idKey); err != nil {
			return nil, nil, err
		}
	}
	return fieldKeys[:len(fieldKeys)-len(idKey)], idKey, nil
}

// drop lets go of the document fetched last.
func (d *docScan) drop() error {
	if d.release == nil {
		return nil
	}
	err := d.release.Close()
	d.release = nil
	return err
}

// pause lets go of everything that pins memory; the next call of next goes on behind the last key.
func (d *docScan) pause() error {
	err := d.drop()
	if d.s == nil {
		return err
	}
	// s stands on a key: at the end of a range it would be gone.
	d.key = append(d.key[:0], d.s.key()...)
	r := d.ranges[0]
	r.point = false
	if d.plan.Reverse {
		r.upper = clone(d.key)
	} else {
		r.lower = joined(d.key, []byte{0})
	}
	rest := append([]keyRange{r}, d.ranges[1:]...)
	d.ranges = rest
	err = errors.Join(err, d.s.close())
	d.s = nil
	return err
}

func (d *docScan) close() error {
	err := d.drop()
	if d.s != nil {
		err = errors.Join(err, d.s.close())
		d.s = nil
	}
	d.ranges, d.seen = nil, nil
	d.eng.metrics.examined(d.keysExamined-d.keysCounted, d.docsExamined-d.docsCounted)
	d.keysCounted, d.docsCounted = d.keysExamined, d.docsExamined
	return err
}
