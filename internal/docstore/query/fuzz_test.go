package query

import (
	"io"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// seeds adds the pairs of an operand and a document that the cases of a file have.
func seeds(f *testing.F, file, operand string, docs ...string) {
	for _, c := range cases(f, file) {
		op := rawdoc.Get(c, operand)
		if op.Type != bson.TypeEmbeddedDocument && op.Type != bson.TypeArray {
			continue
		}
		for _, name := range docs {
			v := rawdoc.Get(c, name)
			switch v.Type {
			case bson.TypeEmbeddedDocument:
				f.Add([]byte(op.Value), []byte(v.Value))
			case bson.TypeArray:
				for _, d := range items(v) {
					f.Add([]byte(op.Value), []byte(d.Value))
				}
			}
		}
	}
}

// valid reports whether both operands would get past the checks on what comes from outside.
func valid(docs ...[]byte) bool {
	for _, d := range docs {
		if rawdoc.Validate(d) != nil {
			return false
		}
	}
	return true
}

// FuzzFilter: parsing and matching never panic, whatever the bytes; for valid documents the
// intervals hold a key of each match, and a filter implies itself.
func FuzzFilter(f *testing.F) {
	seeds(f, "filter.json", "filter", "match", "reject")
	f.Fuzz(func(t *testing.T, filter, doc []byte) {
		if rawdoc.Validate(filter) != nil {
			return
		}
		flt, err := ParseFilter(filter)
		if err != nil {
			return
		}
		matches := flt.Match(doc)
		if !valid(doc) {
			return
		}
		if matches {
			checkIntervals(t, flt, doc)
		}
		if flt.Implies(&Filter{}) != true {
			t.Error("a filter does not imply the empty one")
		}
	})
}

// FuzzUpdate: what comes out of an update is a valid document, and _id has not changed.
func FuzzUpdate(f *testing.F) {
	seeds(f, "update.json", "update", "doc")
	seeds(f, "upsert.json", "update", "filter")
	f.Fuzz(func(t *testing.T, update, doc []byte) {
		if !valid(update, doc) {
			return
		}
		u, err := ParseUpdate(rawdoc.OfDoc(update), nil)
		if err != nil {
			return
		}
		for _, insert := range []bool{false, true} {
			out, modified, err := u.Apply(doc, insert)
			if err != nil {
				continue
			}
			checkResult(t, out, update, doc)
			if !modified && string(out) != string(doc) {
				t.Error("a change was not reported")
			}
		}
		flt, err := ParseFilter(doc)
		if err != nil {
			return
		}
		out, err := u.UpsertDocument(flt, func() bson.RawValue { return rawdoc.OfInt32(1) })
		if err == nil {
			checkResult(t, out, update, doc)
			if it := rawdoc.Over(out); !it.Next() || string(it.Key()) != "_id" {
				t.Errorf("upserted without _id in front: %s", out)
			}
		}
	})
}

// checkResult allows for the nesting of one document within the other.
func checkResult(t *testing.T, out bson.Raw, from ...[]byte) {
	t.Helper()
	if err := rawdoc.Validate(out); err != nil && len(from[0])+len(from[1]) < rawdoc.MaxDepth {
		t.Fatalf("result is %v: %x", err, []byte(out))
	}
}

func FuzzProjection(f *testing.F) {
	seeds(f, "projection.json", "projection", "doc")
	f.Fuzz(func(t *testing.T, projection, doc []byte) {
		if !valid(projection, doc) {
			return
		}
		p, err := ParseProjection(projection)
		if err != nil {
			return
		}
		checkResult(t, p.Apply(doc), projection, doc)
	})
}

// FuzzPipeline takes the stages as the document of an array, and runs them over a document and
// itself again.
func FuzzPipeline(f *testing.F) {
	seeds(f, "pipeline.json", "pipeline", "docs")
	f.Fuzz(func(t *testing.T, stages, doc []byte) {
		if !valid(stages, doc) {
			return
		}
		var list []bson.Raw
		for it := rawdoc.Over(stages); it.Next(); {
			if it.Type() != bson.TypeEmbeddedDocument {
				return
			}
			list = append(list, it.Value().Value)
		}
		p, err := ParsePipeline(list)
		if err != nil {
			return
		}
		src := p.Run(reusing([]bson.RawValue{rawdoc.OfDoc(doc), rawdoc.OfDoc(doc)}), false)
		for range 3 {
			out, err := src()
			if err != nil {
				if _, ours := err.(*mongoerr.Error); !ours && err != io.EOF {
					t.Fatal(err)
				}
				return
			}
			checkResult(t, out, stages, doc)
		}
	})
}

func FuzzRegex(f *testing.F) {
	for _, p := range []string{`^a.*b$`, `[\s\S]`, `(?i)x|y$`, `\Qa\E+`, `[[:alpha:]]{2,3}`, `a # c`, `^$`} {
		f.Add(p, "imsx", "a\nb")
	}
	f.Fuzz(func(t *testing.T, pattern, options, text string) {
		r, err := newRegex(pattern, options)
		if err != nil {
			return
		}
		matches := r.test(stringValue(text))
		ivs, ok := intervalsOf(r, false)
		if !ok || !matches {
			return
		}
		for _, iv := range ivs {
			if iv.Contains(stringValue(text)) {
				return
			}
		}
		t.Errorf("/%s/%s matches %q outside of %s", pattern, options, text, showIntervals(ivs))
	})
}
