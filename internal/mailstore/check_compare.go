package mailstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// compareBoxes compares the mailboxes with what was read of them.
func (u *userCheck) compareBoxes() {
	for _, b := range u.boxes {
		if b.doc.Deleting {
			continue
		}
		u.compareBox(b)
	}
	for _, b := range u.strays {
		u.plan(Finding{Fault: NoMailbox, Mailbox: b.key, Detail: fmt.Sprintf("%d messages", b.actual.Messages)},
			func(ctx context.Context) (bool, error) { return u.recoverMailbox(ctx, b) })
	}
}

func (u *userCheck) compareBox(b *boxCheck) {
	add := func(fault Fault, detail string, update bson.D) {
		u.plan(Finding{Fault: fault, Mailbox: b.key, Detail: detail}, func(ctx context.Context) (bool, error) {
			return u.updateBox(ctx, b, update)
		})
	}
	set := func(fields ...bson.E) bson.D { return bson.D{{Key: "$set", Value: bson.D(fields)}} }
	if recorded := b.recorded(); recorded != b.actual && !b.unsure {
		u.plan(Finding{Fault: WrongCounters, Mailbox: b.key, Detail: differences(
			quantity{"messages", recorded.Messages, b.actual.Messages},
			quantity{"unseen", recorded.Unseen, b.actual.Unseen},
			quantity{"deleted", recorded.Deleted, b.actual.Deleted}, quantity{"octets", recorded.Size, b.actual.Size},
			quantity{"octets of deleted", recorded.DeletedSize, b.actual.DeletedSize})},
			func(ctx context.Context) (bool, error) {
				return u.s.correctCounters(ctx, byBox(b.key), b.doc.Repairs, b.actual.sub(recorded))
			})
	}
	if b.maxUID >= b.doc.UIDNext {
		add(LowUIDNext, fmt.Sprintf("UID %d, UIDNEXT %d", b.maxUID, b.doc.UIDNext),
			set(bson.E{Key: boxUIDNext, Value: b.maxUID + 1}))
	}
	if len(b.keywords) > 0 {
		words := slices.Sorted(maps.Keys(b.keywords))
		add(UnknownKeyword, strings.Join(words, " "), bson.D{{Key: "$addToSet", Value: bson.D{
			{Key: boxKeywords, Value: bson.D{{Key: "$each", Value: words}}}}}})
	}
	if b.newest > b.doc.Expunged {
		add(BadJournal, fmt.Sprintf("the newest entry is %d, not %d", b.newest, b.doc.Expunged),
			set(bson.E{Key: boxExpunged, Value: b.newest}))
	}
	if b.maxModSeq > b.doc.ModSeq { // at last, for the others depend on it
		add(LowModSeq, fmt.Sprintf("mod-sequence %d, highest %d", b.maxModSeq, b.doc.ModSeq),
			set(bson.E{Key: boxModSeq, Value: b.maxModSeq}))
	}
}

// A quantity is what was recorded of something, and what is there.
type quantity struct {
	what            string
	recorded, there int64
}

// differences tells of the quantities that differ.
func differences(list ...quantity) string {
	var parts []string
	for _, q := range list {
		if q.recorded != q.there {
			parts = append(parts, fmt.Sprintf("%s: %d recorded, %d there", q.what, q.recorded, q.there))
		}
	}
	return strings.Join(parts, "; ")
}

// recorded is what the mailbox's document counts.
func (b *boxCheck) recorded() Counters {
	return Counters{b.doc.Messages, b.doc.Unseen, b.doc.Deleted, b.doc.Size, b.doc.DeletedSize}
}

// compareNumbers compares the user's document with the numbers of the messages that were read. The
// next message must have another one: it is the EMAILID, and what the text index knows a message by.
func (u *userCheck) compareNumbers() {
	if u.maxNote > u.doc.Notes {
		u.plan(Finding{Fault: LowNumbers, Detail: fmt.Sprintf("journal entry %d written; %d recorded",
			u.maxNote, u.doc.Notes)}, func(ctx context.Context) (bool, error) {
			_, err := u.s.users.UpdateOne(ctx, byID(u.id.Binary()),
				bson.D{{Key: "$max", Value: bson.D{{Key: userNotes, Value: u.maxNote}}}})
			return err == nil, err
		})
	}
	if u.maxNumber <= u.doc.Numbers {
		return
	}
	u.plan(Finding{Fault: LowNumbers, Detail: fmt.Sprintf("message number %d given out; %d recorded",
		u.maxNumber, u.doc.Numbers)}, func(ctx context.Context) (bool, error) {
		_, err := u.s.users.UpdateOne(ctx, byID(u.id.Binary()),
			bson.D{{Key: "$max", Value: bson.D{{Key: userNumbers, Value: u.maxNumber}}}})
		return err == nil, err
	})
}

// compareUser compares the user's document with the mailboxes and the messages.
func (u *userCheck) compareUser() {
	if u.ownAddress != u.id {
		f := Finding{Fault: NoAddress, Detail: "no address " + u.doc.Name}
		repair := u.repairAddress
		if u.addressKnown {
			f.Detail, repair = u.doc.Name+" is the address of "+u.ownAddress.String(), nil
		}
		u.plan(f, repair)
	}
	numbers, validity := u.doc.Mailboxes, u.doc.UIDValidity
	for _, b := range slices.Concat(u.boxes, u.strays) {
		numbers = max(numbers, int64(b.key.Number()))
		validity = max(validity, b.doc.UIDValidity)
	}
	if numbers > u.doc.Mailboxes || validity > u.doc.UIDValidity {
		u.plan(Finding{Fault: LowNumbers,
			Detail: fmt.Sprintf("mailbox %d, UIDVALIDITY %d given out; %d and %d recorded",
				numbers, validity, u.doc.Mailboxes, u.doc.UIDValidity)}, func(ctx context.Context) (bool, error) {
			_, err := u.s.users.UpdateOne(ctx, byID(u.id.Binary()), bson.D{{Key: "$max", Value: bson.D{
				{Key: userMailboxes, Value: numbers}, {Key: userUIDValidity, Value: validity}}}})
			return err == nil, err
		})
	}
	if usage := u.s.quota.Policy().Account(u.doc.Quota).Usage; usage != u.total && !u.unsure {
		u.plan(Finding{Fault: WrongQuota, Detail: differences(
			quantity{"octets", usage.Bytes, u.total.Bytes}, quantity{"messages", usage.Messages, u.total.Messages})},
			func(ctx context.Context) (bool, error) { return u.s.quota.Correct(ctx, u.id, u.doc.Quota, u.total) })
	}
}
