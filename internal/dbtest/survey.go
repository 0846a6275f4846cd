package dbtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// surveyOf is how many commands of a shape a Survey explains.
const surveyOf = 3

// A Survey explains the queries that a test makes, at the moment at which it makes them: finds,
// aggregations, and the search of updates and deletes. Of commands that differ in values alone, which
// have one shape, it explains the first few.
type Survey struct {
	t       testing.TB
	db      *mongo.Database // of a client of its own
	mu      sync.Mutex
	on      bool
	queries map[string]*Surveyed
}

// A Surveyed is what the queries of one shape have in common.
type Surveyed struct {
	// Shape names collection, command, fields and operators of the filter, sort and hint.
	Shape string
	Plans []Plan
	Limit int64 // of the first; 0 for none
}

// Surveying returns a database whose commands the Survey explains, once it is started.
func Surveying(t testing.TB) (*mongo.Database, *Survey) {
	t.Helper()
	s := &Survey{t: t, queries: make(map[string]*Surveyed)}
	db := Watched(t, &event.CommandMonitor{Started: s.started})
	s.db = NewClient(t).Database(db.Name())
	return db, s
}

// Start makes the survey begin: before, nothing is explained.
func (s *Survey) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
}

// Queries returns what was seen, by shape.
func (s *Survey) Queries() []*Surveyed {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	var list []*Surveyed
	for _, q := range s.queries {
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b *Surveyed) int { return cmp.Compare(a.Shape, b.Shape) })
	return list
}

func (s *Survey) started(_ context.Context, e *event.CommandStartedEvent) {
	if e.DatabaseName != s.db.Name() {
		return
	}
	for _, command := range explainable(e.CommandName, e.Command) {
		shape, limit := shapeOf(e.CommandName, command)
		if s.wants(shape, limit) {
			plan := ExplainCommand(s.t, s.db, command)
			s.mu.Lock()
			s.queries[shape].Plans = append(s.queries[shape].Plans, plan)
			s.mu.Unlock()
		}
	}
}

// wants reports whether another command of a shape is to be explained.
func (s *Survey) wants(shape string, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return false
	}
	q := s.queries[shape]
	if q == nil {
		q = &Surveyed{Shape: shape, Limit: limit}
		s.queries[shape] = q
	}
	return len(q.Plans) < surveyOf
}

// explainable returns what explain takes of a command: one for each statement.
func explainable(name string, command bson.Raw) (list []bson.D) {
	take := func(fields ...string) (doc bson.D) {
		for _, f := range fields {
			if v, err := command.LookupErr(f); err == nil {
				doc = append(doc, bson.E{Key: f, Value: v})
			}
		}
		return doc
	}
	switch name {
	case "find":
		return []bson.D{take("find", "filter", "sort", "projection", "hint", "skip", "limit")}
	case "aggregate":
		return []bson.D{append(take("aggregate", "pipeline", "hint"), bson.E{Key: "cursor", Value: bson.D{}})}
	case "findAndModify":
		return []bson.D{take("findAndModify", "query", "sort", "update", "remove", "upsert", "fields", "new", "hint")}
	case "update", "delete":
		statements, _ := command.Lookup(name + "s").ArrayOK()
		values, _ := statements.Values()
		for _, v := range values {
			list = append(list, append(take(name), bson.E{Key: name + "s", Value: bson.A{v}}))
		}
	}
	return list
}

// shapeOf names a command without its values.
func shapeOf(name string, command bson.D) (shape string, limit int64) {
	raw, err := bson.Marshal(command)
	if err != nil {
		panic(err) // it was read from BSON
	}
	doc := bson.Raw(raw)
	collection, _ := doc.Lookup(name).StringValueOK()
	var filter, sort, hint bson.RawValue
	switch name {
	case "find":
		filter, sort, hint = doc.Lookup("filter"), doc.Lookup("sort"), doc.Lookup("hint")
		limit, _ = doc.Lookup("limit").AsInt64OK()
	case "aggregate":
		filter, hint = doc.Lookup("pipeline", "0", "$match"), doc.Lookup("hint")
	case "findAndModify":
		filter, sort, hint = doc.Lookup("query"), doc.Lookup("sort"), doc.Lookup("hint")
		limit = 1
	case "update", "delete":
		statement := doc.Lookup(name+"s", "0")
		filter, hint = statement.Document().Lookup("q"), statement.Document().Lookup("hint")
		multi, _ := statement.Document().Lookup("multi").BooleanOK()
		if one, _ := statement.Document().Lookup("limit").AsInt64OK(); one == 1 || name == "update" && !multi {
			limit = 1
		}
	}
	shape = fmt.Sprintf("%s %s %s", collection, name, shapeOfValue(filter))
	if sort.Type != 0 {
		shape += " sort " + keysOf(sort)
	}
	if limit > 0 {
		shape += " limited"
	}
	if hint.Type != 0 {
		shape += " hint " + keysOf(hint)
	}
	return shape, limit
}

// keysOf names the fields of a sort, or of an index, or the index.
func keysOf(v bson.RawValue) string {
	if name, ok := v.StringValueOK(); ok {
		return name
	}
	elements, _ := v.Document().Elements()
	var keys []string
	for _, e := range elements {
		sign := ""
		if n, _ := e.Value().AsInt64OK(); n < 0 {
			sign = "-"
		}
		keys = append(keys, sign+e.Key())
	}
	return strings.Join(keys, ",")
}

func shapeOfValue(v bson.RawValue) string {
	if list, ok := v.ArrayOK(); ok {
		values, _ := list.Values()
		var shapes []string
		for _, e := range values {
			shapes = append(shapes, shapeOfValue(e))
		}
		slices.Sort(shapes)
		return "[" + strings.Join(slices.Compact(shapes), " ") + "]"
	}
	doc, ok := v.DocumentOK()
	if !ok {
		return "?"
	}
	elements, _ := doc.Elements()
	var fields []string
	for _, e := range elements {
		switch e.Key() {
		case "$in", "$exists", "$regex":
			fields = append(fields, e.Key())
		default:
			fields = append(fields, e.Key()+":"+shapeOfValue(e.Value()))
		}
	}
	return "{" + strings.Join(fields, " ") + "}"
}
