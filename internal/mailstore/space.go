package mailstore

import (
	"context"
	"encoding/binary"
	"errors"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
)

// Space says what messages come to, in octets, and how much of that is stored only once. Compression is left out.
type Space struct {
	// Logical is the size of the messages, as clients see it and the quota counts it.
	Logical int64
	// Decoded is the same with those transfer encodings undone that are undone in storage.
	Decoded int64
	// Unique is what of Decoded is left when every content and every blob is counted once. The trace lines
	// of each message are its own.
	Unique int64
	// Traces is the size of these.
	Traces int64
}

// Saved is the share of the decoded octets that need not be stored because they are there already.
func (s Space) Saved() float64 {
	if s.Decoded <= 0 {
		return 0
	}
	return 1 - float64(s.Unique)/float64(s.Decoded)
}

// Add returns the sum of both, as far as they share nothing.
func (s Space) Add(t Space) Space {
	return Space{s.Logical + t.Logical, s.Decoded + t.Decoded, s.Unique + t.Unique, s.Traces + t.Traces}
}

// Space looks at all messages of a user, beside live traffic; Unique is what is left when the user's own mail is
// looked at alone. It remembers at most maxSpaceEntries contents and blobs, in about 40 MiB: of a user who has more, it
// looks at a half of them, chosen by hash, then at the other, or at quarters, and so on.
func (s *Store) Space(ctx context.Context, user mailkey.UserID) (Space, error) {
	return s.space(ctx, user, maxSpaceEntries)
}

// DistinctSpace is Space.Unique of all users together, given the sum of theirs: it reads all contents.
func (s *Store) DistinctSpace(ctx context.Context, sum Space) (Space, error) {
	distinct, err := s.contents.Distinct(ctx)
	sum.Unique = distinct + sum.Traces
	return sum, err
}

func (s *Store) space(ctx context.Context, user mailkey.UserID, limit int) (Space, error) {
	for passes := uint64(1); ; passes *= 2 {
		var sum Space
		var err error
		for pass := range passes {
			p := &spacePass{store: s, pass: pass, passes: passes, limit: limit,
				contents: make(map[shortHash]contentSize), blobs: make(map[shortHash]struct{})}
			if err = p.run(ctx, user); err != nil {
				break
			}
			sum = sum.Add(p.sum)
		}
		if !errors.Is(err, errManyEntries) {
			return sum, err
		}
	}
}

// errManyEntries ends a pass that would have to remember too much.
var errManyEntries = errors.New("too many entries")

// spacePass counts the contents and blobs whose hashes are its own.
type spacePass struct {
	store        *Store
	pass, passes uint64
	limit        int

	sum      Space
	contents map[shortHash]contentSize
	blobs    map[shortHash]struct{}
}

// shortHash is enough of a hash to tell contents, or blobs, of one user apart.
type shortHash [16]byte

type contentSize struct{ size, decoded int64 }

// own reports whether something with this hash is counted by this pass.
func (p *spacePass) own(h dedupe.Hash) bool {
	return binary.BigEndian.Uint64(h[16:])%p.passes == p.pass
}

func (p *spacePass) run(ctx context.Context, user mailkey.UserID) error {
	boxes, err := p.store.mailboxIDs(ctx, user)
	if err != nil {
		return err
	}
	var batch []*Message
	for _, box := range boxes {
		for m, err := range p.store.Messages(ctx, box, Query{}, FieldSize|fieldReference) {
			if err != nil {
				return err
			}
			if batch = append(batch, m); len(batch) == spaceBatch {
				if err := p.add(ctx, batch); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
	}
	return p.add(ctx, batch)
}

// add takes messages into account.
func (p *spacePass) add(ctx context.Context, batch []*Message) error {
	found, err := p.load(ctx, batch)
	if err != nil {
		return err
	}
	for id, f := range found {
		hash := dedupe.Hash(id)
		if p.own(hash) {
			p.contents[shortHash(hash[:])] = contentSize{f.Size, f.Decoded()}
			p.sum.Unique += f.Inline
		}
		for _, b := range f.Blobs {
			short := shortHash(b.Hash[:])
			if _, known := p.blobs[short]; !known && p.own(b.Hash) {
				p.blobs[short] = struct{}{}
				p.sum.Unique += b.Size
			}
		}
	}
	if len(p.contents)+len(p.blobs) > p.limit && p.passes < maxSpacePasses {
		return errManyEntries
	}
	for _, m := range batch {
		if !p.own(dedupe.Hash(m.Content)) {
			continue
		}
		p.sum.Logical += m.Size
		c, ok := p.contents[shortHash(m.Content[:])]
		if !ok { // a damaged store; nothing is known to be shared
			p.sum.Decoded += m.Size
			p.sum.Unique += m.Size
			continue
		}
		traces := m.Size - c.size
		p.sum.Decoded += traces + c.decoded
		p.sum.Unique += traces
		p.sum.Traces += traces
	}
	return nil
}

// load returns the footprints of those contents that are not known yet.
func (p *spacePass) load(ctx context.Context, batch []*Message) (map[contents.ID]contents.Footprint, error) {
	var ids []contents.ID
	seen := make(map[contents.ID]bool)
	for _, m := range batch {
		if _, known := p.contents[shortHash(m.Content[:])]; !known && !seen[m.Content] {
			seen[m.Content] = true
			ids = append(ids, m.Content)
		}
	}
	return p.store.contents.Footprints(ctx, ids)
}
