package maintenance

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/mailstore"
	"gadwall/internal/ranges"
)

// CollectOptions say what Collect does.
type CollectOptions struct {
	// Grace is how long unused documents are kept.
	Grace time.Duration
	// Deletions first finishes interrupted deletions of mailboxes and users, also those on which
	// another instance may still work.
	Deletions bool
	// Orphans looks for chunks without a file, too.
	Orphans bool
	// OrphanGrace is the least age of such chunks; 0 is blobstore.OrphanGrace. Less is safe only
	// while nothing else uses the store: chunks of an upload in progress have no file yet.
	OrphanGrace time.Duration
	// Workers is how many documents are deleted at a time; 0 is the default.
	Workers int
	// Guard, if not nil, is called before each batch; its error ends the collection.
	Guard func(ctx context.Context) error

	perRange int64 // for tests: ranges.Job.PerRange
}

// Plan counts the documents that a collection would delete.
type Plan struct {
	Contents dedupe.Plan   `json:"contents"`
	Blobs    dedupe.Plan   `json:"blobs"`
	Orphans  dedupe.Amount `json:"orphanChunks"`
}

// Collected counts the documents that a collection deleted.
type Collected struct {
	Contents dedupe.Collected `json:"contents"`
	Blobs    dedupe.Collected `json:"blobs"`
	Orphans  dedupe.Amount    `json:"orphanChunks"`
}

// PlanCollection counts what Collect would find, and changes nothing. Blobs that become unused only
// when their contents are deleted are not among it.
func PlanCollection(ctx context.Context, mail *mailstore.Store, o CollectOptions) (p Plan, err error) {
	contents := mail.Contents()
	if p.Contents, err = contents.Collector(nil).Plan(ctx, o.Grace); err != nil {
		return p, fmt.Errorf("contents: %w", err)
	}
	if p.Blobs, err = contents.Blobs().Collector(nil).Plan(ctx, o.Grace); err != nil {
		return p, fmt.Errorf("blobs: %w", err)
	}
	if o.Orphans {
		p.Orphans, err = orphans(ctx, contents.Blobs(), o, false)
	}
	return p, err
}

// Collect deletes unused contents and blobs. It returns what it deleted also with an error.
func Collect(ctx context.Context, mail *mailstore.Store, o CollectOptions) (done Collected, err error) {
	if o.Deletions {
		if err := mail.FinishDeletions(ctx); err != nil {
			return done, err
		}
	}
	contents := mail.Contents()
	collector := contents.Collector(o.Guard)
	collector.Workers = o.Workers
	if done.Contents, err = collector.Collect(ctx, o.Grace); err != nil {
		return done, fmt.Errorf("contents: %w", err)
	}
	collector = contents.Blobs().Collector(o.Guard)
	collector.Workers = o.Workers
	if done.Blobs, err = collector.Collect(ctx, o.Grace); err != nil {
		return done, fmt.Errorf("blobs: %w", err)
	}
	if o.Orphans {
		done.Orphans, err = orphans(ctx, contents.Blobs(), o, true)
	}
	return done, err
}

// orphanJob is the search for chunks without a file, by ranges of the ids of files.
func orphanJob(blobs *blobstore.Store, o CollectOptions) *ranges.Job {
	return &ranges.Job{Name: "orphans", KeySize: len(bson.ObjectID{}), Database: blobs.Files().Database(),
		PerRange: o.perRange}
}

// orphans looks for chunks without a file. If it deletes them, it saves how far it is, goes on where
// another search ended, and other instances may help.
func orphans(ctx context.Context, blobs *blobstore.Store, o CollectOptions, repair bool) (dedupe.Amount, error) {
	job := orphanJob(blobs, o)
	round := job.Local()
	if repair {
		n, err := blobs.Files().EstimatedDocumentCount(ctx)
		if err == nil {
			round, err = job.Begin(ctx, n, nil)
		}
		if err != nil {
			return dedupe.Amount{}, fmt.Errorf("chunks: %w", err)
		}
	}
	var sum dedupe.Amount
	err := round.Each(ctx, 1, func(ctx context.Context, g *ranges.Range) error {
		return orphansOf(ctx, blobs, o, g, repair, &sum)
	})
	if err == nil {
		err = round.End(ctx)
	}
	if err != nil {
		return sum, fmt.Errorf("chunks: %w", err)
	}
	return sum, nil
}

// helpWithOrphans does ranges of a search of another instance.
func helpWithOrphans(ctx context.Context, blobs *blobstore.Store, o CollectOptions) (sum dedupe.Amount, err error) {
	round, err := orphanJob(blobs, o).Find(ctx)
	if err != nil || round == nil {
		return sum, err
	}
	_, err = round.Help(ctx, 1, func(ctx context.Context, g *ranges.Range) error {
		return orphansOf(ctx, blobs, o, g, true, &sum)
	})
	return sum, err
}

func orphansOf(ctx context.Context, blobs *blobstore.Store, o CollectOptions, g *ranges.Range, repair bool,
	sum *dedupe.Amount) error {
	_, err := blobs.Check(ctx, blobstore.CheckOptions{
		From: bson.ObjectID(g.From()), To: bson.ObjectID(g.Last()),
		Found: func(f blobstore.Finding) {
			if f.Fault == blobstore.Orphans {
				sum.Documents += f.Chunks
				sum.Bytes += f.Bytes
			}
		},
		Saved: func(ctx context.Context, last bson.ObjectID, files int64) error {
			return g.Save(ctx, last[:], files, nil)
		},
		Grace: cmp.Or(max(o.OrphanGrace, 0), blobstore.OrphanGrace), Repair: repair, Guard: o.Guard,
	})
	if err != nil {
		return err
	}
	return g.Finish(ctx, 0, nil)
}
