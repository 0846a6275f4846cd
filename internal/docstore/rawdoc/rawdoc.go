// Package rawdoc walks BSON documents in place, without decoding and without allocating.
//
// A document here is its bytes, as in [bson.Raw]; a value is a [bson.RawValue] whose bytes alias
// the document. A missing value has type 0 ([Missing]), which is not a BSON type.
//
// The walkers never panic and never read past the end, whatever the bytes: a malformed document
// simply ends at its first malformed element. Whether a document is well formed as a whole is the
// business of [Validate], which every document from outside must pass once.
package rawdoc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MaxDepth is how deep documents and arrays may nest in a document that [Validate] accepts.
const MaxDepth = 180

// ErrInvalid is wrapped by every error of [Validate].
var ErrInvalid = errors.New("invalid BSON")

// Missing is the value of a field that is not there.
var Missing = bson.RawValue{}

// IsMissing reports whether v stands for an absent field.
func IsMissing(v bson.RawValue) bool { return v.Type == 0 }

// Null is the BSON null value.
var Null = bson.RawValue{Type: bson.TypeNull}

// Iter steps through the elements of one document or array. The zero Iter is empty.
type Iter struct {
	rest []byte
	elem []byte
	key  []byte
	val  []byte
	typ  bson.Type
	bad  bool
}

// Over returns an iterator over the elements of doc.
func Over(doc []byte) Iter {
	body, ok := body(doc)
	return Iter{rest: body, bad: !ok}
}

// body returns the elements of doc without length and terminator.
func body(doc []byte) ([]byte, bool) {
	if len(doc) < 5 {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(doc)
	if n < 5 || uint64(n) > uint64(len(doc)) || doc[n-1] != 0 {
		return nil, false
	}
	return doc[4 : n-1], true
}

// Next moves to the next element and reports whether there is one.
func (it *Iter) Next() bool {
	if len(it.rest) == 0 {
		return false
	}
	typ := bson.Type(it.rest[0])
	rest := it.rest[1:]
	i := bytes.IndexByte(rest, 0)
	if i < 0 {
		return it.fail()
	}
	val := rest[i+1:]
	n := Size(typ, val)
	if n < 0 {
		return it.fail()
	}
	it.elem = it.rest[:i+2+n]
	it.typ, it.key, it.val, it.rest = typ, rest[:i], val[:n:n], val[n:]
	return true
}

func (it *Iter) fail() bool {
	it.rest, it.bad = nil, true
	return false
}

// Bad reports whether iteration ended at something malformed.
func (it *Iter) Bad() bool { return it.bad }

// Key is the current element's field name; it aliases the document.
func (it *Iter) Key() []byte { return it.key }

// Value is the current element's value; it aliases the document.
func (it *Iter) Value() bson.RawValue { return bson.RawValue{Type: it.typ, Value: it.val} }

// Elem is all of the current element: type, name and value; it aliases the document.
func (it *Iter) Elem() []byte { return it.elem }

// Type is the type of the current element's value.
func (it *Iter) Type() bson.Type { return it.typ }

// Get returns the first top-level field of doc called name, or [Missing].
func Get(doc []byte, name string) bson.RawValue {
	b, _ := body(doc)
	n := len(name)
	for len(b) > 0 {
		typ := bson.Type(b[0])
		b = b[1:]
		if len(b) > n && b[n] == 0 && string(b[:n]) == name {
			b = b[n+1:]
			size := Size(typ, b)
			if size < 0 {
				return Missing
			}
			return bson.RawValue{Type: typ, Value: b[:size:size]}
		}
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return Missing
		}
		b = b[i+1:]
		size := Size(typ, b)
		if size < 0 {
			return Missing
		}
		b = b[size:]
	}
	return Missing
}

// Size returns how many bytes a value of type typ takes at the start of b, or -1 when b is too
// short or typ is no BSON type. Lengths and terminators of the value itself are checked, its inside
// is not.
func Size(typ bson.Type, b []byte) int {
	n := -1
	switch typ {
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		n = 0
	case bson.TypeBoolean:
		n = 1
	case bson.TypeInt32:
		n = 4
	case bson.TypeDouble, bson.TypeInt64, bson.TypeDateTime, bson.TypeTimestamp:
		n = 8
	case bson.TypeObjectID:
		n = 12
	case bson.TypeDecimal128:
		n = 16
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		n = stringSize(b)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		n = docSize(b)
	case bson.TypeBinary:
		n = binarySize(b)
	case bson.TypeRegex:
		n = regexSize(b)
	case bson.TypeDBPointer:
		if n = stringSize(b); n >= 0 {
			n += 12
		}
	case bson.TypeCodeWithScope:
		n = codeWithScopeSize(b)
	}
	if n > len(b) {
		return -1
	}
	return n
}

func stringSize(b []byte) int {
	n, ok := length(b)
	if !ok || n < 1 || n > len(b)-4 || b[4+n-1] != 0 {
		return -1
	}
	return 4 + n
}

func docSize(b []byte) int {
	n, ok := length(b)
	if !ok || n < 5 || n > len(b) || b[n-1] != 0 {
		return -1
	}
	return n
}

func binarySize(b []byte) int {
	n, ok := length(b)
	if !ok || n > len(b)-5 {
		return -1
	}
	return 5 + n
}

func regexSize(b []byte) int {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return -1
	}
	j := bytes.IndexByte(b[i+1:], 0)
	if j < 0 {
		return -1
	}
	return i + j + 2
}

func codeWithScopeSize(b []byte) int {
	n, ok := length(b)
	if !ok || n < 14 || n > len(b) {
		return -1
	}
	code := stringSize(b[4:n])
	if code < 0 || docSize(b[4+code:n]) != n-4-code {
		return -1
	}
	return n
}

// length reads the leading int32 of b; false when it is not there or negative.
func length(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	return int(n), n <= math.MaxInt32
}

// Validate checks that doc is exactly one well-formed document, nested no deeper than [MaxDepth].
func Validate(doc []byte) error { return validate(doc, 1) }

func validate(doc []byte, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrInvalid, MaxDepth)
	}
	if docSize(doc) != len(doc) {
		return fmt.Errorf("%w: document length", ErrInvalid)
	}
	it := Over(doc)
	for it.Next() {
		if it.typ == bson.TypeBoolean && it.val[0] > 1 {
			return fmt.Errorf("%w: boolean of value %d", ErrInvalid, it.val[0])
		}
		sub := nested(it.Value())
		if sub == nil {
			continue
		}
		if err := validate(sub, depth+1); err != nil {
			return err
		}
	}
	if it.Bad() {
		return fmt.Errorf("%w: element after %q", ErrInvalid, it.Key())
	}
	return nil
}

// DeeperThan reports whether documents and arrays nest more than levels deep in doc, which counts
// as the first.
func DeeperThan(doc []byte, levels int) bool {
	if levels == 0 {
		return true
	}
	for it := Over(doc); it.Next(); {
		if sub := nested(it.Value()); sub != nil && DeeperThan(sub, levels-1) {
			return true
		}
	}
	return false
}

// nested returns the document inside v, or nil.
func nested(v bson.RawValue) []byte {
	switch v.Type {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return v.Value
	case bson.TypeCodeWithScope:
		return v.Value[4+stringSize(v.Value[4:]):]
	}
	return nil
}
