package mailstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// rollOf returns the roll of a mailbox that is stored, nil if there is none that can be read.
func (e *env) rollOf(t reporter, box mailkey.Mailbox) *rollDoc {
	t.Helper()
	var doc rollDoc
	err := e.rollDocs.FindOne(t.Context(), append(byID(box.Binary()),
		bson.E{Key: "x", Value: bson.D{{Key: "$type", Value: "binData"}}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &doc
}

// putRoll stores a roll, whatever is there.
func (e *env) putRoll(t reporter, doc *rollDoc) {
	t.Helper()
	if _, err := e.rollDocs.DeleteOne(t.Context(), byID(doc.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.rollDocs.InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

// signed makes the checksum right.
func (d *rollDoc) signed() *rollDoc {
	m := rollMark{uidValidity: uint32(d.UIDValidity), uidNext: uint32(d.UIDNext), modseq: uint64(d.ModSeq),
		messages: d.Messages}
	d.UIDs.Data = slices.Clone(d.UIDs.Data)
	binary.BigEndian.PutUint32(d.UIDs.Data, m.checksum(mailkey.Mailbox(d.ID.Data), d.UIDs.Data[crc32.Size:]))
	return d
}

// lie replaces the UIDs of the roll by others.
func (d *rollDoc) lie(uids []uint32) {
	d.Messages = int64(len(uids))
	d.UIDs.Data = append(make([]byte, crc32.Size), encodeUIDs(uids)...)
}

// compareUIDs compares what UIDsOf says with the messages that are there.
func (e *env) compareUIDs(t reporter, key mailkey.Mailbox) {
	t.Helper()
	box, err := e.MailboxByKey(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.UIDsOf(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.UIDs(t.Context(), key, Query{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("UIDs %v, there are %v", got, want)
	}
	e.KeepRoll(t.Context(), box, got)
}

// rollRun is a history in which instances open mailboxes, and rolls get lost, old, torn or wrong.
type rollRun struct {
	*run
	other *env // another instance
	old   []*rollDoc
}

func (r *rollRun) open(t *rapid.T) {
	_, b := r.box(t, "opened")
	e := r.env
	if rapid.Bool().Draw(t, "by the other instance") {
		e = r.other
	}
	e.compareUIDs(t, b.key)
}

func (r *rollRun) note(t *rapid.T) {
	_, b := r.box(t, "noted")
	if doc := r.env.rollOf(t, b.key); doc != nil {
		r.old = append(r.old, doc)
	}
}

// back puts a roll of before in the place of the one that is there.
func (r *rollRun) back(t *rapid.T) {
	if len(r.old) > 0 {
		r.env.putRoll(t, rapid.SampledFrom(r.old).Draw(t, "roll"))
	}
}

func (r *rollRun) damage(t *rapid.T) {
	_, b := r.box(t, "damaged")
	doc := r.env.rollOf(t, b.key)
	if doc == nil {
		return
	}
	data := slices.Clone(doc.UIDs.Data)
	if len(data) < crc32.Size { // torn already
		return
	}
	switch rapid.SampledFrom([]string{"torn", "flipped", "moved", "lost", "validity", "future", "next", "lie",
		"no roll", "other type"}).Draw(t, "damage") {
	case "torn":
		doc.UIDs.Data = data[:rapid.IntRange(0, len(data)-1).Draw(t, "left")]
	case "flipped":
		data[rapid.IntRange(0, len(data)-1).Draw(t, "octet")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		doc.UIDs.Data = data
	case "moved":
		doc.ModSeq++ // what the checksum is not of
	case "lost":
		doc.Messages++
	case "validity":
		doc.UIDValidity++
		doc.lie([]uint32{1, 2, 3, 1000})
		doc.signed()
	case "future":
		doc.ModSeq += 1000
		doc.lie([]uint32{1, 2, 3, 1000})
		doc.signed()
	case "next":
		doc.UIDNext += 1000
		doc.lie([]uint32{1, 2, 3, 1000})
		doc.signed()
	case "lie":
		uids, err := decodeUIDs(nil, data[crc32.Size:], 1<<20)
		if err != nil || len(uids) < 2 {
			return
		}
		doc.lie(uids[:len(uids)-1])
		doc.signed()
	case "no roll":
		if err := r.env.forgetRolls(t.Context(), b.key, b.key); err != nil {
			t.Fatal(err)
		}
		return
	case "other type":
		if _, err := r.env.rollDocs.UpdateOne(t.Context(), byID(doc.ID),
			bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: "text"}}}}); err != nil {
			t.Fatal(err)
		}
		return
	}
	r.env.putRoll(t, doc)
}

// What an instance that has never seen a mailbox takes for its messages are those that are there,
// whatever became of the roll.
func TestRolls(t *testing.T) {
	db := dbtest.Database(t)
	e, other := openEnvWith(t, db, Options{MinRoll: 3}), openEnvWith(t, db, Options{MinRoll: 3})
	rapid.Check(t, func(rt *rapid.T) {
		u := e.user(t)
		r := &rollRun{other: other, run: &run{T: rt, env: e, user: u, model: model{boxes: make(map[string]*modelBox)}}}
		for _, path := range []string{Inbox, "Archive"} { // few, so that they have many messages
			r.model.boxes[path] = &modelBox{key: e.box(t, u, path).Key, next: 1, modseq: 1}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": r.deliver, "append": r.append, "append more": r.append, "copy": r.copy, "move": r.move,
			"store": r.store, "expunge": r.expunge,
			"open": r.open, "open again": r.open, "note": r.note, "back": r.back, "damage": r.damage,
			"": func(*rapid.T) {},
		})
		for _, b := range r.model.boxes {
			e.compareUIDs(rt, b.key)
		}
		if err := e.DeleteUser(rt.Context(), u.ID); err != nil {
			rt.Fatal(err)
		}
		if n, err := e.rollDocs.CountDocuments(rt.Context(), bson.D{}); n != 0 || err != nil {
			rt.Fatalf("%d rolls of a user who is gone, %v", n, err)
		}
	})
}

// A roll is written when the keys were read, and anew after many changes: not with each.
func TestRollIsWrittenSeldom(t *testing.T) {
	e := newEnv(t)
	box := e.box(t, e.user(t), Inbox).Key
	e.fill(t, box, DefaultMinRoll-1, nil)
	e.compareUIDs(t, box)
	if doc := e.rollOf(t, box); doc != nil {
		t.Fatalf("a small mailbox has a roll: %+v", doc)
	}
	e.fill(t, box, 101, nil)
	e.compareUIDs(t, box)
	first := e.rollOf(t, box)
	if first == nil || first.Messages != DefaultMinRoll+100 {
		t.Fatalf("the roll is %+v", first)
	}
	expunge := func(first, last uint32) {
		t.Helper()
		set := uidset.Of(uidset.Range{First: first, Last: last})
		if _, err := e.StoreFlags(t.Context(), box, set, FlagChange{Op: Add, Flags: Deleted}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Expunge(t.Context(), box, set); err != nil {
			t.Fatal(err)
		}
	}
	expunge(10, 59)
	e.fill(t, box, 49, nil)
	e.compareUIDs(t, box) // 99 changes
	if got := e.rollOf(t, box); got.ModSeq != first.ModSeq {
		t.Errorf("the roll was written at %d and at %d", first.ModSeq, got.ModSeq)
	}
	expunge(70, 70)
	e.compareUIDs(t, box)
	if got := e.rollOf(t, box); got.ModSeq == first.ModSeq || got.Messages != DefaultMinRoll+98 {
		t.Errorf("after a hundred changes the roll is of %d messages at %d", got.Messages, got.ModSeq)
	}
	// KeepRoll alone does the same, on an instance that has not read it.
	e.fill(t, box, 500, nil)
	e.compareUIDs(t, box)
	kept := e.rollOf(t, box)
	expunge(100, 299)
	other := openEnv(t, e.db)
	now, err := other.MailboxByKey(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	uids, err := other.UIDs(t.Context(), box, Query{})
	if err != nil {
		t.Fatal(err)
	}
	other.KeepRoll(t.Context(), now, uids)
	if got := e.rollOf(t, box); got.ModSeq == kept.ModSeq {
		t.Error("the roll was not written although 200 messages were expunged")
	}
	// UIDs that are not those of the document are no roll.
	kept = e.rollOf(t, box)
	expunge(400, 599)
	if now, err = other.MailboxByKey(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	other.KeepRoll(t.Context(), now, uids)
	if got := e.rollOf(t, box); got.ModSeq != kept.ModSeq {
		t.Errorf("a roll of %d messages was written, of %d that there are", got.Messages, now.Messages)
	}
}

// A store that only reads writes no roll.
func TestNoRollByReader(t *testing.T) {
	e := newEnv(t)
	box := e.box(t, e.user(t), Inbox).Key
	e.fill(t, box, DefaultMinRoll, nil)
	reader := openEnvWith(t, e.db, Options{ReadOnly: true})
	reader.compareUIDs(t, box)
	if doc := e.rollOf(t, box); doc != nil {
		t.Errorf("a roll was written: %+v", doc)
	}
}

// After a restore the roll may be of a later state than everything else. It is not believed, neither
// before nor after the first changes.
func TestRollAfterRestore(t *testing.T) {
	for name, o := range map[string]AdvanceOptions{"UIDs": {}, "UIDVALIDITY": {NewUIDValidity: true}} {
		t.Run(name, func(t *testing.T) {
			e := openEnvWith(t, dbtest.Database(t), Options{MinRoll: 3})
			u := e.user(t)
			box := e.box(t, u, Inbox).Key
			e.fill(t, box, 20, func(i int) Flags { return Flags(i%2) * Deleted })
			e.compareUIDs(t, box)
			backup := make(map[string][]bson.Raw)
			for _, name := range []string{collMailboxes, collMessages, collJournal, collUsers} {
				cursor, err := e.db.Collection(name).Find(t.Context(), bson.D{})
				if err != nil {
					t.Fatal(err)
				}
				var docs []bson.Raw
				if err := cursor.All(t.Context(), &docs); err != nil {
					t.Fatal(err)
				}
				backup[name] = docs
			}
			// As many come as go, so that the count tells nothing.
			if _, _, err := e.Expunge(t.Context(), box, nil); err != nil {
				t.Fatal(err)
			}
			e.fill(t, box, 10, nil)
			e.compareUIDs(t, box)
			later := e.rollOf(t, box)
			for name, docs := range backup {
				if _, err := e.db.Collection(name).DeleteMany(t.Context(), bson.D{}); err != nil {
					t.Fatal(err)
				}
				if len(docs) > 0 {
					if _, err := e.db.Collection(name).InsertMany(t.Context(), docs); err != nil {
						t.Fatal(err)
					}
				}
			}
			restored := openEnvWith(t, e.db, Options{Restored: true, MinRoll: 3})
			if _, err := restored.Advance(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			for step := range 3 {
				restored.putRoll(t, later)
				restored.compareUIDs(t, box)
				restored.fill(t, box, 2, func(int) Flags { return Deleted })
				if step == 1 {
					if _, _, err := restored.Expunge(t.Context(), box, nil); err != nil {
						t.Fatal(err)
					}
				}
				restored.compareUIDs(t, box)
			}
		})
	}
}

// A check finds the rolls of mailboxes that are gone, and those that cannot be read, and no others.
func TestCheckRolls(t *testing.T) {
	e := openEnvWith(t, dbtest.Database(t), Options{MinRoll: 3})
	u := e.user(t)
	inbox, archive := e.box(t, u, Inbox).Key, e.box(t, u, "Archive").Key
	for _, box := range []mailkey.Mailbox{inbox, archive} {
		e.fill(t, box, 5, nil)
		e.compareUIDs(t, box)
	}
	stray := e.rollOf(t, inbox)
	stray.ID = u.ID.Mailbox(1000).Binary()
	e.putRoll(t, stray.signed())
	torn := e.rollOf(t, archive)
	torn.UIDs.Data = torn.UIDs.Data[:5]
	e.putRoll(t, torn)
	for _, repair := range []bool{false, true} {
		var found []mailkey.Mailbox
		if err := e.CheckNames(t.Context(), CheckOptions{Repair: repair, Found: func(f Finding) {
			if f.Fault != StrayRoll || f.Repaired != repair {
				t.Errorf("%+v", f)
			}
			found = append(found, f.Mailbox)
		}}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(found, func(a, b mailkey.Mailbox) int { return int(a.Number()) - int(b.Number()) })
		if !slices.Equal(found, []mailkey.Mailbox{archive, u.ID.Mailbox(1000)}) {
			t.Errorf("repair %t: found %v", repair, found)
		}
	}
	if e.rollOf(t, inbox) == nil || e.rollOf(t, archive) != nil || e.rollOf(t, u.ID.Mailbox(1000)) != nil {
		t.Error("other rolls are left than that of the inbox")
	}
	e.compareUIDs(t, archive)
	if e.rollOf(t, archive) == nil {
		t.Error("no roll was made in the place of the torn one")
	}
}
