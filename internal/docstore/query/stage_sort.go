package query

import (
	"bytes"
	"cmp"
	"container/heap"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
)

// sortStage is $sort. keep bounds how many documents are wanted (0: all).
type sortStage struct {
	sort *Sort
	keep int64
}

func parseSortStage(v bson.RawValue) (stage, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.SortNotObject, "the $sort key specification must be an object")
	}
	s, err := ParseSort(v.Value)
	if err != nil {
		return nil, err
	}
	if len(s.Fields) == 0 {
		return nil, mongoerr.New(mongoerr.SortEmpty, "$sort stage must have at least one sort key")
	}
	return &sortStage{sort: s}, nil
}

func (s *sortStage) run(src Source) Source { return s.sort.Run(src, s.keep) }

// Run returns the documents of src in order; documents that sort alike stay in the order they came.
// With a limit above 0 only that many are returned, and never more than that many held.
func (s *Sort) Run(src Source, limit int64) Source {
	var out []sorted
	loaded := false
	return func() (bson.Raw, error) {
		if !loaded {
			var err error
			if out, err = s.load(src, limit); err != nil {
				return nil, err
			}
			loaded = true
		}
		if len(out) == 0 {
			return nil, io.EOF
		}
		doc := out[0].doc
		out[0] = sorted{}
		out = out[1:]
		return doc, nil
	}
}

type sorted struct {
	key []byte // sort key
	doc []byte
	seq int
}

func (a sorted) compare(b sorted) int {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

// worstFirst is a heap with the last document of the order on top.
type worstFirst []sorted

func (h worstFirst) Len() int           { return len(h) }
func (h worstFirst) Less(i, j int) bool { return h[i].compare(h[j]) > 0 }
func (h worstFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *worstFirst) Push(x any)        { *h = append(*h, x.(sorted)) }
func (h *worstFirst) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (s *Sort) load(src Source, limit int64) ([]sorted, error) {
	var kept worstFirst
	held := budget{what: "Sort"}
	var key []byte
	for seq := 0; ; seq++ {
		doc, err := src()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if key, err = s.AppendKey(key[:0], doc); err != nil {
			return nil, err
		}
		full := limit > 0 && int64(len(kept)) == limit
		if full {
			worst := kept[0]
			if bytes.Compare(key, worst.key) >= 0 {
				continue
			}
			heap.Pop(&kept)
			held.release(len(worst.key) + len(worst.doc))
		}
		if err := held.take(len(key) + len(doc)); err != nil {
			return nil, err
		}
		x := sorted{bytes.Clone(key), bytes.Clone(doc), seq}
		if limit > 0 {
			heap.Push(&kept, x)
		} else {
			kept = append(kept, x)
		}
	}
	slices.SortFunc(kept, sorted.compare)
	return kept, nil
}

// budget counts the bytes that a stage holds.
type budget struct {
	what string
	used int
}

// perItem is what holding a document or value costs beside its bytes.
const perItem = 64

func (b *budget) take(n int) error {
	b.used += n + perItem
	if b.used > MaxBlockingBytes {
		return mongoerr.New(mongoerr.QueryExceededMemoryLimit,
			"%s exceeded memory limit of %d bytes, but did not opt in to external sorting.", b.what, MaxBlockingBytes)
	}
	return nil
}

func (b *budget) release(n int) { b.used -= n + perItem }
