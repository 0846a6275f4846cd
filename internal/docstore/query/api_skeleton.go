package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

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
