package query

import (
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// Source is a stream of documents. Each call returns the next one, which is valid until the call
// after it; the stream ends with io.EOF.
type Source func() (bson.Raw, error)

// Pipeline is a parsed aggregation pipeline; immutable and safe for concurrent use.
//
// Stages pull documents from the one before. Only $sort holds documents, within MaxBlockingBytes;
// one which a $limit follows holds no more than that many.
type Pipeline struct {
	match  *Filter
	stages []stage
}

// stage turns one stream into another. It keeps no state of a run itself.
type stage interface{ run(src Source) Source }

// Match is the filter of all $match stages that lead the pipeline, never nil. The caller of Run
// passes only documents that match it: Run does not filter by it again.
func (p *Pipeline) Match() *Filter { return p.match }

// Lead is the sort that comes directly after the leading $match, or nil. A caller that can read
// documents in that order passes sorted to Run, which then does not sort.
func (p *Pipeline) Lead() *Sort {
	if len(p.stages) > 0 {
		if s, ok := p.stages[0].(*sortStage); ok {
			return s.sort
		}
	}
	return nil
}

// Empty reports whether nothing follows the leading $match.
func (p *Pipeline) Empty() bool { return len(p.stages) == 0 }

// Run returns the output of the pipeline for the documents of src. sorted says that src is in the
// order of Lead. A run reads from src only while its own output is read.
func (p *Pipeline) Run(src Source, sorted bool) Source {
	stages := p.stages
	if sorted && p.Lead() != nil {
		stages = stages[1:]
	}
	for _, s := range stages {
		src = s.run(src)
	}
	return src
}

// ParsePipeline parses the stages of an aggregation.
func ParsePipeline(stages []bson.Raw) (*Pipeline, error) {
	if len(stages) > MaxStages {
		return nil, mongoerr.New(mongoerr.PipelineTooLong,
			"Pipeline length must be no longer than %d stages", MaxStages)
	}
	p := &Pipeline{match: &Filter{}}
	for _, raw := range stages {
		it := rawdoc.Over(raw)
		if !it.Next() {
			return nil, errStageNotSingle()
		}
		name, v := string(it.Key()), it.Value()
		if it.Next() {
			return nil, errStageNotSingle()
		}
		s, err := parseStage(name, v)
		if err != nil {
			return nil, err
		}
		if m, ok := s.(*matchStage); ok && len(p.stages) == 0 {
			p.match.root.add(&m.filter.root)
			continue
		}
		p.stages = append(p.stages, s)
	}
	if err := p.match.prepare(); err != nil {
		return nil, err
	}
	for i, s := range p.stages {
		if s, ok := s.(*sortStage); ok {
			s.keep = limitAfter(p.stages[i+1:])
		}
	}
	return p, nil
}

func errStageNotSingle() error {
	return mongoerr.New(mongoerr.StageNotSingle,
		"A pipeline stage specification object must contain exactly one field.")
}

// limitAfter is how many documents of a stream the stages that follow can ask for; 0 is no bound.
func limitAfter(stages []stage) int64 {
	skipped := int64(0)
	for _, s := range stages {
		switch s := s.(type) {
		case skipStage:
			skipped += int64(s)
		case limitStage:
			if n := skipped + int64(s); n > 0 {
				return n
			}
			return 0
		default:
			return 0
		}
		if skipped < 0 {
			return 0
		}
	}
	return 0
}

func parseStage(name string, v bson.RawValue) (stage, error) {
	switch name {
	case "$match":
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.MatchNotObject, "the match filter must be an expression in an object")
		}
		f, err := ParseFilter(v.Value)
		return &matchStage{f}, err
	case "$sort":
		return parseSortStage(v)
	case "$limit":
		n, problem := nonNegative(v)
		if problem != "" {
			return nil, mongoerr.New(mongoerr.LimitInvalid,
				"invalid argument to $limit stage: %s in: $limit: %s", problem, v)
		}
		if n == 0 {
			return nil, mongoerr.New(mongoerr.LimitNotPositive, "the limit must be positive")
		}
		return limitStage(n), nil
	case "$skip":
		n, problem := nonNegative(v)
		if problem != "" {
			return nil, mongoerr.New(mongoerr.SkipInvalid,
				"invalid argument to $skip stage: %s in: $skip: %s", problem, v)
		}
		return skipStage(n), nil
	case "$count":
		return parseCount(v)
	case "$group":
		return parseGroup(v)
	}
	return nil, mongoerr.New(mongoerr.UnrecognizedStage, "Unrecognized pipeline stage name: '%s'", name)
}

type matchStage struct{ filter *Filter }

func (s *matchStage) run(src Source) Source {
	return func() (bson.Raw, error) {
		for {
			doc, err := src()
			if err != nil || s.filter.Match(doc) {
				return doc, err
			}
		}
	}
}

type limitStage int64

func (s limitStage) run(src Source) Source {
	left := int64(s)
	return func() (bson.Raw, error) {
		if left == 0 {
			return nil, io.EOF
		}
		left--
		return src()
	}
}

type skipStage int64

func (s skipStage) run(src Source) Source {
	left := int64(s)
	return func() (bson.Raw, error) {
		for ; left > 0; left-- {
			if _, err := src(); err != nil {
				return nil, err
			}
		}
		return src()
	}
}

func parseCount(v bson.RawValue) (stage, error) {
	if v.Type != bson.TypeString {
		return nil, mongoerr.New(mongoerr.CountFieldNotString, "the count field must be a non-empty string")
	}
	name := string(rawdoc.String(v))
	switch {
	case name == "":
		return nil, mongoerr.New(mongoerr.CountFieldEmpty, "the count field must be a non-empty string")
	case name[0] == '$':
		return nil, mongoerr.New(mongoerr.CountFieldDollar, "the count field cannot be a $-prefixed path")
	}
	for i := range len(name) {
		switch name[i] {
		case 0:
			return nil, mongoerr.New(mongoerr.CountFieldNull, "the count field cannot contain a null byte")
		case '.':
			return nil, mongoerr.New(mongoerr.CountFieldDotted, "the count field cannot contain '.'")
		}
	}
	return countStage(name), nil
}

// countStage gives one document with the number of documents; none for none.
type countStage string

func (s countStage) run(src Source) Source {
	return counted(src, func(n int64) bson.Raw {
		buf, start := rawdoc.Begin(nil)
		return rawdoc.End(rawdoc.AppendElem(buf, string(s), wholeNumber(n)), start)
	})
}
