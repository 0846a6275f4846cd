package engine

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
)

// FindStream sorts, skips, limits and projects what a scan yields.
type FindStream struct {
	scan       *docScan
	sort       *query.Sort // nil when the scan is in order
	projection *query.Projection
	skip       int64
	// limit is how many documents are still to come; negative for all.
	limit int64

	sorted  *sorter
	skipped bool
	out     []byte
}

// Next returns a document that is valid until the next call of any method, or io.EOF.
func (f *FindStream) Next(ctx context.Context) (bson.Raw, error) {
	if f.limit == 0 {
		return nil, io.EOF
	}
	if !f.skipped {
		f.skipped = true
		for ; f.skip > 0; f.skip-- {
			if _, err := f.pull(ctx); err != nil {
				return nil, err
			}
		}
	}
	doc, err := f.pull(ctx)
	if err != nil {
		return nil, err
	}
	if f.limit > 0 {
		f.limit--
	}
	if f.projection == nil {
		return doc, nil
	}
	f.out = f.projection.AppendTo(f.out[:0], doc)
	return f.out, nil
}

func (f *FindStream) pull(ctx context.Context) (bson.Raw, error) {
	if f.sort == nil {
		_, doc, err := f.scan.next(ctx)
		return doc, err
	}
	if f.sorted == nil {
		keep := 0
		if f.limit > 0 && f.limit+f.skip < 1<<30 {
			keep = int(f.limit + f.skip + 1) // one of the skipped may be this very one
		}
		f.sorted = &sorter{sort: f.sort, keep: keep}
		if err := f.sorted.fill(ctx, f.scan); err != nil {
			return nil, err
		}
	}
	return f.sorted.next()
}

// Pause lets go of what pins memory until Next is called again.
func (f *FindStream) Pause() error { return f.scan.pause() }

// Close ends the stream.
func (f *FindStream) Close() error {
	f.sorted = nil
	return f.scan.close()
}

// sorter sorts documents in memory.
type sorter struct {
	sort *query.Sort
	// keep bounds how many of the first are wanted; 0 for all.
	keep  int
	rows  []sortedRow
	bytes int
}

type sortedRow struct {
	key []byte
	seq int // the order of arrival, which decides between equals
	doc bson.Raw
}

func (a sortedRow) compare(b sortedRow) int {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

func (s *sorter) fill(ctx context.Context, scan *docScan) error {
	for seq := 0; ; seq++ {
		_, doc, err := scan.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		key, err := s.sort.Key(doc)
		if err != nil {
			return err
		}
		row := sortedRow{key: key, seq: seq}
		if s.keep > 0 && len(s.rows) == s.keep {
			if row.compare(s.rows[0]) > 0 {
				continue
			}
			s.bytes -= s.rows[0].size()
			row.doc = clone(doc)
			s.rows[0] = row
			heap.Fix(s, 0)
		} else {
			row.doc = clone(doc)
			if s.keep > 0 {
				heap.Push(s, row)
			} else {
				s.rows = append(s.rows, row)
			}
		}
		if s.bytes += row.size(); s.bytes > maxSortBytes {
			return mongoerr.New(mongoerr.QueryExceededMemoryLimit,
				"Executor error during find command :: caused by :: Sort exceeded memory limit "+
					"of %d bytes, but did not opt in to external sorting.", maxSortBytes)
		}
	}
	slices.SortFunc(s.rows, sortedRow.compare)
	return nil
}

func (r sortedRow) size() int { return len(r.key) + len(r.doc) }

func (s *sorter) next() (bson.Raw, error) {
	if len(s.rows) == 0 {
		return nil, io.EOF
	}
	doc := s.rows[0].doc
	s.rows[0] = sortedRow{}
	s.rows = s.rows[1:]
	return doc, nil
}

// The heap has the last of the kept rows on top.
func (s *sorter) Len() int           { return len(s.rows) }
func (s *sorter) Less(i, j int) bool { return s.rows[i].compare(s.rows[j]) > 0 }
func (s *sorter) Swap(i, j int)      { s.rows[i], s.rows[j] = s.rows[j], s.rows[i] }
func (s *sorter) Push(x any)         { s.rows = append(s.rows, x.(sortedRow)) }
func (s *sorter) Pop() any {
	last := s.rows[len(s.rows)-1]
	s.rows = s.rows[:len(s.rows)-1]
	return last
}

// PipelineStream runs an aggregation over a scan.
type PipelineStream struct {
	scan *docScan
	run  query.Source
	ctx  context.Context // of the call of next that is under way
}

func newPipelineStream(scan *docScan, p *query.Pipeline, sorted bool) *PipelineStream {
	s := &PipelineStream{scan: scan}
	s.run = p.Run(func() (bson.Raw, error) {
		_, doc, err := scan.next(s.ctx)
		return doc, err
	}, sorted)
	return s
}

// Next returns a document that is valid until the next call of any method, or io.EOF.
func (s *PipelineStream) Next(ctx context.Context) (bson.Raw, error) {
	s.ctx = ctx
	return s.run()
}

// Pause lets go of what pins memory until Next is called again.
func (s *PipelineStream) Pause() error { return s.scan.pause() }

// Close ends the stream.
func (s *PipelineStream) Close() error { return s.scan.close() }

// CountKeys counts the documents of a query that matches everything, without reading them.
func (f *FindStream) CountKeys(ctx context.Context) (int64, error) { return f.scan.countKeys(ctx) }

// Plan tells how the query reads.
func (f *FindStream) Plan() *Plan { return f.scan.plan }

// SortsBy is the order in which the stream sorts in memory; nil when the plan gives it.
func (f *FindStream) SortsBy() *query.Sort { return f.sort }

// Projects reports that the stream gives parts of documents.
func (f *FindStream) Projects() bool { return f.projection != nil }

// Examined counts the index entries and documents that the stream has read.
func (f *FindStream) Examined() (keys, docs int64) { return f.scan.keysExamined, f.scan.docsExamined }

// Plan tells how the aggregation reads; nil when its collection does not exist.
func (s *PipelineStream) Plan() *Plan {
	if s.scan.plan.coll == nil {
		return nil
	}
	return s.scan.plan
}

// Examined counts the index entries and documents that the stream has read.
func (s *PipelineStream) Examined() (keys, docs int64) {
	return s.scan.keysExamined, s.scan.docsExamined
}
