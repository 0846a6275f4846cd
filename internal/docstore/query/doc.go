// Package query holds the document semantics of the embedded database: which documents a filter
// selects, what an update makes of a document, what a projection leaves of it, in which order a
// sort puts it, which keys an index has for it, and the stages of an aggregation. It knows nothing
// of storage.
//
// Every function takes documents as raw BSON and reads them in place. A parsed Filter, Update,
// Projection, Sort or Pipeline is immutable and safe for concurrent use (but see Filter.StopAt). It
// may alias the bytes that it was parsed from, which therefore must not change.
package query
