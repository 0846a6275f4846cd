package search

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

// leastShare is how many messages are worth a goroutine of their own.
const leastShare = 4

// matchTexts decides the residual for the open messages of a batch by their contents. Several
// goroutines share them, each with a matcher and a place of its own.
func (r *run) matchTexts(
	ctx context.Context, m *matcher, batch []*mailstore.Message, open []int,
	loaded map[contents.ID]*contents.Content, matches []bool,
) error {
	shares := share(batch, open, min(runtime.GOMAXPROCS(0), len(open)/leastShare))
	for len(r.others) < len(shares)-1 {
		r.others = append(r.others, newMatcher(r.Plan.Residual))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(shares))
	work := func(i int, m *matcher) {
		errs[i] = r.inTurn(ctx, m, func() error { return r.matchShare(ctx, m, batch, shares[i], loaded, matches) })
		if errs[i] != nil {
			stop()
		}
	}
	var working sync.WaitGroup
	for i := 1; i < len(shares); i++ {
		working.Go(func() { work(i, r.others[i-1]) })
	}
	work(0, m)
	working.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// share divides messages into n lists, at least one. Those of one content are in one list: a Content
// is for one goroutine.
func share(batch []*mailstore.Message, open []int, n int) [][]int {
	shares := make([][]int, max(n, 1))
	place := make(map[contents.ID]int)
	for i, at := range open {
		to, ok := place[batch[at].Content]
		if !ok {
			to = i % len(shares)
			place[batch[at].Content] = to
		}
		shares[to] = append(shares[to], at)
	}
	return shares
}

// matchShare decides the residual for some messages of a batch.
func (r *run) matchShare(
	ctx context.Context, m *matcher, batch []*mailstore.Message, share []int,
	loaded map[contents.ID]*contents.Content, matches []bool,
) error {
	for _, i := range share {
		content := loaded[batch[i].Content]
		if content == nil {
			r.searcher.log.Error("content of a message is missing", slog.Uint64("uid", uint64(batch[i].UID)),
				slog.String("mailbox", r.Plan.Mailbox.String()), slog.String("content", batch[i].Content.String()))
			continue
		}
		match, err := m.match(ctx, batch[i], content, &r.memo)
		switch {
		case contents.IsUnreadable(err):
			r.searcher.log.Error("content of a message cannot be read",
				slog.Uint64("uid", uint64(batch[i].UID)), slog.String("mailbox", r.Plan.Mailbox.String()),
				slog.String("content", batch[i].Content.String()), slog.Any("error", err))
		case err != nil:
			return err
		}
		matches[i] = match
		if err := m.pause(); err != nil {
			return err
		}
	}
	return nil
}
