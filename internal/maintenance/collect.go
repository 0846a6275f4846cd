package maintenance

import (
	"context"
	"fmt"
	"time"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/mailstore"
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

func orphans(ctx context.Context, blobs *blobstore.Store, o CollectOptions, repair bool) (dedupe.Amount, error) {
	var sum dedupe.Amount
	grace := o.OrphanGrace
	if grace <= 0 {
		grace = blobstore.OrphanGrace
	}
	_, err := blobs.Check(ctx, blobstore.CheckOptions{
		Found: func(f blobstore.Finding) {
			if f.Fault == blobstore.Orphans {
				sum.Documents += f.Chunks
				sum.Bytes += f.Bytes
			}
		},
		Grace: grace, Repair: repair, Guard: o.Guard,
	})
	if err != nil {
		return sum, fmt.Errorf("chunks: %w", err)
	}
	return sum, nil
}
