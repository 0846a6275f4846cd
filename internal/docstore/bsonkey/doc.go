// Package bsonkey orders BSON values as MongoDB does, and turns them into bytes that sort the same
// way.
//
// Two functions define the order and must agree, for all values a and b:
//
//	Compare(a, b) == bytes.Compare(Append(nil, a), Append(nil, b))
//
// # Order
//
// Values sort first by kind: MinKey, undefined, null (a missing field counts as null), numbers,
// string and symbol, object, array, binary, ObjectID, bool, date, timestamp, regular expression,
// DBPointer, code, code with scope, MaxKey. Numbers of all four types compare by exact value; NaN
// is the smallest number and equals itself, and both zeros are equal. Strings compare by bytes.
// Objects compare element by element: kind, then field name, then value; the shorter one is
// smaller. Arrays likewise. Binaries compare by length, then subtype, then bytes.
//
// # Encoding
//
// A value is a tag byte below 0x80 and a payload that tells its own end, so that no encoding is a
// proper prefix of another one: values can be put one after the other in a compound key, and a key
// can be followed by anything. The descending form is the same bytes inverted; its tag is thus 0x80
// or above, and [Skip] knows both forms.
//
//	strings      bytes with 0x00 written as 00 FF, then 00 01
//	objects      for each element: tag, name, 00, payload; then 00
//	arrays       for each element: tag, payload; then 00
//	binary       length, subtype, bytes; the generic binaries of 12, 16 and 32 bytes have tags of their own
//	             and are just their bytes
//	numbers      tags for NaN, negative, zero, positive; see number.go
//	others       their fixed bytes, big endian, signed ones with the sign bit flipped
//
// Values that compare equal encode equally, so types are lost (1 and 1.0): keys cannot be decoded.
package bsonkey
