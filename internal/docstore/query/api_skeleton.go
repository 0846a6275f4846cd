package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Update is a parsed update document; safe for concurrent use.
type Update struct{}

// ParseUpdate parses an update: a document of operators or a replacement.
func ParseUpdate(u bson.RawValue, arrayFilters []bson.Raw) (*Update, error) {
	return nil, Errorf(CodeNotImplemented, "")
}

// IsReplacement reports whether the update replaces the whole document.
func (u *Update) IsReplacement() bool { return false }

// Apply returns the updated document, and whether its bytes differ from doc's.
func (u *Update) Apply(doc bson.Raw, isInsert bool) (out bson.Raw, modified bool, err error) {
	return nil, false, Errorf(CodeNotImplemented, "")
}

// UpsertDocument returns the document to insert when nothing matched f. newID makes an _id when neither
// filter nor update give one.
func (u *Update) UpsertDocument(f *Filter, newID func() bson.RawValue) (bson.Raw, error) {
	return nil, Errorf(CodeNotImplemented, "")
}

// Projection is a parsed projection; safe for concurrent use.
type Projection struct{}

// ParseProjection parses a projection; an empty one keeps documents as they are.
func ParseProjection(raw bson.Raw) (*Projection, error) { return nil, Errorf(CodeNotImplemented, "") }

// Apply returns the projected document (doc itself when nothing is projected away).
func (p *Projection) Apply(doc bson.Raw) (bson.Raw, error) {
	return nil, Errorf(CodeNotImplemented, "")
}

// AppendTo appends the projected document to dst.
func (p *Projection) AppendTo(dst []byte, doc bson.Raw) ([]byte, error) {
	return nil, Errorf(CodeNotImplemented, "")
}

// SortField is one field of a sort or index pattern.
type SortField struct {
	Path string
	Desc bool
}

// Sort is a parsed sort pattern.
type Sort struct {
	Fields []SortField
}

// ParseSort parses a sort pattern; an empty one sorts nothing.
func ParseSort(raw bson.Raw) (*Sort, error) { return nil, Errorf(CodeNotImplemented, "") }

// Key returns bytes that order documents as the sort does. The error is that of parallel arrays.
func (s *Sort) Key(doc bson.Raw) ([]byte, error) { return nil, Errorf(CodeNotImplemented, "") }

// IndexKeys returns the index entries of doc, sorted and distinct, for the pattern fields. multikey says
// that an array was expanded. A sparse index has no entry for a document with none of the fields.
func IndexKeys(doc bson.Raw, fields []SortField, sparse bool) (keys [][]byte, multikey bool, err error) {
	return nil, false, Errorf(CodeNotImplemented, "")
}

// Source is a stream of documents; it ends with io.EOF. A document is valid until the next call.
type Source func() (bson.Raw, error)

// Pipeline is a parsed aggregation pipeline; safe for concurrent use.
type Pipeline struct{}

// ParsePipeline parses the stages.
func ParsePipeline(stages []bson.Raw) (*Pipeline, error) { return nil, Errorf(CodeNotImplemented, "") }

// Match is the filter of the leading $match stages (never nil): the caller feeds Run only documents that
// match it; Run does not filter by it again.
func (p *Pipeline) Match() *Filter { return nil }

// Lead returns what comes directly after the leading $match and can be answered by an index scan: a sort
// (nil if none). When the caller feeds documents in that order, it passes sorted=true to Run.
func (p *Pipeline) Lead() *Sort { return nil }

// Run returns the output of the pipeline for the documents of src.
func (p *Pipeline) Run(src Source, sorted bool) Source { return nil }
