package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/schema"
	"gadwall/internal/search/index"
	"gadwall/internal/sessions"
	"gadwall/internal/webhooks"
)

// indexesPoll is how often a server that waits for indexes looks for them, and indexesTell how often
// it says so.
const (
	indexesPoll = 2 * time.Second
	indexesTell = time.Minute
)

// openSchema compares the form of the database with what this program knows. A server waits until it
// has the indexes that are needed; other processes do not.
func (n *Node) openSchema(ctx context.Context, o Options) error {
	registry := schema.Registry{Migrations: o.Migrations}
	if o.Migrations == nil {
		registry.Migrations = mailstore.Migrations(nil)
	}
	registry.Forms = slices.Concat(mailstore.Forms(), contents.Forms(), index.Forms(), sessions.Forms(),
		webhooks.Forms())
	registry.Indexes = slices.Concat(mailstore.Indexes(n.Database), n.Contents.Indexes(),
		[]database.Indexes{sessions.Indexes(n.Database)}, webhooks.Indexes(n.Database))
	var err error
	n.Schema, err = schema.Open(ctx, schema.Options{Database: n.Database, Redis: n.Redis, Registry: registry,
		Program: o.Version, Log: n.log, ReadOnly: o.Access == Looking, Wait: o.schemaWait})
	if err != nil {
		return err
	}
	n.Schema.Lost = n.lostInstance
	n.closers = append(n.closers, func() error {
		n.Schema.Close(context.Background())
		return nil
	})
	for _, m := range n.Schema.Pending() {
		n.log.Info("gadwall schema apply would change the database", "to", m.Version, "migration", m.Name,
			"about", m.About)
	}
	if o.Access == Looking {
		return nil
	}
	if err := database.CreateCollections(ctx, n.Database, append(contents.Forms(), sessions.Forms()...)); err != nil {
		return err
	}
	if _, err := database.CreateWhereEmpty(ctx,
		append(n.Contents.Indexes(), sessions.Indexes(n.Database))); err != nil {
		return err
	}
	if o.Access == Restoring {
		return nil // builds them itself: nobody else uses the database, and the advance needs them
	}
	return n.awaitIndexes(ctx, o.Access == Serving)
}

// lostInstance lets sessions look for what an instance changed that was perhaps killed between a commit
// and its event. Without Redis they look now and then in any case.
func (n *Node) lostInstance(in *schema.Instance) {
	n.log.Info("an instance is silent and was perhaps killed: sessions look for its last changes",
		"instance", in.String())
	if bus := events.RedisUnder(n.Bus); bus != nil {
		bus.Doubt()
	}
}

// awaitIndexes waits until the database has the indexes that are needed, or fails if patient is false.
func (n *Node) awaitIndexes(ctx context.Context, patient bool) error {
	var told time.Time
	for {
		missing, err := n.Schema.Missing(ctx)
		if err != nil {
			return err
		}
		needed := schema.Needed(missing)
		if len(needed) == 0 {
			for _, ix := range missing {
				n.log.Warn("an index is missing that makes something faster: gadwall schema apply builds it",
					"collection", ix.Collection, "index", ix.Index, "building", ix.Building)
			}
			return nil
		}
		var names []string
		for _, ix := range needed {
			if ix.Wrong {
				return fmt.Errorf("index %s of %s has other keys or options than it should", ix.Index, ix.Collection)
			}
			names = append(names, ix.Collection+"."+ix.Index)
		}
		if !patient {
			return fmt.Errorf("the database lacks indexes (%s): run gadwall schema apply", strings.Join(names, ", "))
		}
		if time.Since(told) >= indexesTell {
			told = time.Now()
			n.log.Warn("waiting for indexes that the database lacks: run gadwall schema apply beside this process",
				"indexes", strings.Join(names, ", "))
		}
		timer := time.NewTimer(indexesPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
