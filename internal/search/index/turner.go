package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
)

// Turner makes blocks of rows, and repairs what is missing. One instance at a time does so.
type Turner struct {
	index  *Index
	task   *lease.Task
	log    *slog.Logger
	repair func(ctx context.Context, check func(context.Context) error) error // nil: none

	rows int // turnRows

	mu     sync.Mutex
	asked  map[mailkey.UserID]bool
	signal chan struct{}
	turned atomic.Int64
}

// partRepair is the part of the task that operators are told of.
const partRepair = "repair"

// NewTurner returns a Turner, whose Run does its work. The task is that of one instance.
func NewTurner(x *Index, task *lease.Task, log *slog.Logger) *Turner {
	if log == nil {
		log = slog.Default()
	}
	return &Turner{
		index: x, task: task, log: log, rows: turnRows, asked: make(map[mailkey.UserID]bool),
		signal: make(chan struct{}, 1),
	}
}

// SetRepair has Run call f now and then, under the lease; f calls check before each batch. It is
// called before Run.
func (t *Turner) SetRepair(f func(ctx context.Context, check func(context.Context) error) error) {
	t.repair = f
}

// Turned returns how many blocks were made.
func (t *Turner) Turned() int64 { return t.turned.Load() }

// Ask has the rows of a user turned soon.
func (t *Turner) Ask(user mailkey.UserID) {
	t.mu.Lock()
	t.asked[user] = true
	t.mu.Unlock()
	select {
	case t.signal <- struct{}{}:
	default:
	}
}

// Run turns rows until ctx ends.
func (t *Turner) Run(ctx context.Context) {
	ticker := time.NewTicker(turnInterval)
	defer ticker.Stop()
	repaired := time.Time{}
	for {
		due := t.repair != nil && time.Since(repaired) > repairInterval
		done, err := t.round(ctx, due)
		if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrHeld) && !errors.Is(err, lease.ErrLost) {
			t.log.Warn("text index: blocks were not made", "error", err)
		}
		if done && due {
			repaired = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.signal:
		case <-ticker.C:
		}
	}
}

// round does what there is to do, under the lease. done is false if another instance is at it.
func (t *Turner) round(ctx context.Context, repair bool) (done bool, err error) {
	t.mu.Lock()
	users := make([]mailkey.UserID, 0, len(t.asked))
	for user := range t.asked {
		users = append(users, user)
	}
	t.mu.Unlock()
	if len(users) == 0 && !repair {
		return true, nil
	}
	l, err := t.task.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer l.Release(ctx)
	for _, user := range users {
		if err := t.Turn(ctx, user, l.Check); err != nil {
			return false, err
		}
		t.mu.Lock()
		delete(t.asked, user)
		t.mu.Unlock()
	}
	if repair {
		began := time.Now().UTC()
		if err := t.repair(ctx, l.Check); err != nil {
			return false, err
		}
		if err := l.SetDone(ctx, partRepair, began); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Turn makes blocks of a user's rows as long as there are turnRows. check fails if another instance
// has taken over.
func (t *Turner) Turn(ctx context.Context, user mailkey.UserID, check func(context.Context) error) error {
	for {
		if err := check(ctx); err != nil {
			return err
		}
		more, err := t.turnOnce(ctx, user, check)
		if err != nil || !more {
			return err
		}
	}
}

// turnOnce makes one block. more is false if there are too few rows.
func (t *Turner) turnOnce(
	ctx context.Context, user mailkey.UserID, check func(context.Context) error,
) (more bool, err error) {
	blocks, bad, err := t.index.readBlocks(ctx, user)
	if err != nil {
		return false, fmt.Errorf("read blocks: %w", err)
	}
	if err := t.index.sweep(ctx, user, blocks, bad); err != nil {
		return false, err
	}
	var m matrix
	stale, err := m.addRows(ctx, t.index, user, blocks)
	if err != nil {
		return false, fmt.Errorf("read rows: %w", err)
	}
	if len(stale) > 0 { // left by a turn that was interrupted, or of no use
		if err := t.index.forgetState(ctx, user); err != nil {
			return false, err
		}
		return true, t.index.dropRows(ctx, user, stale)
	}
	if len(m.numbers) < t.rows {
		return false, nil
	}
	rows := slices.Clone(m.numbers)
	merged := toMerge(blocks, len(rows))
	for _, b := range merged {
		m.addBlock(b, nil)
	}
	if err := m.write(ctx, t.index, user, check); err != nil {
		var damaged *damagedError
		if errors.As(err, &damaged) {
			return true, t.index.dropDamaged(ctx, user, damaged.id)
		}
		return false, fmt.Errorf("write block: %w", err)
	}
	t.turned.Add(1)
	for _, b := range merged {
		if err := t.index.dropBlock(ctx, user, b.id); err != nil {
			return false, err
		}
	}
	return true, t.index.dropRows(ctx, user, rows)
}

// toMerge returns the blocks that become one with so many rows: once there are mergeBlocks small ones
// with theirs, all that fit into a block. So a mail is written in two blocks, a small one and a large
// one.
func toMerge(blocks []*block, rows int) []*block {
	small := slices.DeleteFunc(slices.Clone(blocks), func(b *block) bool { return b.count >= blockRows/2 })
	if len(small) < mergeBlocks-1 {
		return nil
	}
	slices.SortFunc(small, func(a, b *block) int { return cmp.Compare(a.count, b.count) })
	for i, b := range small {
		if rows += b.count; rows > blockRows {
			return small[:i]
		}
	}
	return small
}

// compact makes a block anew without the mails that live does not know.
func (x *Index) compact(
	ctx context.Context, user mailkey.UserID, b *block, live func(uint64) bool, check func(context.Context) error,
) error {
	var m matrix
	m.addBlock(b, live)
	if err := m.write(ctx, x, user, check); err != nil && !errors.Is(err, errDamaged) {
		return err
	}
	return x.dropBlock(ctx, user, b.id)
}

// dropRows removes rows.
func (x *Index) dropRows(ctx context.Context, user mailkey.UserID, numbers []uint64) error {
	for part := range slices.Chunk(numbers, maxPointReads) {
		keys := make([][]byte, len(part))
		for i, n := range part {
			keys[i] = rowKey(user, n)
		}
		if _, err := x.rows.DeleteMany(ctx, oneOf(keys)); err != nil {
			return fmt.Errorf("remove rows: %w", err)
		}
	}
	return nil
}

// dropBlock removes a block: first the document that makes its columns count.
func (x *Index) dropBlock(ctx context.Context, user mailkey.UserID, id blockID) error {
	if _, err := x.blocks.DeleteMany(ctx, oneOf([][]byte{blockKey(user, id)})); err != nil {
		return fmt.Errorf("remove block: %w", err)
	}
	keys := make([][]byte, groupCount)
	for g := range keys {
		keys[g] = columnKey(user, g, id)
	}
	if _, err := x.columns.DeleteMany(ctx, oneOf(keys)); err != nil {
		return fmt.Errorf("remove columns: %w", err)
	}
	return nil
}

// dropDamaged removes a block whose mails have to be indexed anew. The next Repair finds them.
func (x *Index) dropDamaged(ctx context.Context, user mailkey.UserID, id blockID) error {
	if err := x.forgetState(ctx, user); err != nil {
		return err
	}
	return x.dropBlock(ctx, user, id)
}

// sweep removes bad blocks, and columns without a block: of one that was not finished, or not wholly
// removed. The last group is written last and removed with the others; the first is looked at.
func (x *Index) sweep(ctx context.Context, user mailkey.UserID, blocks []*block, bad []blockID) error {
	for _, id := range bad {
		if err := x.dropDamaged(ctx, user, id); err != nil {
			return err
		}
	}
	var last blockID
	copy(last[:], bytes.Repeat([]byte{0xff}, blockIDSize))
	cursor, err := x.columns.Find(ctx, between(columnKey(user, 0, blockID{}), columnKey(user, 0, last)),
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	var keys []bson.Raw
	if err := cursor.All(ctx, &keys); err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	for _, doc := range keys {
		_, key, ok := doc.Lookup("_id").BinaryOK()
		if !ok || len(key) != len(user)+2+blockIDSize {
			continue
		}
		id := blockID(key[len(user)+2:])
		if !slices.ContainsFunc(blocks, func(b *block) bool { return b.id == id }) {
			if err := x.dropBlock(ctx, user, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// Forget removes all that the index has of a user.
func (x *Index) Forget(ctx context.Context, user mailkey.UserID) error {
	for _, c := range []struct {
		coll *mongo.Collection
		size int
	}{{x.blocks, blockIDSize}, {x.columns, 2 + blockIDSize}, {x.rows, 8}, {x.states, 0}} {
		if _, err := c.coll.DeleteMany(ctx, byUser(user, c.size)); err != nil {
			return fmt.Errorf("text index: forget user %v: %w", user, err)
		}
	}
	return nil
}
