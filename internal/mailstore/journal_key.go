package mailstore

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// A journal key is mailbox key | modseq, so that a mailbox's entries are one range in the order in
// which they happened.
type journalKey [20]byte

func newJournalKey(k mailkey.Mailbox, modseq uint64) journalKey {
	var j journalKey
	copy(j[:], k[:])
	binary.BigEndian.PutUint64(j[12:], modseq)
	return j
}

func (k journalKey) box() mailkey.Mailbox { return mailkey.Mailbox(k[:12]) }
func (k journalKey) modseq() uint64       { return binary.BigEndian.Uint64(k[12:]) }
func (k journalKey) Binary() bson.Binary  { return bson.Binary{Data: k[:]} }
