package account

import (
	"errors"
	"fmt"
	"strings"

	"gadwall/internal/mailstore"
)

// Rights is a set of the rights of RFC 4314 section 2.1.
type Rights uint16

// The rights, in the order in which String writes their letters.
const (
	Lookup         Rights = 1 << iota // l: the mailbox is visible in LIST and LSUB
	Read                              // r: open the mailbox, read messages
	KeepSeen                          // s: change \Seen
	Write                             // w: change flags other than \Seen and \Deleted
	Insert                            // i: add messages (APPEND, COPY into the mailbox)
	Post                              // p: send mail to the mailbox's submission address
	CreateMailbox                     // k: create mailboxes below this one
	DeleteMailbox                     // x: delete or rename the mailbox
	DeleteMessages                    // t: change \Deleted
	Expunge                           // e: remove messages
	Administer                        // a: change rights

	// AllRights are those of the owner.
	AllRights = 1<<iota - 1
)

const rightLetters = "lrswipkxtea"

// changing are the rights that an opening for reading does not grant.
const changing = KeepSeen | Write | Insert | DeleteMessages | Expunge

// showing are the rights of which one is enough to be told that a mailbox exists.
const showing = Lookup | Read

// ErrInvalidRights reports a text that has characters other than the letters of rights.
var ErrInvalidRights = errors.New("not a list of rights")

// ParseRights reads letters as String writes them, in any order. The letters c and d, which
// an older RFC had, stand for kx and te (RFC 4314 section 2.1.1).
func ParseRights(letters string) (Rights, error) {
	var r Rights
	for _, c := range letters {
		switch i := strings.IndexRune(rightLetters, c); {
		case i >= 0:
			r |= 1 << i
		case c == 'c':
			r |= CreateMailbox | DeleteMailbox
		case c == 'd':
			r |= DeleteMessages | Expunge
		default:
			return 0, fmt.Errorf("%w: %q", ErrInvalidRights, letters)
		}
	}
	return r, nil
}

// String lists the letters of the rights.
func (r Rights) String() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// Has reports whether r includes all of the rights.
func (r Rights) Has(rights Rights) bool { return r&rights == rights }

var (
	// ErrNoRight is what every *RightError matches.
	ErrNoRight = errors.New("no right to do this")
	// ErrReadOnly is the error of changes to a mailbox that was opened for reading.
	ErrReadOnly = errors.New("mailbox is open read-only")
)

// RightError says which rights the actor lacks.
type RightError struct{ Missing Rights }

func (e *RightError) Error() string {
	return fmt.Sprintf("%v: rights %s are missing", ErrNoRight, e.Missing)
}

// Is makes errors.Is(err, ErrNoRight) true.
func (e *RightError) Is(target error) bool { return target == ErrNoRight }

// check fails unless r has all that is needed. It hides mailboxes that r does not show.
func (r Rights) check(needed Rights) error {
	switch {
	case r.Has(needed):
		return nil
	case r&showing == 0:
		return mailstore.ErrNoSuchMailbox
	}
	return &RightError{Missing: needed &^ r}
}

// flagRights returns which right the change of each flag needs.
func flagRights(flags mailstore.Flags, keywords bool) (r Rights) {
	if flags&mailstore.Seen != 0 {
		r |= KeepSeen
	}
	if flags&mailstore.Deleted != 0 {
		r |= DeleteMessages
	}
	if flags&^(mailstore.Seen|mailstore.Deleted) != 0 || keywords {
		r |= Write
	}
	return r
}

// Flags returns the flags that r allows to change. Keywords need Write.
func (r Rights) Flags() (f mailstore.Flags) {
	if r.Has(KeepSeen) {
		f |= mailstore.Seen
	}
	if r.Has(DeleteMessages) {
		f |= mailstore.Deleted
	}
	if r.Has(Write) {
		f |= mailstore.AllFlags &^ (mailstore.Seen | mailstore.Deleted)
	}
	return f
}
