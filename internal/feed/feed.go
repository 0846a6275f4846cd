package feed

import (
	"context"
	"log/slog"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// Options of a Feed. Store and Bus are required.
type Options struct {
	Store  *mailstore.Store
	Bus    events.Bus
	Logger *slog.Logger // slog.Default() if nil
}

// Feed reads what happened to the mail of users. It is safe for concurrent use.
type Feed struct {
	store *mailstore.Store
	bus   events.Bus
	log   *slog.Logger
}

// New returns a Feed. The caller keeps Store and Bus open for as long as it is used.
func New(o Options) *Feed {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Feed{store: o.Store, bus: o.Bus, log: o.Logger}
}

// Now returns the position after all that has happened. A reader that asks for it before it reads
// mailboxes misses nothing; it may be told of what it has read already. The error is
// mailstore.ErrNoSuchUser.
func (f *Feed) Now(ctx context.Context, user mailkey.UserID) (string, error) {
	ctx = database.Causal(ctx)
	// Notes first: a mailbox that is created in between has a note that is not told yet.
	notes, err := f.store.LastNote(ctx, user)
	if err != nil {
		return "", err
	}
	extents, err := f.store.Extents(ctx, user)
	if err != nil {
		return "", err
	}
	p := &position{notes: notes, marks: make(map[uint32]mark, len(extents))}
	for _, e := range extents {
		p.marks[e.Mailbox] = mark{e.ModSeq, e.UIDNext}
	}
	if err := f.rebase(ctx, user, p); err != nil {
		return "", err
	}
	return p.text(user), nil
}

// Page is what happened since a position.
type Page struct {
	Events []Event
	// Next is the position after the page. It may have moved on though there are no events.
	Next string
	// More says that there are events beyond the page.
	More bool
}

// Read returns the events after a position, at most limit of them (MaxEvents if limit is 0 or
// greater). Errors: ErrResync, ErrPosition, mailstore.ErrNoSuchUser.
func (f *Feed) Read(ctx context.Context, user mailkey.UserID, since string, limit int) (Page, error) {
	ctx = database.Causal(ctx)
	p, err := f.parse(ctx, user, since)
	if err != nil {
		return Page{}, err
	}
	page, _, err := f.page(ctx, user, p, limit)
	return page, err
}

// page is Read for a position that is read already. It returns the position after the page, too.
func (f *Feed) page(ctx context.Context, user mailkey.UserID, p *position, limit int) (Page, *position, error) {
	r, err := f.read(ctx, user, p, limit)
	if err != nil {
		return Page{}, nil, err
	}
	return Page{Events: r.events, Next: r.pos.text(user), More: r.full()}, r.pos, nil
}
