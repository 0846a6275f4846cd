// Package query holds the document semantics of the embedded database: which documents a filter selects,
// what an update makes of a document, what a projection leaves of it, in which order a sort puts it, which
// keys an index has for it, and the stages of an aggregation. It knows nothing of storage.
//
// Every function takes documents as raw BSON and reads them in place. What is parsed once (Filter, Update,
// Projection, Sort, Pipeline) is immutable afterwards and safe for concurrent use; it may alias the bytes
// it was parsed from, which therefore must not change.
//
// # Words
//
//   - A path is a dotted field name. A step of it may be a number, which also selects an array element.
//   - A path leads to values: one for plain documents, several where arrays are on the way, and the
//     missing value where a field is not there. A predicate holds for a document when it holds for one of
//     the values (path.go).
//   - A predicate compares only values of its operand's kind, except for null, MinKey and MaxKey.
//   - An interval is a range of the order of package bsonkey that a filter restricts a path to. Intervals
//     are for choosing what to read; whoever uses them still asks Match.
//
// # Invariants
//
//   - MongoDB's result, or MongoDB's error: what is not supported is refused while parsing, never ignored.
//   - If Match(doc) holds, then for every path which Intervals restricts, one index key of doc lies within.
//   - If f.Implies(g) and f.Match(doc), then g.Match(doc).
//   - Documents passed in have been validated (package rawdoc). Others never make a function here panic
//     in walking them, but the result is then of no use.
//   - Match does not allocate, regular expressions aside.
package query
