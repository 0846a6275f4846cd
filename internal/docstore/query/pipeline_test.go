package query

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/rawdoc/rawgen"
)

// reusing is a source that overwrites each document as soon as the next one is asked for.
func reusing(docs []bson.RawValue) Source {
	var buf []byte
	return func() (bson.Raw, error) {
		for i := range buf {
			buf[i] = 0xee
		}
		if len(docs) == 0 {
			return nil, io.EOF
		}
		buf = append(buf[:0], docs[0].Value...)
		docs = docs[1:]
		return buf, nil
	}
}

func drain(src Source) (docs []bson.Raw, err error) {
	for {
		doc, err := src()
		if err == io.EOF {
			if _, again := src(); again != io.EOF {
				return nil, fmt.Errorf("after the end: %v", again)
			}
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, bytes.Clone(doc))
	}
}

func TestPipeline(t *testing.T) {
	for _, c := range cases(t, "pipeline.json") {
		var stages []bson.Raw
		for _, s := range items(rawdoc.Get(c, "pipeline")) {
			stages = append(stages, s.Value)
		}
		p, err := ParsePipeline(stages)
		if err != nil || !rawdoc.Truthy(rawdoc.Get(c, "run")) && !rawdoc.IsMissing(rawdoc.Get(c, "error")) {
			checkError(t, c, err)
			continue
		}
		out, err := drain(p.Run(reusing(items(rawdoc.Get(c, "docs"))), false))
		if checkError(t, c, err) {
			continue
		}
		want := items(rawdoc.Get(c, "want"))
		same := len(want) == len(out)
		for i := 0; same && i < len(out); i++ {
			same = bytes.Equal(out[i], want[i].Value)
		}
		if !same {
			t.Errorf("%s %s:\n got %s\nwant %s", text(c, "name"), rawdoc.Get(c, "pipeline"), out, want)
		}
	}
}

func TestPipelineLead(t *testing.T) {
	p, err := ParsePipeline([]bson.Raw{
		parseDoc(t, `{"$match": {"a": {"$gt": 1}}}`), parseDoc(t, `{"$match": {"b": 1}}`),
		parseDoc(t, `{"$sort": {"a": -1}}`), parseDoc(t, `{"$limit": 1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Match().Match(parseDoc(t, `{"a": 2, "b": 1}`)) || p.Match().Match(parseDoc(t, `{"a": 2}`)) {
		t.Error("the leading filters are not both applied")
	}
	if s := p.Lead(); s == nil || len(s.Fields) != 1 || s.Fields[0] != (SortField{"a", true}) {
		t.Errorf("Lead is %v", p.Lead())
	}
	docs := []bson.RawValue{rawgen.Of(bson.D{{Key: "a", Value: 1}}), rawgen.Of(bson.D{{Key: "a", Value: 2}})}
	for presorted, want := range map[bool]int32{true: 1, false: 2} {
		out, err := drain(p.Run(reusing(docs), presorted))
		if err != nil || len(out) != 1 || rawdoc.Int32(rawdoc.Get(out[0], "a")) != want {
			t.Errorf("sorted=%v: %v %v", presorted, out, err)
		}
	}
}

func TestSortIsBounded(t *testing.T) {
	doc := rawgen.Of(bson.D{{Key: "a", Value: strings.Repeat("x", 1<<20)}})
	src := func() (bson.Raw, error) { return doc.Value, nil } // endless
	p, err := ParsePipeline([]bson.Raw{parseDoc(t, `{"$sort": {"a": 1}}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = drain(p.Run(src, false))
	if e, ok := err.(*mongoerr.Error); !ok || e.Code != mongoerr.QueryExceededMemoryLimit {
		t.Error(err)
	}
}

func TestIndexKeys(t *testing.T) {
	for _, c := range cases(t, "keys.json") {
		s, err := ParseSort(rawdoc.Get(c, "index").Value)
		if err != nil {
			t.Fatal(err)
		}
		keys, multikey, err := IndexKeys(rawdoc.Get(c, "doc").Value, s.Fields, rawdoc.Truthy(rawdoc.Get(c, "sparse")))
		if checkError(t, c, err) {
			continue
		}
		var want [][]byte
		for _, key := range items(rawdoc.Get(c, "want")) {
			var b []byte
			for i, v := range items(key) {
				b = appendComponent(b, v, s.Fields[i].Desc)
			}
			want = append(want, b)
		}
		if fmt.Sprintf("%x", keys) != fmt.Sprintf("%x", want) || multikey != rawdoc.Truthy(rawdoc.Get(c, "multikey")) {
			t.Errorf("%s: %x multikey %v, want %x", c, keys, multikey, want)
		}
	}
}

// TestSortKeys lists documents in ascending order of {a: 1, b: -1}.
func TestSortKeys(t *testing.T) {
	docs := []string{`{"a": []}`, `{"b": 5}`, `{"a": null}`, `{"a": [7, -1]}`, `{"a": 1, "b": "x"}`, `{"a": 1, "b": [2, 9]}`,
		`{"a": 1, "b": 8}`, `{"a": 1}`, `{"a": [2, 3]}`, `{"a": "x"}`, `{"a": {"x": 1}}`}
	s, err := ParseSort(parseDoc(t, `{"a": 1, "b": -1}`))
	if err != nil {
		t.Fatal(err)
	}
	var last []byte
	for _, d := range docs {
		key, err := s.Key(parseDoc(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Compare(last, key) >= 0 {
			t.Errorf("%s does not sort after the one before", d)
		}
		last = key
	}
}

func TestParseSortErrors(t *testing.T) {
	for s, code := range map[string]int32{
		`{"a": 2}`: 15975, `{"a": "x"}`: 15974, `{"a": {"$meta": "textScore"}}`: 15974, `{"": 1}`: 40352, `{"a..b": 1}`: 15998,
		`{"a": 1, "a": -1}`: 7472500,
	} {
		_, err := ParseSort(parseDoc(t, s))
		if e, ok := err.(*mongoerr.Error); !ok || e.Code != code {
			t.Errorf("%s: %v, want code %d", s, err, code)
		}
	}
	if s, err := ParseSort(nil); err != nil || len(s.Fields) != 0 {
		t.Error(s, err)
	}
}
