package maintenance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/internal/dictionary"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
)

// filled is a store with some of everything.
type filled struct {
	*store
	t          *testing.T
	ada, bob   *mailstore.User
	inbox, box mailkey.Mailbox // of Ada
}

func fill(t *testing.T) *filled {
	f := &filled{store: newStore(t), t: t}
	f.ada, f.bob = f.user(t, "ada@example.com"), f.user(t, "bob@example.com")
	f.inbox, f.box = f.box2("INBOX"), f.box2("Archive")
	shared, large := attachment(1, 20_000), attachment(2, 600_000)
	f.deliver(t, mailgen.Simple("shared", shared, shared), 0, nil, f.inbox, f.store.box(t, f.bob, "INBOX"))
	f.deliver(t, mailgen.Simple("large", large), mailstore.Seen, []string{"Important"}, f.inbox)
	f.deliver(t, mailgen.Simple("small"), mailstore.Deleted, nil, f.inbox)
	f.deliver(t, mailgen.Simple("gone"), mailstore.Deleted, nil, f.inbox)
	if _, err := f.Copy(t.Context(), f.inbox, uidset.All(), f.box); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := f.Expunge(t.Context(), f.inbox, uidset.Set{{First: 4, Last: 4}}); err != nil {
			t.Fatal(err)
		}
		f.deliver(t, mailgen.Simple("gone"), mailstore.Deleted, nil, f.inbox)
		if _, _, err := f.Expunge(t.Context(), f.inbox, uidset.Set{{First: 5, Last: 9}}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *filled) box2(path string) mailkey.Mailbox { return f.store.box(f.t, f.ada, path) }

// update changes documents behind everybody's back.
func (f *filled) update(collection string, filter, update bson.D) {
	f.t.Helper()
	res, err := f.db.Collection(collection).UpdateMany(f.t.Context(), filter, update)
	if err != nil {
		f.t.Fatal(err)
	}
	if res.ModifiedCount == 0 {
		f.t.Fatal("no damage done")
	}
}

func (f *filled) remove(collection string, filter bson.D) {
	f.t.Helper()
	res, err := f.db.Collection(collection).DeleteMany(f.t.Context(), filter)
	if err != nil {
		f.t.Fatal(err)
	}
	if res.DeletedCount == 0 {
		f.t.Fatal("no damage done")
	}
}

func (f *filled) dropIndex(collection, name string) {
	f.t.Helper()
	if err := f.db.Collection(collection).Indexes().DropOne(f.t.Context(), name); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filled) createIndex(collection, name, key string) {
	f.t.Helper()
	_, err := f.db.Collection(collection).Indexes().CreateOne(f.t.Context(),
		mongo.IndexModel{Keys: d(key, 1), Options: options.Index().SetName(name)})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *filled) insert(collection string, doc bson.D) {
	f.t.Helper()
	if _, err := f.db.Collection(collection).InsertOne(f.t.Context(), doc); err != nil {
		f.t.Fatal(err)
	}
}

// train makes a dictionary for texts, and mail that is compressed with it.
func (f *filled) train() {
	f.t.Helper()
	var samples [][]byte
	for i := range 2 * dictionary.MinSamples {
		samples = append(samples,
			fmt.Appendf(nil, "This is message %d, which says that %d of %d are there.\r\n", i, i*i%31, i%17))
	}
	dict, err := dictionary.Train(dictionary.Text, dictionary.NewID(), samples)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.Contents().Dictionaries().Add(f.t.Context(), dict, samples); err != nil {
		f.t.Fatal(err)
	}
	f.deliver(f.t, mailgen.Simple("message 17, which says that 4 of 16 are there"), 0, nil, f.inbox)
}

// one returns a field of the first document that matches.
func (f *filled) one(collection string, filter bson.D, path ...string) bson.RawValue {
	f.t.Helper()
	raw, err := f.db.Collection(collection).FindOne(f.t.Context(), filter,
		options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}})).Raw()
	if err != nil {
		f.t.Fatal(err)
	}
	return raw.Lookup(path...)
}

// d makes a document of keys and values.
func d(pairs ...any) bson.D {
	doc := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		doc = append(doc, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return doc
}

// Each kind of damage is found; what can be repaired is, and a second check is clean.
func TestCheckFindsAndRepairs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(f *filled)
		kinds  []string
		deep   bool
		stays  bool // nothing repairs it
	}{
		{name: "none", damage: func(*filled) {}},
		{name: "missing index", kinds: []string{"missing index"}, damage: func(f *filled) {
			f.dropIndex("messages", "modseq")
			f.dropIndex("blobs.files", "unused")
		}},
		{name: "missing unique index, and what it would keep from being",
			kinds: []string{"missing index", "missing chunks"}, stays: true, damage: func(f *filled) {
				f.dropIndex("blobs.chunks", "files_id_1_n_1")
				f.insert("blobs.chunks", d("files_id", f.one("blobs.files", d(), "_id"), "n", int32(0),
					"data", bson.Binary{Data: []byte("x")}))
			}},
		{name: "wrong index", kinds: []string{"wrong index"}, stays: true, damage: func(f *filled) {
			f.dropIndex("addresses", "user")
			f.createIndex("addresses", "user", "alias")
		}},
		{name: "content leaked", kinds: []string{"content leaked"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$inc", d("refs", int64(3), "magic", int64(77))))
		}},
		{name: "content leaked by nobody's last reference", kinds: []string{"content leaked"}, damage: func(f *filled) {
			if _, err := write(f.t.Context(), f.Store, mailgen.Simple("never delivered",
				attachment(9, 9000)), 2); err != nil {
				f.t.Fatal(err)
			}
		}},
		{name: "content too low", kinds: []string{"content too low"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$inc", d("refs", int64(-1), "magic", int64(-5))))
		}},
		{name: "content unused though it is not", kinds: []string{"content too low"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2),
				d("$set", d("refs", int64(0), "magic", int64(0), "quarantined",
					bson.NewDateTimeFromTime(f.ada.Created))))
		}},
		{name: "content magic", kinds: []string{"content mismatch"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$inc", d("magic", int64(1))))
		}},
		{name: "content quarantined", kinds: []string{"content quarantined"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$set", d("quarantined", bson.NewDateTimeFromTime(f.ada.Created))))
		}},
		{name: "content untouched", kinds: []string{"content untouched"}, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$unset", d("touched", "")))
		}},
		{name: "content uncounted", kinds: []string{"content uncounted"}, stays: true, damage: func(f *filled) {
			f.update("contents", d("refs", 2), d("$unset", d("refs", "")))
		}},
		{name: "content missing", kinds: []string{"content missing", "blob leaked"}, stays: true,
			damage: func(f *filled) {
				f.remove("contents", d("_id", f.one("messages", d("f", int32(mailstore.Seen)), "c")))
			}},
		{name: "content layout", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			f.update("contents", d("_id", f.one("messages", d("f", int32(mailstore.Seen)), "c")),
				d("$set", d("segs", bson.Binary{Data: []byte{9}})))
		}},
		{name: "content bytes", kinds: []string{"damaged content"}, deep: true, stays: true, damage: func(f *filled) {
			f.update("contents", d("_id", f.one("messages", d("f", int32(mailstore.Deleted)), "c")),
				d("$set", d("f.0", bson.Binary{Data: []byte("?")})))
		}},
		{name: "content bytes beside a blob", kinds: []string{"damaged content"}, deep: true,
			stays: true, damage: func(f *filled) {
				for _, subject := range []string{"one", "two"} {
					f.deliver(f.t, mailgen.Simple(subject, attachment(1, 20_000)), 0, nil, f.inbox)
				}
				other := f.one("contents", d("_id", f.one("messages", d("u", "two"), "c")), "f", "0")
				f.update("contents", d("_id", f.one("messages", d("u", "one"), "c")), d("$set", d("f.0", other)))
			}},
		{name: "content id", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			for _, id := range []any{"x", bson.Binary{Data: []byte("short")},
				bson.Binary{Data: make([]byte, 33)}, bson.Binary{Subtype: 0x80, Data: make([]byte, 32)}} {
				f.insert("contents", d("_id", id, "refs", int64(0), "magic", int64(0)))
			}
		}},
		{name: "dictionary missing", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			f.train()
			f.remove("dictionaries", d())
		}},
		{name: "dictionary of another kind", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			f.train()
			f.update("dictionaries", d(), d("$set", d("kind", "music")))
		}},
		{name: "dictionary changed", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			f.train()
			_, data := f.one("dictionaries", d(), "data").Binary()
			data = slices.Clone(data)
			data[len(data)-40] ^= 1
			f.update("dictionaries", d(), d("$set", d("data", bson.Binary{Data: data})))
		}},
		{name: "dictionary of another type", kinds: []string{"damaged content"}, stays: true, damage: func(f *filled) {
			f.train()
			f.update("dictionaries", d(), d("$set", d("data", "text")))
		}},
		{name: "file of another program", kinds: []string{"bad file"}, stays: true, damage: func(f *filled) {
			id := bson.NewObjectID()
			f.insert("blobs.files", d("_id", id, "length", 1, "chunkSize", 255<<10, "uploadDate",
				f.ada.Created, "filename", "x"))
			f.insert("blobs.chunks", d("files_id", id, "n", int32(0), "data", bson.Binary{Data: []byte("x")}))
		}},
		{name: "file fields of other types", kinds: []string{"bad file"}, deep: true, stays: true,
			damage: func(f *filled) {
				f.update("blobs.files", d("length", d("$gt", 500_000)), d("$set", d("uploadDate", "today")))
			}},
		{name: "file of other types", kinds: []string{"bad file"}, stays: true, damage: func(f *filled) {
			f.insert("blobs.files", d("_id", bson.NewObjectID(), "length", "long", "metadata",
				d("hash", "x", "refs", int64(0), "magic", int64(0))))
		}},
		{name: "blob leaked", kinds: []string{"blob leaked"}, damage: func(f *filled) {
			f.update("blobs.files", d(), d("$inc", d("metadata.refs", int64(1), "metadata.magic", int64(9))))
		}},
		{name: "blob too low", kinds: []string{"blob too low"}, damage: func(f *filled) {
			f.update("blobs.files", d(), d("$inc", d("metadata.refs", int64(-1), "metadata.magic", int64(-9))))
		}},
		{name: "blob magic", kinds: []string{"blob mismatch"}, damage: func(f *filled) {
			f.update("blobs.files", d("metadata.refs", 2), d("$inc", d("metadata.magic", int64(-9))))
		}},
		{name: "blob missing", kinds: []string{"blob missing", "orphan chunks"}, stays: true, damage: func(f *filled) {
			f.remove("blobs.files", d("length", d("$gt", 500_000)))
		}},
		{name: "orphan chunks", kinds: []string{"orphan chunks"}, damage: func(f *filled) {
			for n := range 3 {
				f.insert("blobs.chunks", d("files_id", bson.ObjectID{1}, "n", int32(n), "data",
					bson.Binary{Data: []byte("x")}))
			}
			f.insert("blobs.chunks", d("files_id", bson.ObjectID{0xff, 0xff}, "n", int32(7), "data",
				bson.Binary{Data: []byte("x")}))
		}},
		{name: "missing chunk", kinds: []string{"missing chunks"}, stays: true, damage: func(f *filled) {
			f.remove("blobs.chunks", d("n", int32(1)))
		}},
		{name: "missing last chunk", kinds: []string{"missing chunks"}, stays: true, damage: func(f *filled) {
			f.remove("blobs.chunks", d("n", int32(2)))
		}},
		{name: "all chunks missing", kinds: []string{"missing chunks"}, stays: true, damage: func(f *filled) {
			f.remove("blobs.chunks", d())
		}},
		{name: "bad file", kinds: []string{"bad file"}, stays: true, damage: func(f *filled) {
			f.update("blobs.files", d("length", d("$gt", 500_000)), d("$set", d("metadata.codec", "lzw")))
		}},
		{name: "wrong bytes", kinds: []string{"damaged content", "wrong bytes"}, deep: true,
			stays: true, damage: func(f *filled) {
				f.update("blobs.chunks", d("n", int32(1)), d("$set", d("data",
					bson.Binary{Data: make([]byte, 255<<10)})))
			}},
		{name: "wrong sums", kinds: []string{"wrong bytes"}, deep: true, stays: true, damage: func(f *filled) {
			f.update("blobs.files", d("length", d("$gt", 500_000)),
				d("$set", d("metadata.sums", bson.Binary{Data: []byte("x")})))
		}},
		{name: "user of other types", kinds: []string{"bad document"}, stays: true, damage: func(f *filled) {
			f.update("users", d("_id", f.ada.ID.Binary()), d("$set", d("name", 7)))
		}},
		{name: "quota of another type", kinds: []string{"bad document"}, stays: true, damage: func(f *filled) {
			f.update("users", d("_id", f.ada.ID.Binary()), d("$set", d("quota.freeBytes", true)))
		}},
		{name: "mailbox of other types", kinds: []string{"bad document"}, stays: true, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$set", d("p", 7)))
		}},
		{name: "counter of another type", kinds: []string{"bad document"}, stays: true, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$set", d("cu", true)))
		}},
		{name: "address of another type", kinds: []string{"bad document", "no address"},
			stays: true, damage: func(f *filled) {
				f.update("addresses", d("_id", "ada@example.com"), d("$set", d("user", 7)))
			}},
		{name: "counters", kinds: []string{"wrong counters"}, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()),
				d("$inc", d("cm", int64(2), "cu", int64(-1), "cd", int64(1), "cz", int64(7))))
		}},
		{name: "quota", kinds: []string{"wrong quota"}, damage: func(f *filled) {
			f.update("users", d("_id", f.ada.ID.Binary()),
				d("$inc", d("quota.freeBytes", int64(-7), "quota.freeMessages", int64(1))))
		}},
		{name: "UIDNEXT", kinds: []string{"low UIDNEXT"}, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$set", d("n", int64(2))))
		}},
		{name: "mod-sequence", kinds: []string{"low mod-sequence"}, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$set", d("q", int64(2))))
		}},
		{name: "keywords", kinds: []string{"unknown keyword"}, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$unset", d("k", "")))
		}},
		{name: "markers", kinds: []string{"wrong markers"}, damage: func(f *filled) {
			f.update("messages", d("_id", f.inbox.Message(1).Binary()), d("$unset", d("n", "")))
			f.update("messages", d("_id", f.inbox.Message(2).Binary()), d("$set", d("x", true)))
			f.update("messages", d("_id", f.inbox.Message(3).Binary()), d("$set", d("b", f.box.Binary())))
		}},
		{name: "bad message", kinds: []string{"bad message"}, stays: true, damage: func(f *filled) {
			f.update("messages", d("_id", f.inbox.Message(1).Binary()), d("$set", d("z", "large")))
		}},
		{name: "journal entry", kinds: []string{"bad journal"}, damage: func(f *filled) {
			f.update("journal", d(), d("$set", d("x", bson.Binary{Data: []byte{0}})))
		}},
		{name: "journal chain", kinds: []string{"bad journal"}, damage: func(f *filled) {
			f.update("journal", d("v", d("$gt", 0)), d("$set", d("v", int64(1))))
		}},
		{name: "journal unknown to the mailbox", kinds: []string{"bad journal"}, damage: func(f *filled) {
			f.update("mailboxes", d("_id", f.inbox.Binary()), d("$set", d("x", int64(0))))
		}},
		{name: "numbers", kinds: []string{"low numbers"}, damage: func(f *filled) {
			f.update("users", d("_id", f.ada.ID.Binary()), d("$set", d("mboxes", int64(1), "uidv", int64(1))))
		}},
		{name: "numbers of messages", kinds: []string{"low numbers"}, damage: func(f *filled) {
			f.update("users", d("_id", f.ada.ID.Binary()), d("$set", d("nums", int64(1))))
		}},
		{name: "no mailbox", kinds: []string{"no mailbox"}, damage: func(f *filled) {
			f.remove("mailboxes", d("_id", f.box.Binary()))
		}},
		{name: "no user", kinds: []string{"no user", "stray address"}, stays: true, damage: func(f *filled) {
			f.remove("users", d("_id", f.bob.ID.Binary()))
		}},
		{name: "stray address", kinds: []string{"stray address"}, damage: func(f *filled) {
			f.insert("addresses", d("_id", "eve@example.com", "user", bson.Binary{Data: []byte("12345678")}))
		}},
		{name: "stray subscription", kinds: []string{"stray address"}, damage: func(f *filled) {
			f.insert("subscriptions", d("_id", bson.Binary{Data: []byte("12345678Sent")}, "u",
				bson.Binary{Data: []byte("12345678")}, "p", "Sent"))
		}},
		{name: "metadata of a user", kinds: []string{"stray metadata"}, damage: func(f *filled) {
			f.insert("metadata", d("_id", bson.Binary{Data: make([]byte, 36)}, "u",
				bson.Binary{Data: make([]byte, 8)}, "n", "/private/a", "v", bson.Binary{}))
		}},
		{name: "metadata of a mailbox", kinds: []string{"stray metadata"}, damage: func(f *filled) {
			gone := f.ada.ID.Mailbox(77)
			f.insert("metadata", d("_id", bson.Binary{Data: append(gone[:], make([]byte, 24)...)}, "u",
				f.ada.ID.Binary(), "n", "/shared/a", "v", bson.Binary{}))
		}},
		{name: "no address", kinds: []string{"no address"}, damage: func(f *filled) {
			f.remove("addresses", d("_id", "ada@example.com"))
		}},
		{name: "address of another", kinds: []string{"no address"}, stays: true, damage: func(f *filled) {
			f.update("addresses", d("_id", "ada@example.com"), d("$set", d("user", f.bob.ID.Binary())))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := fill(t)
			f.collect(t)
			if _, list := f.store.check(t, false, true); len(list) > 0 {
				t.Fatalf("before any damage: %v", list)
			}
			before := f.texts()
			tt.damage(f)
			sum, list := f.store.check(t, false, tt.deep)
			if got := kinds(list); !slices.Equal(got, sorted(tt.kinds)) {
				t.Errorf("found %v, want %v; %+v", got, sorted(tt.kinds), list)
			}
			if sum.Repaired > 0 || sum.Damaged != int64(len(list)) {
				t.Errorf("without repair: %+v", sum)
			}
			sum, list = f.store.check(t, true, tt.deep)
			if got := kinds(list); !slices.Equal(got, sorted(tt.kinds)) {
				t.Errorf("repair found %v, want %v; %+v", got, sorted(tt.kinds), list)
			}
			if (sum.Damaged > 0) != tt.stays {
				t.Errorf("repair left %+v: %+v", sum, list)
			}
			f.collect(t)
			_, list = f.store.check(t, true, tt.deep)
			if len(list) > 0 != tt.stays {
				t.Errorf("second check: %+v", list)
			}
			if !tt.stays {
				if after := f.texts(); !slices.Equal(before, after) {
					t.Errorf("mail before %q, after %q", before, after)
				}
			}
		})
	}
}

func kinds(list []Finding) []string {
	var out []string
	for _, f := range list {
		if f.Kind != "affected message" { // see TestCheckNamesAffectedMessages
			out = append(out, f.Kind)
		}
	}
	return slices.Compact(sorted(out))
}

// Of whatever is damaged, the check names the messages that need it, with users and mailboxes.
func TestCheckNamesAffectedMessages(t *testing.T) {
	f := fill(t)
	f.collect(t)
	f.remove("blobs.chunks", d("n", 0)) // of every attachment
	sum, list := f.store.check(t, false, false)
	var named []string
	for _, found := range list {
		if found.Kind == "affected message" {
			named = append(named, fmt.Sprintf("%s %s %d", found.Username, found.Path, found.UID))
		}
	}
	want := []string{"ada@example.com Archive 1", "ada@example.com Archive 2", "ada@example.com INBOX 1",
		"ada@example.com INBOX 2", "bob@example.com INBOX 1"}
	if !slices.Equal(sorted(named), want) {
		t.Errorf("affected are %q, want %q", sorted(named), want)
	}
	if sum.Found["affected message"] != int64(len(want)) || !sum.Lost() {
		t.Errorf("sum %+v", sum)
	}
	// Without damage nothing is named.
	f = fill(t)
	f.collect(t)
	if _, list := f.store.check(t, false, true); len(list) > 0 {
		t.Errorf("found %+v", list)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// texts reads all mail of both users.
func (f *filled) texts() []string {
	f.t.Helper()
	var out []string
	ctx := context.Background()
	for _, u := range []*mailstore.User{f.ada, f.bob} {
		boxes, err := f.Mailboxes(ctx, u.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		slices.SortFunc(boxes, func(a, b *mailstore.Mailbox) int { return slices.Compare(a.Key[:], b.Key[:]) })
		for _, box := range boxes {
			for m, err := range f.Messages(ctx, box.Key, mailstore.Query{},
				mailstore.FieldContent|mailstore.FieldFlags) {
				if err != nil {
					f.t.Fatal(err)
				}
				text, err := read(ctx, f.Store, m.Content)
				if err != nil {
					f.t.Fatal(err)
				}
				out = append(out, fmt.Sprint(box.Key, m.UID, m.Flags, m.Keywords, dedupe.Sum(text)))
			}
		}
	}
	return out
}

// A check that is to repair leaks only repairs these, and tells of the rest.
func TestCheckRepairsLeaksOnly(t *testing.T) {
	f := fill(t)
	if _, err := write(t.Context(), f.Store, mailgen.Simple("never delivered", attachment(9, 9000)), 2); err != nil {
		t.Fatal(err)
	}
	f.update("contents", d("_id", f.one("messages", d("f", int32(mailstore.Seen)), "c")),
		d("$inc", d("refs", int64(-1), "magic", int64(-5))))
	f.update("mailboxes", d("_id", f.inbox.Binary()), d("$inc", d("cm", int64(1))))
	f.insert("blobs.chunks", d("files_id", bson.ObjectID{1}, "n", int32(0), "data", bson.Binary{Data: []byte("x")}))
	run := func(want map[Finding]int) {
		t.Helper()
		got := make(map[Finding]int)
		_, err := Check(t.Context(), f.Store, CheckOptions{Repair: true, LeaksOnly: true, Offline: true,
			Found: func(f Finding) { got[Finding{Kind: f.Kind, Repaired: f.Repaired}]++ }})
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("found %v, %v; want %v", got, err, want)
		}
	}
	damage := map[Finding]int{{Kind: "content too low"}: 1, {Kind: "wrong counters"}: 1}
	all := maps.Clone(damage)
	all[Finding{Kind: "content leaked", Repaired: true}] = 1
	all[Finding{Kind: "orphan chunks", Repaired: true}] = 1
	run(all)
	run(damage)
}

// A check that is to repair nothing writes nothing, nor does opening the store for it.
func TestCheckWritesNothing(t *testing.T) {
	f := fill(t)
	f.dropIndex("messages", "modseq")
	f.update("contents", d("refs", 2), d("$inc", d("refs", int64(3), "magic", int64(77))))
	f.insert("blobs.chunks", d("files_id", bson.ObjectID{1}, "n", int32(0), "data", bson.Binary{Data: []byte("x")}))
	var mu sync.Mutex
	commands := make(map[string]bool)
	client := dbtest.NewClient(t,
		options.Client().SetMonitor(&event.CommandMonitor{Started: func(_ context.Context,
			e *event.CommandStartedEvent) {
			mu.Lock()
			defer mu.Unlock()
			commands[e.CommandName] = true
		}}))
	db := client.Database(f.db.Name())
	s := storetest.Open(t, storetest.Options{Database: db, ReadOnly: true}).Store
	found := 0
	_, err := Check(t.Context(), s, CheckOptions{Deep: true, Offline: true, Found: func(f Finding) { found++ }})
	if err != nil || found == 0 {
		t.Fatalf("found %d, %v", found, err)
	}
	if _, err := PlanCollection(t.Context(), s, CollectOptions{Orphans: true}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for name := range commands {
		if !slices.Contains([]string{"find", "getMore", "killCursors", "aggregate", "count",
			"listIndexes", "listCollections", "abortTransaction", "endSessions"}, name) {
			t.Errorf("sent %s", name)
		}
	}
}
