package events

import (
	"context"
	"slices"
	"time"

	"gadwall/internal/mailkey"
)

// Doubt says that another instance was killed, perhaps between a commit and its event: subscribers of
// this process receive Resync. The caller knows that the instance has been silent for so long that the
// database has ended its transactions, so that no commit follows. Doubt returns at once. Users are told
// one after another, so that not all sessions ask the database at the same time. A call during such a
// round lets another follow.
func (b *Redis) Doubt() {
	select {
	case b.doubts <- struct{}{}:
	default:
	}
}

// doubtLoop does what Doubt says, until the bus closes.
func (b *Redis) doubtLoop(ctx context.Context) {
	for {
		select {
		case <-b.doubts:
			spread(ctx, b.closing, b.local.subscribed(), b.local.resyncUser)
		case <-b.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// spread calls tell for each user within doubtSpread, but ends early with ctx or when end is closed.
func spread(
	ctx context.Context, end <-chan struct{}, users []mailkey.UserID, tell func(mailkey.UserID),
) {
	step := time.NewTicker(doubtSpread / doubtSteps)
	defer step.Stop()
	for some := range slices.Chunk(users, max(1, (len(users)+doubtSteps-1)/doubtSteps)) {
		for _, user := range some {
			tell(user)
		}
		select {
		case <-step.C:
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}
