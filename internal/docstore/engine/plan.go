package engine

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
)

// A plan says which keys to read for a filter, and in which order they come.
type Plan struct {
	coll   *Collection
	filter *query.Filter
	// stage is MongoDB's name of the access: EOF, IDHACK, CLUSTERED_IXSCAN, COLLSCAN or IXSCAN.
	Stage string
	// index is set for IXSCAN.
	Index *Index
	// ranges are disjoint and in the order in which they are read.
	ranges  []keyRange
	Reverse bool
	// sorted reports that the documents come in the order asked for.
	sorted bool
	// dedupe reports that a document may come up more than once.
	Dedupe bool
	// equalities counts the leading fields that are bound to single values; ranged reports a range
	// on the one after them.
	equalities int
	ranged     bool
}

// A keyRange is the keys in [lower, upper). In a point, lower itself is the only key there can be.
type keyRange struct {
	lower, upper []byte
	point        bool
}

const (
	StageEOF       = "EOF"
	stageID        = "IDHACK"
	stageClustered = "CLUSTERED_IXSCAN"
	stageScan      = "COLLSCAN"
	StageIndex     = "IXSCAN"
)

// planQuery chooses how to read the documents of c that match filter, best in the order of sort.
func planQuery(v view, c *Collection, filter *query.Filter, sort *query.Sort, h hint) (*Plan, error) {
	if id, ok := filter.IDEquals(); ok && (!h.set || h.id) {
		key := c.DocKey(bsonkey.Append(nil, id))
		return &Plan{coll: c, filter: filter, Stage: stageID, sorted: true,
			ranges: []keyRange{{lower: key, upper: successor(clone(key)), point: true}}}, nil
	}
	var candidates []*Plan
	if !h.set || h.id || h.scan {
		candidates = append(candidates, planClustered(c, filter, sort, h.scan))
	}
	for _, ix := range c.Indexes {
		if h.set && h.index != ix {
			continue
		}
		if p := planIndex(c, ix, filter, sort, h.set); p != nil {
			if h.set || p.equalities > 0 || p.ranged || p.sorted && len(sort.Fields) > 0 {
				candidates = append(candidates, p)
			}
		}
	}
	if len(candidates) == 0 { // hinted at an index that does not hold every match
		return nil, mongoerr.New(mongoerr.BadValue,
			"error processing query: planner returned error: the hinted index cannot answer the query")
	}
	return choose(v, candidates)
}

// planClustered reads the documents in the order of _id, within the bounds that the filter sets.
func planClustered(c *Collection, filter *query.Filter, sort *query.Sort, whole bool) *Plan {
	prefix := prefixOf(spaceDoc, c.id)
	p := &Plan{coll: c, filter: filter, Stage: stageScan}
	if iv, ok := filter.Intervals("_id", false); ok && !whole {
		p.Stage = stageClustered
		if len(iv) == 0 {
			p.Stage = StageEOF
		}
		p.ranged = true
		p.ranges = appendRanges(nil, prefix, iv, false)
	} else {
		p.ranges = []keyRange{{lower: prefix, upper: successor(clone(prefix))}}
	}
	p.orderBy([]query.SortField{{Path: "_id"}}, nil, sort)
	return p
}

// planIndex reads through an index, or returns nil when the index may lack a match.
func planIndex(c *Collection, ix *Index, filter *query.Filter, sort *query.Sort, hinted bool) *Plan {
	if ix.Partial != nil && !filter.Implies(ix.Partial) {
		return nil
	}
	multikey := ix.Multikey.Load()
	p := &Plan{coll: c, filter: filter, Stage: StageIndex, Index: ix, Dedupe: multikey}
	prefixes := [][]byte{ix.Prefix}
	fixed := make([]bool, len(ix.Fields))
	// complete reports that no document without all of the fields matches. A client that hints at a
	// sparse index accepts that such documents are left out.
	complete := !ix.Sparse || hinted
	open := true
	for i, f := range ix.Fields {
		iv, ok := filter.Intervals(f.Path, multikey)
		if !ok {
			open = false
			continue
		}
		if !complete && !containsNull(iv) {
			complete = true
		}
		if !open {
			continue
		}
		if len(iv) == 0 {
			return &Plan{coll: c, filter: filter, Stage: StageEOF, Index: ix, sorted: true}
		}
		if points := pointKeys(iv, f.Desc); points != nil && len(points)*len(prefixes) <= maxIntervals {
			prefixes = cross(prefixes, points)
			fixed[i] = len(points) == 1
			p.equalities++
			continue
		}
		open = false
		if len(iv)*len(prefixes) > maxIntervals {
			continue
		}
		p.ranged = true
		for _, prefix := range prefixes {
			p.ranges = appendRanges(p.ranges, prefix, iv, f.Desc)
		}
		for i := range p.ranges {
			p.ranges[i].point = false // the _id follows
		}
	}
	if !complete {
		return nil
	}
	if !p.ranged {
		for _, prefix := range prefixes {
			p.ranges = append(p.ranges, keyRange{lower: prefix, upper: successor(clone(prefix))})
		}
	}
	if !multikey {
		p.orderBy(ix.Fields, fixed, sort)
	} else {
		p.sorted = len(sort.Fields) == 0
	}
	return p
}

// orderBy finds out whether reading by fields, forwards or backwards, gives the order of sort.
// fixed tells the fields that have one value throughout.
func (p *Plan) orderBy(fields []query.SortField, fixed []bool, sort *query.Sort) {
	isFixed := func(path string) bool {
		for i, f := range fields {
			if f.Path == path {
				return fixed != nil && fixed[i]
			}
		}
		return false
	}
	want := sort.Fields
	var directed, reverse bool
	i := 0
	for {
		for len(want) > 0 && isFixed(want[0].Path) {
			want = want[1:]
		}
		for i < len(fields) && fixed != nil && fixed[i] {
			i++
		}
		if len(want) == 0 {
			break
		}
		if i == len(fields) || fields[i].Path != want[0].Path {
			return
		}
		backwards := fields[i].Desc != want[0].Desc
		if directed && backwards != reverse {
			return
		}
		directed, reverse = true, backwards
		i, want = i+1, want[1:]
		if fields[i-1].Path == "_id" { // _id is unique: whatever follows orders nothing
			break
		}
	}
	p.sorted = true
	if reverse {
		p.Reverse = true
		for a, b := 0, len(p.ranges)-1; a < b; a, b = a+1, b-1 {
			p.ranges[a], p.ranges[b] = p.ranges[b], p.ranges[a]
		}
	}
}

// pointKeys returns the sorted keys of the intervals if each is one value, else nil.
func pointKeys(iv []query.Interval, desc bool) [][]byte {
	out := make([][]byte, len(iv))
	for i, v := range iv {
		if !v.LowInc || !v.HighInc {
			return nil
		}
		low, high := appendKey(nil, v.Low, desc), appendKey(nil, v.High, desc)
		if !bytes.Equal(low, high) {
			return nil
		}
		at := i
		if desc {
			at = len(iv) - 1 - i
		}
		out[at] = low
	}
	return out
}

func appendKey(dst []byte, v bson.RawValue, desc bool) []byte {
	if desc {
		return bsonkey.AppendDesc(dst, v)
	}
	return bsonkey.Append(dst, v)
}

// cross joins each prefix with each point; both are sorted, and so is the outcome.
func cross(prefixes, points [][]byte) [][]byte {
	out := make([][]byte, 0, len(prefixes)*len(points))
	for _, a := range prefixes {
		for _, b := range points {
			out = append(out, joined(a, b))
		}
	}
	return out
}

// appendRanges appends the key ranges of the intervals of the field that follows prefix, in key
// order. Those of single values are points, if nothing follows the field.
func appendRanges(dst []keyRange, prefix []byte, iv []query.Interval, desc bool) []keyRange {
	for i := range iv {
		v := iv[i]
		if desc {
			v = iv[len(iv)-1-i]
			v.Low, v.High = v.High, v.Low
			v.LowInc, v.HighInc = v.HighInc, v.LowInc
		}
		lower := appendKey(clone(prefix), v.Low, desc)
		upper := appendKey(clone(prefix), v.High, desc)
		point := v.LowInc && v.HighInc && bytes.Equal(lower, upper)
		if !v.LowInc {
			lower = successor(lower)
		}
		if v.HighInc {
			upper = successor(upper)
		}
		if bytes.Compare(lower, upper) < 0 {
			dst = append(dst, keyRange{lower: lower, upper: upper, point: point})
		}
	}
	return dst
}

func containsNull(iv []query.Interval) bool {
	null := bson.RawValue{Type: bson.TypeNull}
	for _, v := range iv {
		low, high := bsonkey.Compare(v.Low, null), bsonkey.Compare(v.High, null)
		if (low < 0 || low == 0 && v.LowInc) && (high > 0 || high == 0 && v.HighInc) {
			return true
		}
	}
	return false
}

// probeKeys is how many keys are read of each candidate to see which is the smallest.
const probeKeys = 64

// choose takes the best plan. Candidates with bounds are first compared by looking: one whose keys
// run out within probeKeys wins. Otherwise equalities count more than a range, and a range
// more than the right order.
func choose(v view, candidates []*Plan) (*Plan, error) {
	best := candidates[0]
	for _, p := range candidates[1:] {
		if p.rank() > best.rank() {
			best = p
		}
	}
	bounded := 0
	for _, p := range candidates {
		if p.equalities > 0 || p.ranged {
			bounded++
		}
	}
	if bounded < 2 {
		return best, nil
	}
	fewest := probeKeys
	for _, p := range candidates {
		if p.equalities == 0 && !p.ranged {
			continue
		}
		n, err := p.probe(v, fewest)
		if err != nil {
			return nil, err
		}
		if n < fewest || n == fewest && n < probeKeys && p.rank() > best.rank() {
			best, fewest = p, n
		}
	}
	return best, nil
}

func (p *Plan) rank() int {
	rank := 4 * p.equalities
	if p.ranged {
		rank += 2
	}
	if p.sorted {
		rank++
	}
	return rank
}

// probe counts the plan's keys up to limit.
func (p *Plan) probe(v view, limit int) (int, error) {
	n := 0
	for i, r := range p.ranges {
		if n >= limit || i >= limit {
			return limit, nil
		}
		s, err := v.scan(r.lower, r.upper, p.Reverse)
		if err != nil {
			return 0, err
		}
		for n < limit && s.next() {
			n++
		}
		if err := s.close(); err != nil {
			return 0, err
		}
	}
	return n, nil
}
