package mailstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// userCheck is what one snapshot shows of a user.
type userCheck struct {
	*checker
	id   mailkey.UserID
	gone bool // or being deleted

	doc          userCheckDoc
	ownAddress   mailkey.UserID // whom the address of the user's name belongs to
	addressKnown bool
	boxes        []*boxCheck // in the order of their keys
	strays       []*boxCheck // of messages without a mailbox; doc is empty
	messages     int64
	maxNumber    int64       // of all messages
	maxNote      int64       // of the user's own journal
	total        quota.Usage // of all messages
	unsure       bool        // of total: a message could not be read
	findings     []planned
}

type userCheckDoc struct {
	Name        string      `bson:"name"`
	Quota       quota.State `bson:"quota"`
	Mailboxes   int64       `bson:"mboxes"`
	Numbers     int64       `bson:"nums"`
	UIDValidity int64       `bson:"uidv"`
	Notes       int64       `bson:"notes"`
	Deleting    bool        `bson:"deleting"`
}

// boxCheck is a mailbox and what its messages and journal say.
type boxCheck struct {
	key       mailkey.Mailbox
	doc       mailboxDoc
	actual    Counters
	maxUID    int64
	maxModSeq int64
	keywords  map[string]bool // not known to the mailbox; by lower case
	known     map[string]bool
	unsure    bool  // of actual: a message could not be read
	newest    int64 // mod-sequence of the newest journal entry
	previous  int64 // of the one read last
}

// planned is a finding with its repair, which reports false if things have changed.
type planned struct {
	Finding
	repair func(ctx context.Context) (bool, error)
}

func (u *userCheck) plan(f Finding, repair func(ctx context.Context) (bool, error)) {
	f.User = u.id
	u.findings = append(u.findings, planned{f, repair})
}

// maxFindings is how many findings about single messages are kept for one user, more are left for
// the next check.
const maxFindings = 1000

// settle repairs what was found, and reports it. It is not done if something has changed, so that
// the user must be looked at again; then what cannot be repaired has been reported.
func (u *userCheck) settle(ctx context.Context, again bool) (done bool, err error) {
	done = true
	for _, p := range u.findings {
		if p.repair != nil && u.o.Repair {
			if p.Repaired, err = p.repair(ctx); err != nil {
				return false, err
			}
			if !p.Repaired {
				done = false
				continue
			}
		} else if again {
			continue
		}
		u.found(p.Finding)
	}
	return done, nil
}

// unreadableError says that a user cannot be checked because of a document.
type unreadableError struct {
	what string
	box  mailkey.Mailbox // zero if it is the user's
	err  error
}

func (e *unreadableError) Error() string { return fmt.Sprintf("unreadable %s: %v", e.what, e.err) }

// arrayOrNone reports a field that is there and is no array.
func arrayOrNone(doc bson.Raw, field string) error {
	v, err := doc.LookupErr(field)
	if err == nil && v.Type != bson.TypeArray {
		return fmt.Errorf("field %s has type %s", field, v.Type)
	}
	return nil
}

func quotaOf(user bson.Raw) bson.Raw {
	doc, _ := user.Lookup(quota.Field).DocumentOK()
	return doc
}

// numeric reports fields that are there and are no numbers: some are decoded as such that no update
// can count on. Without names, all fields are to be numbers.
func numeric(doc bson.Raw, fields ...string) error {
	elements, err := doc.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		if len(fields) == 0 || slices.Contains(fields, e.Key()) {
			if _, ok := e.Value().AsInt64OK(); !ok {
				return fmt.Errorf("field %s has type %s", e.Key(), e.Value().Type)
			}
		}
	}
	return nil
}

// read reads the user and the mailboxes.
func (u *userCheck) read(ctx context.Context) error {
	user, err := u.s.users.FindOne(ctx, byID(u.id.Binary()),
		options.FindOne().SetProjection(bson.D{{Key: userHash, Value: 0}, {Key: userScram, Value: 0}})).Raw()
	if u.gone = errors.Is(err, mongo.ErrNoDocuments); u.gone {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(bson.Unmarshal(user, &u.doc), numeric(user, userMailboxes,
		userUIDValidity, userNumbers, userNotes), numeric(quotaOf(user))); err != nil {
		return &unreadableError{what: "user", err: err}
	}
	if u.gone = u.doc.Deleting; u.gone {
		return nil
	}
	owner, err := u.s.addresses.FindOne(ctx, bson.D{{Key: "_id", Value: u.doc.Name}}).Raw()
	switch {
	case database.IsDamaged(err):
		return &unreadableError{what: "address " + u.doc.Name, err: err}
	case err == nil:
		u.addressKnown = true
		if _, id, _ := owner.Lookup(addressUser).BinaryOK(); len(id) == len(mailkey.UserID{}) {
			u.ownAddress = mailkey.UserID(id)
		}
	case !errors.Is(err, mongo.ErrNoDocuments):
		return err
	}
	cursor, err := u.s.mailboxes.Find(ctx, allBoxes(u.id),
		options.Find().SetSort(byKey).SetHint(byKey).SetBatchSize(MaxMailboxes+1))
	var boxes []bson.Raw
	if err == nil {
		err = cursor.All(ctx, &boxes)
	}
	if database.IsDamaged(err) {
		return &unreadableError{what: "list of mailboxes", err: err}
	}
	if err != nil {
		return err
	}
	for _, raw := range boxes {
		var doc mailboxDoc
		if err := errors.Join(bson.Unmarshal(raw, &doc), numeric(raw, boxUIDValidity, boxUIDNext, boxModSeq,
			boxMessages, boxUnseen, boxDeleted, boxSize, boxDeletedSize, boxRepairs, boxExpunged),
			arrayOrNone(raw, boxKeywords)); err != nil {
			id, _ := binaryID(raw, len(mailkey.Mailbox{}))
			return &unreadableError{what: "mailbox", box: mailkey.Mailbox(id), err: err}
		}
		m, err := doc.mailbox()
		if err != nil {
			return err
		}
		b := &boxCheck{key: m.Key, doc: doc, known: make(map[string]bool, len(doc.Keywords))}
		for _, k := range doc.Keywords {
			b.known[strings.ToLower(k)] = true
		}
		u.boxes = append(u.boxes, b)
	}
	return nil
}

// only leaves out all mailboxes but one.
func (u *userCheck) only(key mailkey.Mailbox) {
	u.boxes = slices.DeleteFunc(u.boxes, func(b *boxCheck) bool { return b.key != key })
}

// readAll reads messages and journal of the mailboxes from first to last.
func (u *userCheck) readAll(ctx context.Context, first, last mailkey.Mailbox) error {
	from, to := first.Message(0), last.Message(1<<32-1)
	at := boxCursor{u: u}
	cursor, err := u.s.messages.Find(ctx, bson.D{{Key: "_id", Value: keyRange{from[:], to[:]}.bounds()}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(batchSmall).SetProjection(checkProjection))
	if err != nil {
		return err
	}
	if err := eachDocument(ctx, cursor, func(doc bson.Raw) error { return u.message(&at, doc) }); err != nil {
		return err
	}
	return u.readJournal(ctx, first, last)
}

// eachDocument calls f with the documents of a cursor, and closes it.
func eachDocument(ctx context.Context, cursor *mongo.Cursor, f func(bson.Raw) error) error {
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		if err := f(cursor.Current); err != nil {
			return err
		}
	}
	return cursor.Err()
}

var checkProjection = bson.D{{Key: DocID, Value: 1}, {Key: DocMailbox, Value: 1},
	{Key: DocModSeq, Value: 1}, {Key: DocFlags, Value: 1},
	{Key: DocKeywords, Value: 1}, {Key: DocUnseen, Value: 1}, {Key: DocDeleted, Value: 1}, {Key: DocSize, Value: 1},
	{Key: DocNumber, Value: 1}}

// boxCursor finds the mailboxes of ascending keys.
type boxCursor struct {
	u    *userCheck
	next int // in u.boxes
}

// at returns the mailbox, or nil if it does not exist.
func (c *boxCursor) at(key mailkey.Mailbox) *boxCheck {
	for c.next < len(c.u.boxes) && bytes.Compare(c.u.boxes[c.next].key[:], key[:]) < 0 {
		c.next++
	}
	if c.next < len(c.u.boxes) && c.u.boxes[c.next].key == key {
		return c.u.boxes[c.next]
	}
	return nil
}

// message takes one message into account.
func (u *userCheck) message(at *boxCursor, doc bson.Raw) error {
	key, err := messageKey(doc.Lookup(DocID))
	if err != nil {
		return err
	}
	u.messages++
	b := at.at(key.Mailbox())
	if b == nil {
		if n := len(u.strays); n == 0 || u.strays[n-1].key != key.Mailbox() {
			u.strays = append(u.strays, &boxCheck{key: key.Mailbox()})
		}
		b = u.strays[len(u.strays)-1]
	}
	m, err := decodeMessage(doc)
	size, okSize := doc.Lookup(DocSize).AsInt64OK()
	_, okFlags := doc.Lookup(DocFlags).AsInt64OK()
	modseq, okModSeq := doc.Lookup(DocModSeq).AsInt64OK()
	if err != nil || !okSize || !okFlags || !okModSeq {
		u.aboutMessage(Finding{Fault: BadMessage, Mailbox: key.Mailbox(), UID: key.UID(),
			Detail: fmt.Sprint("unreadable: ", err)}, nil)
		b.unsure, u.unsure = true, true
		b.maxUID = max(b.maxUID, int64(key.UID()))
		return nil
	}
	u.total = u.total.Add(quota.Usage{Bytes: size, Messages: 1})
	u.maxNumber = max(u.maxNumber, int64(m.Number))
	b.actual.add(1, m.Flags, size)
	b.maxUID = max(b.maxUID, int64(key.UID()))
	b.maxModSeq = max(b.maxModSeq, modseq)
	for _, k := range m.Keywords {
		if !b.known[strings.ToLower(k)] && len(b.keywords) < MaxMailboxKeywords {
			if b.keywords == nil {
				b.keywords = make(map[string]bool)
			}
			b.keywords[k] = true
		}
	}
	if _, mailbox, _ := doc.Lookup(DocMailbox).BinaryOK(); !bytes.Equal(mailbox, key[:len(mailkey.Mailbox{})]) ||
		isTrue(doc, DocUnseen) != (m.Flags&Seen == 0) || isTrue(doc, DocDeleted) != (m.Flags&Deleted != 0) {
		u.aboutMessage(Finding{Fault: WrongMarkers, Mailbox: key.Mailbox(), UID: key.UID()},
			func(ctx context.Context) (bool, error) {
				return u.repairMarkers(ctx, key, modseq, m.Flags)
			})
	}
	return nil
}

func isTrue(doc bson.Raw, field string) bool {
	b, _ := doc.Lookup(field).BooleanOK()
	return b
}

// aboutMessage notes a finding about one message. What is being deleted is left alone.
func (u *userCheck) aboutMessage(f Finding, repair func(context.Context) (bool, error)) {
	i := slices.IndexFunc(u.boxes, func(b *boxCheck) bool { return b.key == f.Mailbox })
	if len(u.findings) < maxFindings && (i < 0 || !u.boxes[i].doc.Deleting) {
		u.plan(f, repair)
	}
}

// readJournal reads the journal entries of the mailboxes from first to last.
func (u *userCheck) readJournal(ctx context.Context, first, last mailkey.Mailbox) error {
	low, high := newJournalKey(first, 0), newJournalKey(last, 1<<64-1)
	at := boxCursor{u: u}
	cursor, err := u.s.journal.Find(ctx, bson.D{{Key: "_id", Value: keyRange{low[:], high[:]}.bounds()}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(batchLarge))
	if err != nil {
		return err
	}
	return eachDocument(ctx, cursor, func(doc bson.Raw) error { u.journalEntry(&at, doc); return nil })
}

// journalEntry takes one journal entry into account.
func (u *userCheck) journalEntry(at *boxCursor, doc bson.Raw) {
	id, ok := binaryID(doc, len(journalKey{}))
	if !ok {
		return // of no mailbox
	}
	key := journalKey(id)
	if key.box().Number() == 0 {
		u.maxNote = max(u.maxNote, int64(key.modseq()))
		return // one that cannot be read is skipped by readers, as if it had expired
	}
	b := at.at(key.box())
	if b == nil || b.doc.Deleting {
		return // nobody reads it; it expires
	}
	if err := b.entry(key, doc); err != nil && len(u.findings) < maxFindings {
		// Without it, readers see that the chain is broken, and read everything.
		u.plan(Finding{Fault: BadJournal, Mailbox: b.key,
			Detail: fmt.Sprintf("entry at mod-sequence %d: %v", key.modseq(), err)},
			func(ctx context.Context) (bool, error) {
				_, err := u.s.journal.DeleteOne(ctx, bson.D{{Key: "_id", Value: key.Binary()}})
				return err == nil, err
			})
	}
}

// entry takes one journal entry into account. Entries expire, so one that is named and is not there
// says nothing.
func (b *boxCheck) entry(key journalKey, doc bson.Raw) error {
	modseq := int64(key.modseq())
	_, encoded, okUIDs := doc.Lookup(journalExpunged).BinaryOK()
	before, okBefore := doc.Lookup(journalPrevious).AsInt64OK()
	if !okUIDs || !okBefore {
		return errBadJournal
	}
	uids, err := decodeUIDs(nil, encoded, maxVanished)
	if err != nil {
		return err
	}
	if _, err := decodeRemoval(doc); err != nil {
		return err
	}
	if before >= modseq || before < b.previous {
		return fmt.Errorf("%w: it names %d as the one before", errBadJournal, before)
	}
	b.previous, b.newest = modseq, modseq
	b.maxModSeq = max(b.maxModSeq, modseq)
	if len(uids) > 0 {
		b.maxUID = max(b.maxUID, int64(uids[len(uids)-1]))
	}
	return nil
}
