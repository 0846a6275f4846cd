package feed

import (
	"maps"
	"slices"
	"time"
)

// A mark says up to where the changes of a mailbox were told.
type mark struct {
	modseq uint64
	next   uint64 // messages with UIDs below were told
}

// first is the mark of a mailbox of which nothing was told: it begins with these values.
var first = mark{modseq: 1, next: 1}

// phase says what a cursor walks along.
type phase uint8

const (
	nowhere      phase = iota // the cursor is not used
	alongNotes                // an entry of the user's journal, the next after Position.notes
	alongNew                  // the new messages of a mailbox
	alongFlags                // its messages with other flags
	alongJournal              // its journal
)

// A cursor is a place within a mailbox, or within an entry of the user's journal.
type cursor struct {
	phase phase
	// mailbox is the one that is walked through; modseq, next and expunged are what its document
	// said when the walk began: the walk ends there.
	mailbox  uint32
	modseq   uint64
	next     uint64
	expunged uint64
	// at and uid are the place: the index of a note; the next UID; the next mod-sequence and UID;
	// the mod-sequence of the last entry that was told whole. Before the note of a deleted mailbox,
	// modseq is the last of these.
	at, uid uint64
	// told counts the events that were told of what is at the place: of one message, of one entry of
	// a journal.
	told uint64
}

// position is what a Position says.
type position struct {
	notes uint64 // number of the last entry of the user's journal that was told
	marks map[uint32]mark
	base  *base
	cursor
}

// A base is marks that the database keeps.
type base struct {
	id         uint64
	marks      map[uint32]mark
	freshUntil time.Time // see mailstore.Base
}

func (p *position) clone() *position {
	c := *p
	c.marks = maps.Clone(p.marks)
	return &c
}

// of returns the mark of a mailbox.
func (p *position) of(mailbox uint32) mark {
	if m, ok := p.marks[mailbox]; ok {
		return m
	}
	return first
}

// A difference is a mark that the base does not have; the zero mark says that it is gone.
type difference struct {
	mailbox uint32
	mark
}

// differences returns the marks that are not those of the base, in the order of mailboxes.
func (p *position) differences() []difference {
	var list []difference
	for box, m := range p.marks {
		if p.base == nil || p.base.marks[box] != m {
			list = append(list, difference{box, m})
		}
	}
	if p.base != nil {
		for box := range p.base.marks {
			if _, ok := p.marks[box]; !ok {
				list = append(list, difference{mailbox: box})
			}
		}
	}
	slices.SortFunc(list, func(a, b difference) int { return int(int64(a.mailbox) - int64(b.mailbox)) })
	return list
}
