package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type file struct {
	Groups []group
}

type group struct {
	Name    string
	Docs    document
	Indexes document
	// Reading says that no case writes, so that all may share one collection.
	Reading bool
	Cases   []testCase
}

type testCase struct {
	Name string
	// Find and IDs are the short form of a step for a filter.
	Find document
	IDs  document
	step
	Steps        []step
	Docs         document
	Indexes      document
	After        document
	EmbeddedOnly string
}

type step struct {
	Run     document
	DB      string
	Session string
	Txn     string
	Want    document
	Absent  []string
	Batch   document
	Count   *int
	Error   *wantError
	Save    map[string]string
}

type wantError struct {
	Code       int32
	Codes      []int32
	CodeName   string
	Labels     []string
	NoLabels   bool
	KeyPattern document
	KeyValue   document
}

// A document is extended JSON, not yet read: a document or an array.
type document []byte

func (d *document) UnmarshalJSON(raw []byte) error {
	*d = bytes.Clone(raw)
	return nil
}

// load reads the files of testdata. Fields that no type has are an error: an expectation with a
// spelling mistake would never fail.
func load(t *testing.T) map[string]file {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	files := map[string]file{}
	for _, p := range paths {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var f file
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		files[strings.TrimSuffix(filepath.Base(p), ".json")] = f
	}
	return files
}

// value reads the extended JSON and fills in what stands for something longer, or was saved.
func (d document) value(t *testing.T, saved map[string]any) any {
	t.Helper()
	var doc bson.D
	if err := bson.UnmarshalExtJSON(append(append([]byte(`{"v":`), d...), '}'), false, &doc); err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	v, err := expand(doc[0].Value, saved)
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	return v
}

func (d document) doc(t *testing.T, saved map[string]any) bson.D {
	t.Helper()
	doc, ok := d.value(t, saved).(bson.D)
	if !ok {
		t.Fatalf("not a document: %s", d)
	}
	return doc
}

func (d document) array(t *testing.T, saved map[string]any) bson.A {
	t.Helper()
	if d == nil {
		return nil
	}
	a, ok := d.value(t, saved).(bson.A)
	if !ok {
		t.Fatalf("not an array: %s", d)
	}
	return a
}

func expand(v any, saved map[string]any) (any, error) {
	switch v := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(v, "%"); ok {
			val, ok := saved[name]
			if !ok {
				return nil, fmt.Errorf("nothing is saved as %s", name)
			}
			return val, nil
		}
	case bson.A:
		var out = bson.A{}
		for _, item := range v {
			if d, ok := item.(bson.D); ok && len(d) == 1 && d[0].Key == "%docs" {
				for i := range d[0].Value.(int32) {
					out = append(out, bson.D{{Key: "_id", Value: i}})
				}
				continue
			}
			x, err := expand(item, saved)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	case bson.D:
		if len(v) == 1 && strings.HasPrefix(v[0].Key, "%") && v[0].Key != oneOf {
			return generate(v[0].Key, int(v[0].Value.(int32)))
		}
		out := bson.D{}
		for _, e := range v {
			x, err := expand(e.Value, saved)
			if err != nil {
				return nil, err
			}
			out = append(out, bson.E{Key: e.Key, Value: x})
		}
		return out, nil
	}
	return v, nil
}

// oneOf is the field of a document that stands for any of several values.
const oneOf = "%oneOf"

func generate(what string, n int) (any, error) {
	switch what {
	case "%string":
		return strings.Repeat("x", n), nil
	case "%items":
		items := make(bson.A, n)
		for i := range items {
			items[i] = int32(i)
		}
		return items, nil
	case "%nest":
		var v any = int32(1)
		for range n {
			v = bson.D{{Key: "a", Value: v}}
		}
		return v, nil
	}
	return nil, fmt.Errorf("%s is not known", what)
}

// lookup follows a dotted path, through arrays by number.
func lookup(raw bson.Raw, path string) (bson.RawValue, bool) {
	v, err := raw.LookupErr(strings.Split(path, ".")...)
	return v, err == nil
}

// contains compares an expectation with a value. A document may have more fields than are wanted,
// an array no more items; all else is equal in type and value. It returns what differs, or "".
func contains(path string, want any, got bson.RawValue) string {
	switch want := want.(type) {
	case bson.D:
		if len(want) == 1 && want[0].Key == oneOf {
			var diffs []string
			for _, w := range want[0].Value.(bson.A) {
				diff := contains(path, w, got)
				if diff == "" {
					return ""
				}
				diffs = append(diffs, diff)
			}
			return strings.Join(diffs, "; ")
		}
		doc, ok := got.DocumentOK()
		if !ok {
			return fmt.Sprintf("%s: %s, want a document", path, got)
		}
		for _, e := range want {
			v, err := doc.LookupErr(e.Key)
			if err != nil {
				return fmt.Sprintf("%s.%s is missing in %s", path, e.Key, doc)
			}
			if diff := contains(path+"."+e.Key, e.Value, v); diff != "" {
				return diff
			}
		}
		return ""
	case bson.A:
		arr, ok := got.ArrayOK()
		if !ok {
			return fmt.Sprintf("%s: %s, want an array", path, got)
		}
		vals, err := arr.Values()
		if err != nil {
			return fmt.Sprintf("%s: %v", path, err)
		}
		if len(vals) != len(want) {
			return fmt.Sprintf("%s: %d items, want %d: %s", path, len(vals), len(want), got)
		}
		for i, w := range want {
			if diff := contains(path+"."+strconv.Itoa(i), w, vals[i]); diff != "" {
				return diff
			}
		}
		return ""
	}
	if w := rawOf(want); w.Type != got.Type || !bytes.Equal(w.Value, got.Value) {
		return fmt.Sprintf("%s: %s %s, want %s %s", path, got.Type, got, w.Type, w)
	}
	return ""
}

func rawOf(v any) bson.RawValue {
	if v == nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	t, data, err := bson.MarshalValue(v)
	if err != nil {
		panic(err) // the value was read from BSON
	}
	return bson.RawValue{Type: t, Value: data}
}

// same compares lists of values exactly, the order of fields included.
func same(want bson.A, got []bson.RawValue) string {
	for i, w := range want {
		if i >= len(got) {
			break
		}
		if raw := rawOf(w); raw.Type != got[i].Type || !bytes.Equal(raw.Value, got[i].Value) {
			return fmt.Sprintf("item %d:\n got %s\nwant %s", i, canonical(got[i]), canonical(raw))
		}
	}
	if len(want) != len(got) {
		var all []string
		for _, g := range got {
			all = append(all, canonical(g))
		}
		return fmt.Sprintf("%d items, want %d: %s", len(got), len(want), strings.Join(all, " "))
	}
	return ""
}

// canonical shows a value with its type.
func canonical(v bson.RawValue) string {
	out, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
	if err != nil {
		return err.Error()
	}
	const most = 600
	s := string(out[len(`{"v":`) : len(out)-1])
	return s[:min(len(s), most)]
}
