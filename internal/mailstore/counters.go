package mailstore

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/quota"
)

// Counters are the numbers that a mailbox's document keeps about its messages.
type Counters struct {
	Messages, Unseen, Deleted int64
	Size, DeletedSize         int64 // sums of RFC822.SIZE, octets
}

// Counters returns those of the mailbox as recorded.
func (m *Mailbox) Counters() Counters {
	return Counters{m.Messages, m.Unseen, m.Deleted, m.Size, m.DeletedSize}
}

// Usage is what the messages count for in the quota.
func (c Counters) Usage() quota.Usage { return quota.Usage{Bytes: c.Size, Messages: c.Messages} }

// add counts one message in (sign 1) or out (sign -1).
func (c *Counters) add(sign int64, flags Flags, size int64) {
	c.Messages += sign
	c.Size += sign * size
	if flags&Seen == 0 {
		c.Unseen += sign
	}
	if flags&Deleted != 0 {
		c.Deleted += sign
		c.DeletedSize += sign * size
	}
}

// sub returns c less d.
func (c Counters) sub(d Counters) Counters {
	return Counters{c.Messages - d.Messages, c.Unseen - d.Unseen, c.Deleted - d.Deleted,
		c.Size - d.Size, c.DeletedSize - d.DeletedSize}
}

// increments are the operands of the $inc that adds c, without those that are 0.
func (c Counters) increments() bson.D {
	var inc bson.D
	for _, f := range []struct {
		field string
		by    int64
	}{
		{boxMessages, c.Messages}, {boxUnseen, c.Unseen}, {boxDeleted, c.Deleted},
		{boxSize, c.Size}, {boxDeletedSize, c.DeletedSize},
	} {
		if f.by != 0 {
			inc = append(inc, bson.E{Key: f.field, Value: f.by})
		}
	}
	return inc
}
