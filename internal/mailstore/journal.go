package mailstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// The journal has the removed UIDs and the mod-sequences of their removal, for
// Options.JournalKept (RFC 7162 section 3.2.10, VANISHED). The transaction that removes messages writes an entry, which
// names the mod-sequence of the entry before it. The mailbox names the newest entry. So a reader
// can tell whether entries are missing because they have expired.

// An entry also says where the messages were moved to, and what that teaches a spam filter. Such
// lessons of keywords have entries that remove nothing.

// journalled is what a transaction writes into the journal.
type journalled struct {
	expunged []uint32 // ascending
	target   *Target  // where they are now
	lesson   Lesson
	taught   []uint32 // whose keywords teach the lesson, ascending; nil if expunged are the messages
}

// A Target says where messages were moved to, in the order of their UIDs: UIDs in a mailbox that
// follow one another.
type Target struct {
	Mailbox uint32 // number within the user
	First   uint32 // UID
}

// writeJournal adds an entry at the mod-sequence that changeMailbox, with expunges set, has given
// the mailbox.
func (s *Store) writeJournal(ctx context.Context, box mailkey.Mailbox, state *boxState, j journalled) error {
	doc := bson.D{
		{Key: "_id", Value: newJournalKey(box, uint64(state.ModSeq)).Binary()},
		{Key: journalExpunged, Value: bson.Binary{Data: encodeUIDs(j.expunged)}},
		{Key: journalPrevious, Value: state.Expunged},
		{Key: journalExpires, Value: now().Add(s.journalKept)},
	}
	if j.target != nil {
		doc = append(doc, bson.E{Key: journalTarget, Value: bson.Binary{Data: encodeTarget(*j.target)}})
	}
	if j.lesson != NoLesson {
		doc = append(doc, bson.E{Key: journalLesson, Value: int32(j.lesson)})
	}
	if j.taught != nil {
		doc = append(doc, bson.E{Key: journalTaught, Value: bson.Binary{Data: encodeUIDs(j.taught)}})
	}
	if _, err := s.journal.InsertOne(ctx, doc); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// encodeUIDs writes ascending UIDs as ranges: of each, how far its first UID is from the end of the
// range before, and how many more follow; both as unsigned varints.
func encodeUIDs(uids []uint32) []byte {
	var b []byte
	var last uint32
	for _, r := range uidset.FromAscending(uids) {
		b = binary.AppendUvarint(b, uint64(r.First-last))
		b = binary.AppendUvarint(b, uint64(r.Last-r.First))
		last = r.Last
	}
	return b
}

var errBadJournal = errors.New("journal entry is damaged")

// decodeUIDs appends what encodeUIDs wrote to uids, but at most limit in all.
func decodeUIDs(uids []uint32, b []byte, limit int) ([]uint32, error) {
	var last uint64
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errBadJournal
		}
		more, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return nil, errBadJournal
		}
		b = b[n+m:]
		const maxUID = 1<<32 - 1
		if gap == 0 || gap > maxUID || more > maxUID || last+gap+more > maxUID {
			return nil, errBadJournal
		}
		first := last + gap
		last = first + more
		for uid := first; uid <= last; uid++ {
			if len(uids) >= limit {
				return uids, nil
			}
			uids = append(uids, uint32(uid))
		}
	}
	return uids, nil
}

// encodeTarget writes mailbox and UID as unsigned varints.
func encodeTarget(t Target) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(t.Mailbox)), uint64(t.First))
}

func decodeTarget(b []byte) (t Target, err error) {
	box, n := binary.Uvarint(b)
	if n <= 0 || box > math.MaxUint32 {
		return t, errBadJournal
	}
	first, m := binary.Uvarint(b[n:])
	if m <= 0 || n+m != len(b) || first == 0 || first > math.MaxUint32 {
		return t, errBadJournal
	}
	return Target{uint32(box), uint32(first)}, nil
}
