package query

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

var indexedPaths = []string{"a", "b", "c", "a.b", "a.b.c", "a.c", "x.a", "x.a.b"}

// checkIntervals verifies, for a document that matches f, that the intervals of every path hold one
// of the document's index keys.
func checkIntervals(t interface {
	Helper()
	Errorf(string, ...any)
}, f *Filter, doc bson.Raw) {
	t.Helper()
	for _, path := range indexedPaths {
		keys, multikey, err := IndexKeys(doc, []SortField{{Path: path}}, false)
		if err != nil {
			continue
		}
		for _, multi := range []bool{true, multikey} {
			ivs, ok := f.Intervals(path, multi)
			if ok && !anyWithin(keys, ivs) {
				t.Errorf("%s matches but no key of %s (%x) is in %s", doc, path, keys, showIntervals(ivs))
			}
		}
	}
}

func anyWithin(keys [][]byte, ivs []Interval) bool {
	for _, k := range keys {
		for _, iv := range ivs {
			lo, hi := bytes.Compare(k, bsonkey.Append(nil, iv.Low)), bytes.Compare(k, bsonkey.Append(nil, iv.High))
			if (lo > 0 || lo == 0 && iv.LowInc) && (hi < 0 || hi == 0 && iv.HighInc) {
				return true
			}
		}
	}
	return false
}

func showIntervals(ivs []Interval) string {
	var b strings.Builder
	for i, iv := range ivs {
		if i > 0 {
			b.WriteByte(' ')
		}
		open, end := '(', ')'
		if iv.LowInc {
			open = '['
		}
		if iv.HighInc {
			end = ']'
		}
		fmt.Fprintf(&b, "%c%s, %s%c", open, showValue(iv.Low), showValue(iv.High), end)
	}
	return b.String()
}

func showValue(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		n, _ := rawdoc.Integer(v)
		return fmt.Sprint(n)
	case bson.TypeDouble:
		return fmt.Sprint(rawdoc.Double(v))
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeRegex:
		p, o := rawdoc.Regex(v)
		return fmt.Sprintf("/%s/%s", p, o)
	case bson.TypeBinary:
		_, data := rawdoc.Binary(v)
		return fmt.Sprintf("bin(%x)", data)
	case bson.TypeObjectID:
		return fmt.Sprintf("id(%x)", v.Value)
	case bson.TypeDateTime:
		return fmt.Sprintf("date(%d)", rawdoc.Int64(v))
	case bson.TypeArray:
		var parts []string
		for _, x := range items(v) {
			parts = append(parts, showValue(x))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return v.String()
}

func TestIntervals(t *testing.T) {
	const all = "all"
	tests := []struct {
		filter, path string
		plain, multi string // without and with arrays
	}{
		{`{}`, "a", all, all},
		{`{"b": 1}`, "a", all, all},
		{`{"a": 1}`, "a", "[1, 1]", "[1, 1]"},
		{`{"a": null}`, "a", "[undefined, null]", "[undefined, null]"},
		{`{"a": [5, 6]}`, "a", "[5, 5] [[5 6], [5 6]]", "[5, 5] [[5 6], [5 6]]"},
		{`{"a": []}`, "a", "[undefined, undefined] [[], []]", "[undefined, undefined] [[], []]"},
		{`{"a": {"$gt": 5}}`, "a", "(5, +Inf]", "(5, +Inf]"},
		{`{"a": {"$lte": 5}}`, "a", "[-Inf, 5]", "[-Inf, 5]"},
		{`{"a": {"$gt": 1, "$lte": 5}}`, "a", "(1, 5]", "(1, +Inf]"},
		{`{"a": {"$gt": 5, "$lt": 5}}`, "a", "", "(5, +Inf]"},
		{`{"a": {"$gt": null}}`, "a", "", ""},
		{`{"a": {"$gte": "x"}}`, "a", `["x", {})`, `["x", {})`},
		{`{"a": {"$lt": "x"}}`, "a", `["", "x")`, `["", "x")`},
		{`{"a": {"$lt": ""}}`, "a", "", ""},
		{`{"a": {"$lt": true}}`, "a", "[false, true)", "[false, true)"},
		{`{"a": {"$gte": {"$date": {"$numberLong": "7"}}}}`, "a", "[date(7), date(9223372036854775807)]", "[date(7), date(9223372036854775807)]"},
		{`{"a": {"$gte": {"$binary": {"base64": "AAE=", "subType": "00"}}, "$lt": {"$binary": {"base64": "AAI=", "subType": "00"}}}}`, "a",
			"[bin(0001), bin(0002))", "[bin(0001), id(000000000000000000000000))"},
		{`{"a": {"$gte": {"b": 1}}}`, "a", `[{"b": {"$numberInt":"1"}}, [])`, `[{"b": {"$numberInt":"1"}}, [])`},
		{`{"a": {"$gte": [1]}}`, "a", all, all},
		{`{"a": {"$gt": {"$minKey": 1}}}`, "a", all, all},
		{`{"a": {"$gte": {"$numberDouble": "NaN"}}}`, "a", "[NaN, NaN]", "[NaN, NaN]"},
		{`{"a": {"$gt": {"$numberDouble": "NaN"}}}`, "a", "", ""},
		{`{"a": {"$in": [3, 1, 1.0, 2]}}`, "a", "[1, 1] [2, 2] [3, 3]", "[1, 1] [2, 2] [3, 3]"},
		{`{"a": {"$in": []}}`, "a", "", ""},
		{`{"a": {"$in": [1, 5], "$gt": 2}}`, "a", "[5, 5]", "[1, 1] [5, 5]"},
		{`{"a": {"$ne": 1}}`, "a", all, all},
		{`{"a": {"$not": {"$gt": 1}}}`, "a", all, all},
		{`{"a": {"$exists": true}}`, "a", all, all},
		{`{"a": {"$regex": "^ab"}}`, "a", `["ab", "ac") [/^ab/, /^ab/]`, `["ab", "ac") [/^ab/, /^ab/]`},
		{`{"a": {"$regex": "^ab.*c"}}`, "a", `["ab", "ac") [/^ab.*c/, /^ab.*c/]`, `["ab", "ac") [/^ab.*c/, /^ab.*c/]`},
		{`{"a": {"$regex": "^ab?"}}`, "a", `["a", "b") [/^ab?/, /^ab?/]`, `["a", "b") [/^ab?/, /^ab?/]`},
		{`{"a": {"$regex": "^ab", "$options": "i"}}`, "a", `["", {}) [/^ab/i, /^ab/i]`, `["", {}) [/^ab/i, /^ab/i]`},
		{`{"a": {"$regex": "^ab", "$options": "m"}}`, "a", `["", {}) [/^ab/m, /^ab/m]`, `["", {}) [/^ab/m, /^ab/m]`},
		{`{"a": {"$regex": "^a|b"}}`, "a", `["", {}) [/^a|b/, /^a|b/]`, `["", {}) [/^a|b/, /^a|b/]`},
		{`{"a": {"$mod": [2, 0]}}`, "a", "[-Inf, +Inf]", "[-Inf, +Inf]"},
		{`{"a": {"$all": [1, 2]}}`, "a", "", "[1, 1]"},
		{`{"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}`, "a", "(1, 5)", "(1, 5)"},
		{`{"a": {"$elemMatch": {"b": 1, "c": 2}}}`, "a.b", "[1, 1]", "[1, 1]"},
		{`{"a": {"$elemMatch": {"b": 1, "c": 2}}}`, "a", all, all},
		{`{"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 9}}, {"b": 1}]}`, "a", "[1, 9)", "[1, +Inf]"},
		{`{"$or": [{"a": 1}, {"a": {"$gt": 5}}]}`, "a", "[1, 1] (5, +Inf]", "[1, 1] (5, +Inf]"},
		{`{"$or": [{"a": {"$lte": 5}}, {"a": {"$gt": 5}}]}`, "a", "[-Inf, +Inf]", "[-Inf, +Inf]"},
		{`{"$or": [{"a": {"$lt": 5}}, {"a": {"$gt": 5}}]}`, "a", "[-Inf, 5) (5, +Inf]", "[-Inf, 5) (5, +Inf]"},
		{`{"$or": [{"a": 1}, {"b": 1}]}`, "a", all, all},
		{`{"$nor": [{"a": 1}]}`, "a", all, all},
		{`{"$or": [{"a": 1}, {"a": 7}], "a": {"$gt": 3}}`, "a", "[7, 7]", "[1, 1] [7, 7]"},
		{`{"a": {"$gte": 5}, "$comment": "x"}`, "a", "[5, +Inf]", "[5, +Inf]"},
	}
	for _, tt := range tests {
		f, err := ParseFilter(parseDoc(t, tt.filter))
		if err != nil {
			t.Fatalf("%s: %v", tt.filter, err)
		}
		for _, multi := range []bool{false, true} {
			want := tt.plain
			if multi {
				want = tt.multi
			}
			got := all
			if ivs, ok := f.Intervals(tt.path, multi); ok {
				got = showIntervals(ivs)
			}
			if got != want {
				t.Errorf("%s on %s, multikey %v: %s, want %s", tt.filter, tt.path, multi, got, want)
			}
		}
	}
}

func TestImplies(t *testing.T) {
	tests := []struct {
		filter, partial string
		want            bool
	}{
		{`{"a": 1}`, `{}`, true},
		{`{}`, `{"a": 1}`, false},
		{`{"a": 1}`, `{"a": 1}`, true},
		{`{"a": 1}`, `{"a": 1.0}`, true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{`{"a": 1, "b": 2}`, `{"b": 2}`, true},
		{`{"a": 5}`, `{"a": {"$gt": 3}}`, true},
		{`{"a": 3}`, `{"a": {"$gt": 3}}`, false},
		{`{"a": {"$gt": 5}}`, `{"a": {"$gt": 3}}`, true},
		{`{"a": {"$gt": 3}}`, `{"a": {"$gte": 3}}`, true},
		{`{"a": {"$gte": 3}}`, `{"a": {"$gt": 3}}`, false},
		{`{"a": {"$lt": 3}}`, `{"a": {"$lte": 3}}`, true},
		{`{"a": {"$lt": 3}}`, `{"a": {"$gt": 0}}`, false},
		{`{"a": {"$gt": "x"}}`, `{"a": {"$gt": 3}}`, false},
		{`{"a": {"$in": [4, 5]}}`, `{"a": {"$gt": 3}}`, true},
		{`{"a": {"$in": [4, 2]}}`, `{"a": {"$gt": 3}}`, false},
		{`{"a": {"$in": [1, 2]}}`, `{"a": {"$in": [1, 2, 3]}}`, true},
		{`{"a": 1}`, `{"a": {"$exists": true}}`, true},
		{`{"a": {"$gt": 1}}`, `{"a": {"$exists": true}}`, true},
		{`{"a": null}`, `{"a": {"$exists": true}}`, false},
		{`{"a": {"$in": [1, null]}}`, `{"a": {"$exists": true}}`, false},
		{`{"a": {"$regex": "x"}}`, `{"a": {"$exists": true}}`, true},
		{`{"a": {"$elemMatch": {"b": 1}}}`, `{"a": {"$exists": true}}`, true},
		{`{"a": {"$ne": 1}}`, `{"a": {"$exists": true}}`, false},
		{`{"a": {"$exists": false}}`, `{"a": {"$exists": false}}`, true},
		{`{"a": {"$ne": 1}}`, `{"a": {"$ne": 1}}`, true},
		{`{"a": {"$nin": [1, 2]}}`, `{"a": {"$ne": 1}}`, true},
		{`{"a": null}`, `{"a": null}`, true},
		{`{"a": "x"}`, `{"a": {"$type": "string"}}`, false},
		{`{"a": "x"}`, `{"a": {"$type": ["string", "symbol"]}}`, true},
		{`{"a": 1}`, `{"a": {"$type": "number"}}`, true},
		{`{"a": 1}`, `{"a": {"$type": "int"}}`, false},
		{`{"a": {"$bitsAllSet": 3}}`, `{"a": {"$bitsAllSet": [0, 1]}}`, true},
		{`{"a": {"$bitsAllSet": 3}}`, `{"a": {"$bitsAnySet": 3}}`, false},
		{`{"a": 1}`, `{"$or": [{"a": 1}, {"b": 1}]}`, true},
		{`{"$or": [{"a": 1}, {"a": 2}]}`, `{"a": {"$lt": 3}}`, true},
		{`{"$or": [{"a": 1}, {"b": 2}]}`, `{"a": {"$lt": 3}}`, false},
		{`{"$and": [{"a": {"$gte": 0}}, {"b": 1}]}`, `{"a": {"$gte": 0}, "b": {"$exists": true}}`, true},
	}
	for _, tt := range tests {
		f, err1 := ParseFilter(parseDoc(t, tt.filter))
		p, err2 := ParseFilter(parseDoc(t, tt.partial))
		if err1 != nil || err2 != nil {
			t.Fatal(tt, err1, err2)
		}
		if got := f.Implies(p); got != tt.want {
			t.Errorf("%s implies %s: %v", tt.filter, tt.partial, got)
		}
	}
}

func TestEqualities(t *testing.T) {
	f, err := ParseFilter(parseDoc(t, `{"_id": 7, "a.b": "x", "c": {"$gt": 1, "$eq": 2}, "d": {"$in": [3]}, "e": {"$in": [1, 2]},
		"$and": [{"f": null}], "g": {"$regex": "x"}, "$or": [{"h": 1}, {"i": 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := f.IDEquals(); !ok || rawdoc.Int32(id) != 7 {
		t.Errorf("IDEquals %v %v", id, ok)
	}
	var got []string
	for _, e := range f.EqualityFields() {
		got = append(got, e.Key+"="+showValue(e.Value.(bson.RawValue)))
	}
	if s := strings.Join(got, " "); s != `_id=7 a.b="x" c=2 d=3 f=null` {
		t.Error(s)
	}
}
