package feed

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// A position as a text is base64url of:
//
//	version (1) | first octets of the user's id | number of notes | phase, and whether there is a base |
//	id of the base (8), if there is one | how many marks | marks | cursor, if it is used
//
// Whole numbers are unsigned varints. A mark is how far its mailbox's number is from the one before,
// mod-sequence and UID. Readers do not look inside.

const (
	textVersion = 1
	userTag     = 4 // octets
	hasBase     = 1 << 4
)

// ErrPosition reports a text that is no position of this user.
var ErrPosition = errors.New("not a position of this user")

// ErrResync says that there is no way on from a position: what happened since is not in the journal
// any more. The reader reads everything, and goes on from Now.
var ErrResync = errors.New("the journal does not reach back to the position")

// text writes the position.
func (p *position) text(user mailkey.UserID) string {
	b := append([]byte{textVersion}, user[:userTag]...)
	b = binary.AppendUvarint(b, p.notes)
	if p.base != nil {
		b = append(b, byte(p.phase)|hasBase)
		b = binary.BigEndian.AppendUint64(b, p.base.id)
	} else {
		b = append(b, byte(p.phase))
	}
	b = appendMarks(b, p.differences())
	if p.phase != nowhere {
		for _, n := range []uint64{uint64(p.mailbox), p.modseq, p.next, p.expunged, p.at, p.uid, p.told} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func appendMarks(b []byte, list []difference) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	last := uint32(0)
	for _, d := range list {
		b = binary.AppendUvarint(b, uint64(d.mailbox-last))
		b = binary.AppendUvarint(b, d.modseq)
		b = binary.AppendUvarint(b, d.next)
		last = d.mailbox
	}
	return b
}

// decoder reads what text wrote.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number(most uint64) uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > most {
		d.bad = true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) octets(n int) []byte {
	if len(d.rest) < n {
		d.bad = true
		return make([]byte, n)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

const (
	maxModSeq = math.MaxInt64
	maxNext   = 1 << 32
)

// marks changes list by the marks that appendMarks wrote. A zero mark removes one.
func (d *decoder) marks(list map[uint32]mark) {
	box := uint64(0)
	for range d.number(maxBase) {
		box += d.number(math.MaxUint32)
		m := mark{d.number(maxModSeq), d.number(maxNext)}
		switch {
		case d.bad, box == 0, box > math.MaxUint32:
			d.bad = true
			return
		case m == mark{}:
			delete(list, uint32(box))
		default:
			list[uint32(box)] = m
		}
	}
}

// parsed is a position whose base is not read yet.
type parsed struct {
	position
	baseID  uint64
	hasBase bool
	changes []byte // the marks
}

func parseText(user mailkey.UserID, text string) (*parsed, error) {
	if len(text) > MaxPosition {
		return nil, ErrPosition
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrPosition
	}
	d := &decoder{rest: raw}
	if d.octets(1)[0] != textVersion || string(d.octets(userTag)) != string(user[:userTag]) {
		return nil, ErrPosition
	}
	var p parsed
	p.notes = d.number(maxModSeq)
	form := d.octets(1)[0]
	p.phase, p.hasBase = phase(form&^hasBase), form&hasBase != 0
	if p.phase > alongJournal {
		return nil, ErrPosition
	}
	if p.hasBase {
		p.baseID = binary.BigEndian.Uint64(d.octets(8))
	}
	p.changes = d.rest
	d.marks(make(map[uint32]mark))
	if p.phase != nowhere {
		p.mailbox, p.modseq, p.next = uint32(d.number(math.MaxUint32)), d.number(maxModSeq), d.number(maxNext)
		p.expunged, p.at, p.uid = d.number(maxModSeq), d.number(maxModSeq), d.number(maxNext)
		p.told = d.number(math.MaxUint32)
	}
	if d.bad || len(d.rest) > 0 {
		return nil, ErrPosition
	}
	return &p, nil
}

// parse reads a position, with its base.
func (f *Feed) parse(ctx context.Context, user mailkey.UserID, text string) (*position, error) {
	p, err := parseText(user, text)
	if err != nil {
		return nil, err
	}
	p.marks = make(map[uint32]mark)
	if p.hasBase {
		kept, err := f.store.Base(ctx, user, p.baseID)
		if err != nil {
			return nil, resync(err)
		}
		if p.base = readBase(kept); p.base == nil {
			return nil, ErrResync
		}
		maps.Copy(p.marks, p.base.marks)
	}
	d := &decoder{rest: p.changes}
	d.marks(p.marks)
	return &p.position, nil
}

// readBase reads a base; nil if it is none.
func readBase(kept *mailstore.Base) *base {
	b := &base{kept.ID, make(map[uint32]mark), kept.FreshUntil}
	d := &decoder{rest: kept.Data}
	if d.marks(b.marks); d.bad {
		return nil
	}
	return b
}

// rebase gives the position another base, if it has become long, or if its base will not be kept for
// long: one of the latest bases of the user, if it will do, or else a new one. So a user has a new base
// after maxMarks mailboxes have changed, however often readers begin, or read the same again.
func (f *Feed) rebase(ctx context.Context, user mailkey.UserID, p *position) error {
	if len(p.marks) <= maxMarks {
		p.base = nil
		return nil
	}
	if ok, err := f.holds(ctx, user, p); ok || err != nil {
		return err
	}
	// The latest does for a reader that has been told everything, the others for one that has not.
	latest := uint64(0)
	for _, tried := range []struct{ skip, limit int }{{0, 1}, {1, maxTriedBases - 1}} {
		list, err := f.store.LatestBases(ctx, user, tried.skip, tried.limit)
		if err != nil {
			return err
		}
		for _, kept := range list {
			latest = max(latest, kept.ID)
			if p.base = readBase(kept); p.base == nil {
				continue
			}
			if ok, err := f.holds(ctx, user, p); ok || err != nil {
				return err
			}
		}
		if len(list) < tried.limit {
			break
		}
	}
	p.base = nil
	kept, err := f.store.KeepBase(ctx, user, latest, appendMarks(nil, p.differences()))
	if err != nil {
		return err
	}
	p.base = &base{kept.ID, maps.Clone(p.marks), kept.FreshUntil}
	return nil
}

// holds reports whether the position is short with its base, and sees to it that the base is kept.
func (f *Feed) holds(ctx context.Context, user mailkey.UserID, p *position) (bool, error) {
	switch {
	case p.base == nil || len(p.differences()) > maxMarks:
		return false, nil
	case time.Now().Before(p.base.freshUntil):
		return true, nil
	}
	until, err := f.store.RenewBase(ctx, user, p.base.id)
	if errors.Is(err, mailstore.ErrJournalGap) {
		return false, nil
	}
	p.base.freshUntil = until
	return err == nil, err
}

// resync translates the store's error for a gap.
func resync(err error) error {
	if errors.Is(err, mailstore.ErrJournalGap) {
		return ErrResync
	}
	return err
}
