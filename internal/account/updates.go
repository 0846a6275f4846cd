package account

import (
	"context"

	"gadwall/internal/feed"
)

// Position returns the position of package feed after all that has happened to the user's mail. It
// needs Lookup and Read.
func (a *Account) Position(ctx context.Context) (string, error) {
	if err := a.rights.check(Lookup | Read); err != nil {
		return "", err
	}
	return a.shared.feed.Now(a.chain(ctx), a.user)
}

// Watch tells what happens to the mail of all users, and whoever asks for it must be an operator. The
// caller closes it.
func (s *Accounts) Watch(o feed.WatchOptions) *feed.Watch { return s.feed.Watch(o) }

// Follow returns a stream of what happens to the user's mail after a position. The caller closes it.
// It needs Lookup and Read. Errors: ErrNoRight, and those of feed.Feed.Follow.
func (a *Account) Follow(ctx context.Context, since string) (*feed.Stream, error) {
	if err := a.rights.check(Lookup | Read); err != nil {
		return nil, err
	}
	return a.shared.feed.Follow(a.chain(ctx), a.user, since)
}
