package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/ranges"
)

const (
	// buildTimeout bounds the build of an index. A deadline of its own is needed: that of the client
	// is for calls on which users wait.
	buildTimeout = 14 * 24 * time.Hour
	// progressInterval is how often an apply says how far it is.
	progressInterval = 2 * time.Second
)

// A Progress says how far an apply is.
type Progress struct {
	Step        string // "index messages.modseq", or the name of a migration
	Done, Total int64  // documents; Total is an estimate. Both are 0 if nobody knows.
}

// ApplyOptions are the options of Apply.
type ApplyOptions struct {
	// Progress is called now and then.
	Progress func(Progress)
	// Workers is how many ranges are migrated at a time.
	Workers int
}

// Apply builds the missing indexes, then does the migrations that the database lacks. Any number of
// processes may call it at the same time, and share the work.
func (s *Schema) Apply(ctx context.Context, o ApplyOptions) error {
	if err := s.build(ctx, o); err != nil {
		return err
	}
	// One who only looked may not have noted it.
	if _, err := s.note(ctx, &stateDocument{Version: s.Version(), Least: s.Version()}); err != nil {
		return err
	}
	for _, m := range s.Pending() {
		if err := s.migrate(ctx, m, o); err != nil {
			return fmt.Errorf("migration %s: %w", m.Name, err)
		}
	}
	return nil
}

// build builds the missing indexes one by one.
func (s *Schema) build(ctx context.Context, o ApplyOptions) error {
	missing, err := database.CompareIndexes(ctx, s.o.Registry.Indexes)
	if err != nil {
		return err
	}
	var wrong []string
	for _, d := range missing {
		if !d.Missing {
			wrong = append(wrong, d.Collection+"."+d.Index)
			continue
		}
		if err := s.buildOne(ctx, d, o); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("indexes that have other keys or options than they should, "+
			"and are left for you to drop: %s", strings.Join(wrong, ", "))
	}
	return nil
}

func (s *Schema) buildOne(ctx context.Context, d database.Difference, o ApplyOptions) error {
	at := Progress{Step: "index " + d.Collection + "." + d.Index}
	o.Progress(at)
	for _, ix := range s.o.Registry.Indexes {
		if ix.Collection.Name() != d.Collection {
			continue
		}
		one, err := ix.Only(d.Index)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, buildTimeout)
		defer cancel()
		return s.follow(ctx, func(ctx context.Context) error {
			return database.CreateIndexes(ctx, []database.Indexes{one})
		}, func(ctx context.Context) {
			if at.Done, at.Total = s.buildProgress(ctx, d.Collection); at.Total > 0 {
				o.Progress(at)
			}
		})
	}
	return nil
}

// follow runs work, and look now and then while it lasts.
func (s *Schema) follow(ctx context.Context, work func(context.Context) error, look func(context.Context)) error {
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for s.o.Wait(watching, progressInterval) == nil {
			look(watching)
		}
	})
	err := work(ctx)
	stop()
	watcher.Wait()
	return err
}

func (s *Schema) job(m Migration) *ranges.Job {
	return &ranges.Job{Name: "migrate-" + m.Name, KeySize: m.KeySize, Database: s.o.Database, Redis: s.o.Redis,
		Log: s.o.Log, PerRange: s.o.PerRange}
}

func (s *Schema) migrate(ctx context.Context, m Migration, o ApplyOptions) error {
	at := Progress{Step: m.Name}
	o.Progress(at)
	if err := s.excludeOlder(ctx, m.Version); err != nil {
		return err
	}
	set := func(field string) error {
		_, err := s.state.UpdateOne(ctx, bson.D{{Key: "_id", Value: stateID}},
			bson.D{{Key: "$max", Value: bson.D{{Key: field, Value: m.Version}}}})
		if err != nil {
			return fmt.Errorf("note the version: %w", err)
		}
		return nil
	}
	if err := set("least"); err != nil {
		return err
	}
	// One that began between the look and the write.
	if err := s.excludeOlder(ctx, m.Version); err != nil {
		return err
	}
	if m.Collection != "" {
		if err := s.migrateRanges(ctx, m, o, &at); err != nil {
			return err
		}
	}
	if err := set("version"); err != nil {
		return err
	}
	if s.Version() < m.Version {
		s.version.Store(int64(m.Version))
	}
	return nil
}

func (s *Schema) migrateRanges(ctx context.Context, m Migration, o ApplyOptions, at *Progress) error {
	n, err := s.o.Database.Collection(m.Collection).EstimatedDocumentCount(ctx)
	if err != nil {
		return fmt.Errorf("estimate %s: %w", m.Collection, err)
	}
	at.Total = n
	job := s.job(m)
	round, err := job.Begin(ctx, n, nil)
	if err != nil {
		return err
	}
	if err := s.follow(ctx, func(ctx context.Context) error {
		return round.Each(ctx, o.Workers, m.Apply)
	}, func(ctx context.Context) {
		if states, err := round.States(ctx); err == nil {
			_, at.Done = ranges.Totals(states)
			o.Progress(*at)
		}
	}); err != nil {
		return err
	}
	return round.End(ctx)
}

// excludeOlder returns ErrOlder while instances run that know no such version. What killed instances
// have left it removes: they are those that are silent.
func (s *Schema) excludeOlder(ctx context.Context, version int) error {
	first, err := s.older(ctx, version)
	if err != nil || len(first) == 0 {
		return err
	}
	for range silentHeartbeats {
		if err := s.o.Wait(ctx, s.o.Heartbeat); err != nil {
			return err
		}
	}
	second, err := s.older(ctx, version)
	if err != nil {
		return err
	}
	var running []error
	for _, i := range second {
		was, ok := first[i.ID]
		if !ok || was.Beats != i.Beats {
			running = append(running, errors.New(i.String()))
			continue
		}
		if _, err := s.instances.DeleteOne(ctx, bson.D{{Key: "_id", Value: i.ID},
			{Key: "beats", Value: i.Beats}}); err != nil {
			return fmt.Errorf("remove an instance: %w", err)
		}
	}
	if len(running) > 0 {
		return fmt.Errorf("%w: %w", ErrOlder, errors.Join(running...))
	}
	return nil
}

func (s *Schema) older(ctx context.Context, version int) (map[string]Instance, error) {
	var list []Instance
	cur, err := s.instances.Find(ctx, bson.D{{Key: "schema", Value: bson.D{{Key: "$lt", Value: version}}}})
	if err == nil {
		err = cur.All(ctx, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read the instances: %w", err)
	}
	byID := make(map[string]Instance)
	for _, i := range list {
		byID[i.ID] = i
	}
	return byID, nil
}
