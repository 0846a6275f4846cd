package index

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Status says what the index has of a user.
type Status struct {
	// Numbers is the last number that was given out, and Compared the number up to which the index is
	// known to be complete.
	Numbers, Compared uint64
	Rows, Blocks      int
	InBlocks          int // mails
	Damaged           int // blocks that are damaged, or of other rules
	Bytes             int64
}

// Indexed returns the mails that have a row or are in a block. Some may be deleted.
func (s *Status) Indexed() int { return s.Rows + s.InBlocks }

// Status returns what the index has of a user.
func (r *Repairer) Status(ctx context.Context, user mailkey.UserID) (Status, error) {
	var s Status
	var err error
	if s.Numbers, _, err = r.mails.LastNumber(ctx, user); err != nil {
		return s, err
	}
	if s.Compared, err = r.index.state(ctx, user); err != nil {
		return s, err
	}
	blocks, bad, err := r.index.readBlocks(ctx, user)
	if err != nil {
		return s, fmt.Errorf("text index: read blocks: %w", err)
	}
	s.Blocks, s.Damaged = len(blocks), len(bad)
	for _, b := range blocks {
		s.InBlocks += b.count
	}
	if err := each(ctx, r.index.rows, byUser(user, 8), fieldBits, len(user)+8,
		func(_, _ []byte, doc bson.Raw) error {
			s.Rows++
			s.Bytes += int64(len(doc))
			return nil
		}); err != nil {
		return s, fmt.Errorf("text index: read rows: %w", err)
	}
	cursor, err := r.index.columns.Find(ctx, byUser(user, 2+blockIDSize), options.Find().SetBatchSize(1000))
	if err != nil {
		return s, fmt.Errorf("text index: read columns: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		s.Bytes += int64(len(cursor.Current))
	}
	if err := cursor.Err(); err != nil {
		return s, fmt.Errorf("text index: read columns: %w", err)
	}
	return s, nil
}
