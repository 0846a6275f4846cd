package schema

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/ranges"
)

// A Status says what a database is and what an apply would do.
type Status struct {
	Version int `json:"version"` // of the database
	Program int `json:"program"` // the newest that this program knows
	// Least is the version that a program must know to open the database.
	Least      int               `json:"least"`
	Indexes    []IndexStatus     `json:"indexes"` // that are missing or wrong
	Migrations []MigrationStatus `json:"migrations"`
	// Compression has the collections that exist.
	Compression []CompressionStatus `json:"compression"`
	Instances   []Instance          `json:"instances"`
}

// Complete reports whether there is nothing to apply.
func (s *Status) Complete() bool { return len(s.Indexes) == 0 && len(s.Migrations) == 0 }

// An IndexStatus is an index that is not as it should be.
type IndexStatus struct {
	Collection string `json:"collection"`
	Index      string `json:"index"`
	// Wrong says that there is an index of that name with other keys or options. No apply changes it.
	Wrong bool `json:"wrong,omitempty"`
	// Building says that the server is making it; then Done of Total documents are done, if it tells.
	Building bool `json:"building,omitempty"`
	// Optional says that everything works without it.
	Optional  bool  `json:"optional,omitempty"`
	Documents int64 `json:"documents"` // about, of the collection
	Done      int64 `json:"done,omitempty"`
	Total     int64 `json:"total,omitempty"`
}

// A CompressionStatus is how a collection is compressed. Nothing changes it: a collection that was made
// by a program, or on a server, that knew less stays as it is.
type CompressionStatus struct {
	Collection string `json:"collection"`
	Compressor string `json:"compressor,omitempty"` // absent: that of the server for all collections
	Wanted     string `json:"wanted,omitempty"`     // that a new collection would get
}

// A MigrationStatus is a migration that is not through.
type MigrationStatus struct {
	Version    int        `json:"version"`
	Name       string     `json:"name"`
	About      string     `json:"about"`
	Collection string     `json:"collection,omitempty"`
	Documents  int64      `json:"documents"` // about, of the collection
	Begun      *time.Time `json:"begun,omitempty"`
	Done       int64      `json:"done"` // documents
	Ranges     int        `json:"ranges,omitempty"`
	RangesDone int        `json:"rangesDone,omitempty"`
}

// Status looks at the database. It changes nothing.
func (s *Schema) Status(ctx context.Context) (*Status, error) {
	out := &Status{Program: s.o.Registry.Version(), Version: s.Version(), Least: s.Version()}
	doc, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if doc != nil {
		out.Version, out.Least = doc.Version, doc.Least
	}
	if out.Indexes, err = s.Missing(ctx); err != nil {
		return nil, err
	}
	have, err := database.Compression(ctx, s.o.Database)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	for _, f := range s.o.Registry.Forms {
		if compressor, ok := have[f.Name]; ok {
			out.Compression = append(out.Compression, CompressionStatus{f.Name, compressor, f.Compressor})
		}
	}
	for _, m := range s.o.Registry.Migrations {
		if m.Version <= out.Version {
			continue
		}
		status, err := s.migrationStatus(ctx, m)
		if err != nil {
			return nil, err
		}
		out.Migrations = append(out.Migrations, status)
	}
	if out.Instances, err = s.Instances(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// Missing returns the indexes that are not as they should be, in collections that have documents.
func (s *Schema) Missing(ctx context.Context) ([]IndexStatus, error) {
	var list []IndexStatus
	differences, err := database.CompareIndexes(ctx, s.o.Registry.Indexes)
	if err != nil {
		return nil, err
	}
	for _, d := range differences {
		coll := s.o.Database.Collection(d.Collection, database.Collection())
		n, err := coll.EstimatedDocumentCount(ctx)
		if err != nil {
			return nil, fmt.Errorf("schema: estimate %s: %w", d.Collection, err)
		}
		if n == 0 && d.Missing && !d.Building {
			continue // the next start makes it
		}
		ix := IndexStatus{Collection: d.Collection, Index: d.Index, Wrong: !d.Missing, Building: d.Building,
			Optional: d.Optional, Documents: n}
		if d.Building {
			ix.Done, ix.Total = s.buildProgress(ctx, d.Collection)
		}
		list = append(list, ix)
	}
	return list, nil
}

// Needed returns the indexes of which nothing works without.
func Needed(list []IndexStatus) (needed []IndexStatus) {
	for _, ix := range list {
		if !ix.Optional {
			needed = append(needed, ix)
		}
	}
	return needed
}

func (s *Schema) migrationStatus(ctx context.Context, m Migration) (MigrationStatus, error) {
	status := MigrationStatus{Version: m.Version, Name: m.Name, About: m.About, Collection: m.Collection}
	if m.Collection == "" {
		return status, nil
	}
	n, err := s.o.Database.Collection(m.Collection).EstimatedDocumentCount(ctx)
	if err != nil {
		return status, fmt.Errorf("schema: estimate %s: %w", m.Collection, err)
	}
	status.Documents = n
	round, err := s.job(m).Find(ctx)
	if err != nil || round == nil {
		return status, err
	}
	begun := round.Begun()
	status.Begun = &begun
	states, err := round.States(ctx)
	if err != nil {
		return status, err
	}
	status.Ranges = len(states)
	status.RangesDone, status.Done = ranges.Totals(states)
	return status, nil
}

// buildProgress asks the server how far it is with an index. Zeros if it does not tell: a user may
// lack the right to see operations, and servers differ.
func (s *Schema) buildProgress(ctx context.Context, collection string) (done, total int64) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var reply struct {
		InProgress []struct {
			Progress struct {
				Done, Total int64
			} `bson:"progress"`
		} `bson:"inprog"`
	}
	err := s.o.Database.Client().Database("admin").RunCommand(ctx, bson.D{
		{Key: "currentOp", Value: 1}, {Key: "command.createIndexes", Value: collection}}).Decode(&reply)
	if err != nil {
		return 0, 0
	}
	for _, op := range reply.InProgress {
		done, total = max(done, op.Progress.Done), max(total, op.Progress.Total)
	}
	return done, total
}
