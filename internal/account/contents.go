package account

import (
	"context"
	"errors"
	"log/slog"

	"gadwall/blobstore"
	"gadwall/internal/contents"
)

// Contents is the reading side of the content store, with a cache of decoded frames for one
// session. One goroutine at a time uses it, but for ReadAhead, whose result reads in the
// background.
type Contents struct {
	shared *contents.Store
	cached *contents.Store // nil until something is read
	kept   *contents.Kept  // nil until something is kept
	log    *slog.Logger
}

func newContents(shared *contents.Store, log *slog.Logger) *Contents {
	return &Contents{shared: shared, log: log}
}

// DropCache gives the memory of decoded frames and kept contents back. What is read later is kept
// anew.
func (c *Contents) DropCache() {
	c.kept, c.cached = nil, nil
}

// store reads with the cache.
func (c *Contents) store() *contents.Store {
	if c.cached == nil {
		c.cached = c.shared.WithCache(blobstore.NewFrameCache(blobstore.DefaultCacheBytes))
	}
	return c.cached
}

// Load loads contents. Those that do not exist and those that are damaged are absent from the
// result; damage is logged.
func (c *Contents) Load(
	ctx context.Context, ids []contents.ID, want contents.Want,
) (map[contents.ID]*contents.Content, error) {
	if len(ids) == 1 && c.kept != nil {
		if kept := c.kept.Take(ids[0], want); kept != nil {
			return map[contents.ID]*contents.Content{ids[0]: kept}, nil
		}
	}
	loaded, err := c.store().Load(ctx, ids, want)
	if err == nil || !errors.Is(err, contents.ErrCorrupt) {
		return loaded, err
	}
	// One damaged content makes the whole call fail. Loading one by one tells which it is.
	loaded = make(map[contents.ID]*contents.Content, len(ids))
	for _, id := range ids {
		one, err := c.store().Load(ctx, []contents.ID{id}, want)
		switch {
		case errors.Is(err, contents.ErrCorrupt):
			c.log.Error("content is damaged", "error", err)
		case err != nil:
			return nil, err
		case one[id] != nil:
			loaded[id] = one[id]
		}
	}
	return loaded, nil
}

// Keep keeps a content that the caller does not need any more: the next Load of it alone needs no
// query.
func (c *Contents) Keep(content *contents.Content) {
	if c.kept == nil {
		c.kept = new(contents.Kept)
	}
	c.kept.Put(content)
}

// ShortHeaders returns short headers. See contents.Store.ShortHeaders.
func (c *Contents) ShortHeaders(ctx context.Context, ids []contents.ID) ([][]byte, error) {
	return c.store().ShortHeaders(ctx, ids)
}

// Prefetch loads the inline bytes of all ranges by one query. It passes over damage: the caller
// meets it when it reads the range.
func (c *Contents) Prefetch(ctx context.Context, ranges []contents.Range) error {
	if len(ranges) == 0 {
		return nil
	}
	if err := c.store().Prefetch(ctx, ranges); !errors.Is(err, contents.ErrCorrupt) {
		return err
	}
	return nil
}

// ReadAhead starts to read what the ranges need of blobs. The caller closes the result, which may
// be nil. See contents.Store.ReadAhead.
func (c *Contents) ReadAhead(
	ctx context.Context, ranges []contents.Range,
) (*blobstore.Ahead, error) {
	return c.store().ReadAhead(ctx, ranges)
}
