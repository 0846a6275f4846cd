package mailstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// The roll of a mailbox is one document with the UIDs that its messages had at one mod-sequence. With
// it, an instance that opens a large mailbox for the first time reads what has changed since, not the
// keys of all messages: the journal says which messages are gone, and new ones have UIDs from the
// roll's UIDNEXT on. That is exact, as every removal is in the journal, and no UID is given out twice.
//
// A roll is no truth. It is written after a reading, outside of transactions, and it may be old, lost,
// of another history of the mailbox (after a restore) or damaged. A reader takes it only if
//
//   - its checksum is right, and its UIDVALIDITY is the mailbox's;
//   - its mod-sequence and its UIDNEXT are not above the mailbox's;
//   - the journal reaches back to it without a gap. After a restore there is one (advance.go);
//   - what comes out are as many messages as the mailbox's document counts.
//
// Otherwise the reader reads the keys, and writes a new roll.

// A rollMark says which roll of a mailbox is stored.
type rollMark struct {
	uidValidity, uidNext uint32
	modseq               uint64
	messages             int64
	size                 int  // octets
	damaged              bool // so that the other fields may be wrong
}

// A roll is a rollMark with the UIDs, ascending.
type roll struct {
	rollMark
	uids []uint32
}

type rollDoc struct {
	ID          bson.Binary `bson:"_id"`
	UIDValidity int64       `bson:"v"`
	UIDNext     int64       `bson:"n"`
	ModSeq      int64       `bson:"q"`
	Messages    int64       `bson:"c"`
	UIDs        bson.Binary `bson:"x"`
}

// UIDsOf returns the UIDs of the messages that a mailbox's document counts, ascending. The document
// was read just now, in the chain of ctx. What was expunged since may be missing.
func (s *Store) UIDsOf(ctx context.Context, box *Mailbox) ([]uint32, error) {
	if box.UIDNext <= 1 {
		return nil, nil
	}
	ctx = database.Causal(ctx)
	var stored *rollMark
	if box.Messages >= s.minRoll {
		uids, mark, err := s.uidsByRoll(ctx, box)
		if err != nil || uids != nil {
			return uids, err
		}
		stored = mark
	}
	uids, err := s.UIDs(ctx, box.Key, Query{UIDs: uidset.Of(uidset.Range{First: 1, Last: box.UIDNext - 1})})
	if err == nil && s.worthRoll(box, uids) {
		s.writeRoll(ctx, box, uids, stored)
	}
	return uids, err
}

// KeepRoll tells the store the UIDs of the messages that a mailbox's document counts, which the caller
// has anyway: the store brings the roll up to date, if enough has changed since it was written.
func (s *Store) KeepRoll(ctx context.Context, box *Mailbox, uids []uint32) {
	if !s.worthRoll(box, uids) {
		return
	}
	mark, known := s.rolls.get(box.Key)
	if !known {
		stored, err := s.findRoll(ctx, box.Key)
		if err != nil {
			return // it is for later openings alone: the caller misses nothing
		}
		if stored == nil {
			s.writeRoll(ctx, box, uids, nil)
			return
		}
		mark = stored.rollMark
		s.rolls.set(box.Key, mark)
	}
	if mark.fits(box) && s.due(&mark, box) {
		s.writeRoll(ctx, box, uids, &mark)
	}
}

// worthRoll reports whether UIDs can be a roll: they are many, and exactly those that the document
// counts. If one was expunged between the two reads, they are the UIDs of no mod-sequence.
func (s *Store) worthRoll(box *Mailbox, uids []uint32) bool {
	return box.Messages >= s.minRoll && int64(len(uids)) == box.Messages
}

// fits reports whether the roll can be of the mailbox's past.
func (m *rollMark) fits(box *Mailbox) bool {
	return !m.damaged && m.uidValidity == box.UIDValidity && m.modseq <= box.HighestModSeq && m.uidNext <= box.UIDNext
}

// due reports whether a reader of this roll, which fits, would have much to read besides.
func (s *Store) due(m *rollMark, box *Mailbox) bool {
	added := int64(box.UIDNext - m.uidNext)
	removed := m.messages + added - box.Messages
	return added+removed >= max(min(rollChanges, s.minRoll), int64(m.size/rollOctets))
}

// uidsByRoll is UIDsOf by the roll. It returns nil if there is none that can be used, and what is
// known of the one that is stored.
func (s *Store) uidsByRoll(ctx context.Context, box *Mailbox) ([]uint32, *rollMark, error) {
	r, err := s.findRoll(ctx, box.Key)
	if err != nil || r == nil {
		return nil, nil, err
	}
	mark := &r.rollMark
	if !mark.fits(box) {
		return nil, mark, nil
	}
	uids := r.uids
	if box.expunged > r.modseq {
		gone, complete, err := s.vanished(ctx, box.Key, r.modseq, box.expunged)
		if err != nil {
			return nil, nil, fmt.Errorf("read journal: %w", err)
		}
		if !complete {
			return nil, mark, nil
		}
		uids = without(uids, gone)
	}
	if box.UIDNext > r.uidNext {
		fresh, err := s.UIDs(ctx, box.Key,
			Query{UIDs: uidset.Of(uidset.Range{First: r.uidNext, Last: box.UIDNext - 1})})
		if err != nil {
			return nil, nil, err
		}
		uids = append(uids, fresh...)
	}
	if int64(len(uids)) != box.Messages {
		return nil, mark, nil
	}
	s.rolls.set(box.Key, *mark)
	if s.due(mark, box) {
		s.writeRoll(ctx, box, uids, mark)
	}
	return uids, mark, nil
}

// without takes UIDs out of a list, which it changes; both ascend.
func without(uids, gone []uint32) []uint32 {
	return slices.DeleteFunc(uids, func(uid uint32) bool {
		for len(gone) > 0 && gone[0] < uid {
			gone = gone[1:]
		}
		return len(gone) > 0 && gone[0] == uid
	})
}

// findRoll returns the roll of a mailbox, nil if there is none.
func (s *Store) findRoll(ctx context.Context, box mailkey.Mailbox) (*roll, error) {
	ctx, end := s.link(ctx)
	defer end()
	raw, err := s.rollDocs.FindOne(ctx, byID(box.Binary())).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) || database.IsDamaged(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find roll: %w", err)
	}
	return decodeRoll(box, raw), nil
}

func decodeRoll(box mailkey.Mailbox, raw bson.Raw) *roll {
	var doc rollDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return &roll{rollMark: rollMark{damaged: true}}
	}
	r := &roll{rollMark: rollMark{
		uidValidity: uint32(doc.UIDValidity), uidNext: uint32(doc.UIDNext), modseq: uint64(doc.ModSeq),
		messages: doc.Messages, size: len(doc.UIDs.Data), damaged: true}}
	data := doc.UIDs.Data
	if len(data) < crc32.Size || binary.BigEndian.Uint32(data) != r.checksum(box, data[crc32.Size:]) {
		return r
	}
	uids, err := decodeUIDs(make([]uint32, 0, r.messages), data[crc32.Size:], math.MaxInt32)
	if err == nil && int64(len(uids)) == r.messages {
		r.uids, r.damaged = uids, false
	}
	return r
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of all that the roll says, and of whose it is.
func (m *rollMark) checksum(box mailkey.Mailbox, uids []byte) uint32 {
	head := slices.Clone(box[:])
	head = binary.BigEndian.AppendUint32(head, m.uidValidity)
	head = binary.BigEndian.AppendUint32(head, m.uidNext)
	head = binary.BigEndian.AppendUint64(head, m.modseq)
	head = binary.BigEndian.AppendUint64(head, uint64(m.messages))
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, uids)
}

// writeRoll puts a roll into the place of the one that is stored, of which stored tells; nil: there is
// none. If another instance has written one since, that stays. A failure is nothing to the caller: the
// next opening tries again.
func (s *Store) writeRoll(ctx context.Context, box *Mailbox, uids []uint32, stored *rollMark) {
	if s.readOnly {
		return
	}
	mark := rollMark{uidValidity: box.UIDValidity, uidNext: box.UIDNext, modseq: box.HighestModSeq,
		messages: int64(len(uids))}
	encoded := encodeUIDs(uids)
	mark.size = crc32.Size + len(encoded)
	if mark.size > maxRollBytes {
		s.rolls.set(box.Key, mark) // tried again when as much has changed as if it were there
		return
	}
	data := binary.BigEndian.AppendUint32(make([]byte, 0, mark.size), mark.checksum(box.Key, encoded))
	doc := rollDoc{ID: box.Key.Binary(), UIDValidity: int64(mark.uidValidity), UIDNext: int64(mark.uidNext),
		ModSeq: int64(mark.modseq), Messages: mark.messages, UIDs: bson.Binary{Data: append(data, encoded...)}}
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	ctx, end := s.link(ctx)
	defer end()
	var err error
	written := false
	if stored == nil {
		_, err = s.rollDocs.InsertOne(ctx, doc)
		written = err == nil
		if mongo.IsDuplicateKeyError(err) {
			err = nil
		}
	} else {
		var res *mongo.UpdateResult
		same := byID(doc.ID)
		if !stored.damaged {
			same = append(same, bson.E{Key: rollUIDValidity, Value: int64(stored.uidValidity)},
				bson.E{Key: rollModSeq, Value: int64(stored.modseq)})
		}
		res, err = s.rollDocs.ReplaceOne(ctx, same, doc)
		written = err == nil && res.MatchedCount == 1
	}
	if err != nil {
		s.log.Debug("the roll of a mailbox was not written", "mailbox", box.Key.String(), "error", err)
	}
	if written {
		s.rolls.set(box.Key, mark)
	} else {
		s.rolls.forget(box.Key)
	}
}

// forgetRolls removes the rolls of mailboxes that are gone: of the keys from first to last.
func (s *Store) forgetRolls(ctx context.Context, first, last mailkey.Mailbox) error {
	_, err := s.rollDocs.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: first.Binary()}, {Key: "$lte", Value: last.Binary()}}}})
	if err != nil {
		return fmt.Errorf("delete rolls: %w", err)
	}
	return nil
}

// rollMarks remembers which rolls are stored. A mark is a guess: another instance may have written one
// since.
type rollMarks struct {
	mu   sync.Mutex
	list map[mailkey.Mailbox]rollMark // at most maxRollMarks
}

func (r *rollMarks) get(key mailkey.Mailbox) (rollMark, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mark, ok := r.list[key]
	return mark, ok
}

// set remembers a mark. If there are too many, any other is forgotten.
func (r *rollMarks) set(key mailkey.Mailbox, mark rollMark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = make(map[mailkey.Mailbox]rollMark)
	}
	if _, known := r.list[key]; !known && len(r.list) >= maxRollMarks {
		for other := range r.list {
			delete(r.list, other)
			break
		}
	}
	r.list[key] = mark
}

func (r *rollMarks) forget(key mailkey.Mailbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, key)
}
