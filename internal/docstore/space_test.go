package docstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// codeFull is OutOfDiskSpace.
const codeFull = 14031

// smallDisk is a file system on which files may grow by so many bytes in all. What a removal frees
// beyond the room that a test has left, others take: a full disk stays full until the test has it
// otherwise.
type smallDisk struct {
	vfs.FS
	mu   sync.Mutex
	free int64
	most int64 // free is no more than this, if it was set
	hits int   // operations that found it full
}

func (d *smallDisk) setFree(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free, d.most = free, free
}

func (d *smallDisk) fullHits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// take takes up to n bytes, and returns how many there were.
func (d *smallDisk) take(n int64) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n <= d.free {
		d.free -= n
		return n, nil
	}
	got := max(d.free, 0)
	d.free -= got
	d.hits++
	return got, syscall.ENOSPC
}

func (d *smallDisk) Unwrap() vfs.FS { return d.FS }

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: uint64(max(d.free, 0)), TotalBytes: 1 << 40}, nil
}

// entry is what a directory entry takes.
const entry = 1

func (d *smallDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if _, err := d.take(entry); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return &smallFile{File: f, disk: d}, nil
}

func (d *smallDisk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &smallFile{File: f, disk: d, size: info.Size()}, nil
}

func (d *smallDisk) Remove(name string) error {
	info, err := d.FS.Stat(name)
	if err != nil {
		return err
	}
	if err := d.FS.Remove(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free += info.Size() + entry; d.most > 0 {
		d.free = min(d.free, d.most)
	}
	return nil
}

type smallFile struct {
	vfs.File
	disk      *smallDisk
	pos, size int64
}

func (f *smallFile) Write(p []byte) (int, error) {
	room := int64(len(p))
	var full error
	if grow := f.pos + room - f.size; grow > 0 {
		var got int64
		got, full = f.disk.take(grow)
		room -= grow - got
	}
	n, err := f.File.Write(p[:room])
	f.pos += int64(n)
	f.size = max(f.size, f.pos)
	if err == nil {
		err = full
	}
	return n, err
}

func isFull(err error) bool {
	var se mongo.ServerError
	return errors.As(err, &se) && se.HasErrorCode(codeFull)
}

// On a full disk writes are refused and reads go on; with space again so do writes. What was
// acknowledged is there all the time, whether the disk is filled by the database or, at any moment,
// by others.
func TestDiskFull(t *testing.T) {
	mem := vfs.NewCrashableMem()
	disk := &smallDisk{FS: mem, free: 1 << 30}
	opts := docstore.Options{Dir: "db", FS: disk, Reserve: 64 << 10}
	s := must(docstore.Open(opts))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	ctx := testContext(t)
	insertAll(t, client.Database("d").Collection("other"), d("_id", 1, "a", 1))
	w := startWriters(t, ctx, client, isFull)
	defer w.stop()
	defer disk.setFree(1 << 30) // a test that fails ends, too
	for round := range 8 {
		waitFor(t, ctx, func() bool { return len(w.acknowledged()) > 50*(round+1) })
		refused := w.refused.Load()
		filled := disk.fullHits()
		if round%2 == 0 {
			disk.setFree(32 << 10) // under the reserve
		} else {
			disk.setFree(int64(round) << 10) // in the middle of whatever is written now
			waitFor(t, ctx, func() bool { return disk.fullHits() > filled || w.refused.Load() > refused+20 })
		}
		waitFor(t, ctx, func() bool { return w.refused.Load() > refused+20 || disk.fullHits() > filled+4 })
		messages := client.Database("d").Collection("messages")
		acked := w.acknowledged()
		for _, id := range acked[len(acked)-10:] {
			if err := messages.FindOne(ctx, d("_id", id)).Err(); err != nil {
				t.Errorf("round %d: reading message %d: %v", round, id, err)
			}
		}
		if n := must(messages.CountDocuments(ctx, d("tags", d("$gt", 0))))(t); int(n) < len(acked) {
			t.Errorf("round %d: %d messages of %d", round, n, len(acked))
		}
		_, err := client.Database("d").Collection("other").InsertOne(ctx, d("a", make([]byte, 300)))
		wantCode(t, err, codeFull)
		checkCopy(t, docstore.Options{Dir: "db", FS: mem.CrashClone(vfs.CrashCloneCfg{})}, acked)
		disk.setFree(1 << 30)
	}
	waitFor(t, ctx, func() bool { return len(w.acknowledged()) > 450 })
	w.stop()
	var err error
	waitFor(t, ctx, func() bool { // the database looks at the disk now and then
		err = client.Database("d").CreateCollection(ctx, "new")
		return !isFull(err)
	})
	must(0, err)(t)
	closeAll(t, s, client)
	checkCopy(t, opts, w.acknowledged())
}

// In the reserve there is room for what frees space, and for nothing else; below a part of it for
// nothing at all.
func TestDiskReserve(t *testing.T) {
	const reserve = 8 << 20
	disk := &smallDisk{FS: vfs.NewMem(), free: 1 << 30}
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: disk, Reserve: reserve}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	ctx := testContext(t)
	db := client.Database("d")
	mail, counters := db.Collection("mail"), db.Collection("counters")
	must(mail.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("q", 1)}))(t)
	pad := strings.Repeat("x", 1000)
	for id := range 100 {
		insertAll(t, mail, d("_id", id, "q", 1, "pad", pad))
	}
	insertAll(t, counters, d("_id", 1, "n", int64(100)))
	insertAll(t, db.Collection("old"), d("_id", 1))
	count := func(ctx context.Context) error {
		_, err := counters.UpdateOne(ctx, d("_id", 1), d("$inc", d("n", int64(1)), "$set", d("q", 2)))
		return err
	}
	one := func(ctx context.Context, id int) error {
		_, err := mail.DeleteOne(ctx, d("_id", id))
		return err
	}
	insert := func(ctx context.Context, size int) error {
		_, err := mail.InsertOne(ctx, d("pad", strings.Repeat("x", size)))
		return err
	}
	transaction := func(f func(ctx context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return client.UseSession(ctx, func(ctx context.Context) error {
				session := mongo.SessionFromContext(ctx)
				must(0, session.StartTransaction())(t)
				if err := f(ctx); err != nil {
					return errors.Join(err, session.AbortTransaction(ctx))
				}
				must(0, session.CommitTransaction(ctx))(t) // a refusal comes before
				return nil
			})
		}
	}
	tests := []struct {
		name  string
		frees bool
		do    func(ctx context.Context) error
	}{
		{"delete one", true, func(ctx context.Context) error { return one(ctx, 1) }},
		{"delete many", true, func(ctx context.Context) error {
			_, err := mail.DeleteMany(ctx, d("_id", d("$lt", 10)))
			return err
		}},
		{"find and delete", true,
			func(ctx context.Context) error { return mail.FindOneAndDelete(ctx, d("_id", 10)).Err() }},
		{"count", true, count},
		{"set a small field", true, func(ctx context.Context) error {
			_, err := mail.UpdateMany(ctx, d("_id", d("$lt", 20)), d("$set", d("x", true, "q", 2)))
			return err
		}},
		{"shrink", true, func(ctx context.Context) error {
			_, err := mail.UpdateOne(ctx, d("_id", 20), d("$unset", d("pad", 1)))
			return err
		}},
		{"expunge", true, transaction(func(ctx context.Context) error {
			return errors.Join(count(ctx), one(ctx, 30), insert(ctx, 100))
		})},
		{"move", true, transaction(func(ctx context.Context) error {
			return errors.Join(count(ctx),
				one(ctx, 31), insert(ctx, 1000))
		})},
		{"create", true, func(ctx context.Context) error { return db.CreateCollection(ctx, "new") }},
		{"have an index that is there", true, func(ctx context.Context) error {
			_, err := mail.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("q", 1)})
			return err
		}},
		{"drop", true, func(ctx context.Context) error { return db.Collection("old").Drop(ctx) }},
		{"make an index", false, func(ctx context.Context) error {
			_, err := mail.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("x", 1)})
			return err
		}},
		{"take a lease", true, func(ctx context.Context) error {
			_, err := db.Collection("leases").UpdateOne(ctx, d("_id", "gc"),
				d("$set", d("owner", "somebody")), options.UpdateOne().SetUpsert(true))
			return err
		}},
		{"insert", false, func(ctx context.Context) error { return insert(ctx, 300) }},
		{"upsert", false, func(ctx context.Context) error {
			_, err := mail.UpdateOne(ctx, d("_id", 1000), d("$set", d("pad", pad)), options.UpdateOne().SetUpsert(true))
			return err
		}},
		{"grow", false, func(ctx context.Context) error {
			_, err := mail.UpdateOne(ctx, d("_id", 40), d("$set", d("more", pad)))
			return err
		}},
		{"deliver", false, transaction(func(ctx context.Context) error {
			return errors.Join(count(ctx), insert(ctx, 600))
		})},
		{"insert more than was deleted", false,
			transaction(func(ctx context.Context) error { return errors.Join(one(ctx, 50), insert(ctx, 2000)) })},
		{"insert and delete that again", false, transaction(func(ctx context.Context) error {
			if _, err := mail.InsertOne(ctx, d("_id", 2000, "pad", pad)); err != nil {
				return err
			}
			return one(ctx, 2000)
		})},
	}
	setFree := func(n int64) {
		disk.setFree(n)
		// the answer of the file system may be some milliseconds old
		waitFor(t, ctx, func() bool { return isFull(insert(ctx, 300)) })
	}
	setFree(reserve / 2)
	for _, tt := range tests {
		err := tt.do(ctx)
		if tt.frees && err != nil || !tt.frees && !isFull(err) {
			t.Errorf("%s in the reserve: %v", tt.name, err)
		}
	}
	setFree(reserve/8*3 - 1)
	for _, tt := range tests {
		if err := tt.do(ctx); !tt.frees && !isFull(err) {
			t.Errorf("%s below the reserve: %v", tt.name, err)
		}
	}
	wantCode(t, one(ctx, 60), codeFull)
	wantCode(t, count(ctx), codeFull)
	wantCode(t, counters.Drop(ctx), codeFull)
	disk.setFree(1 << 30)
	must(0, insert(ctx, 10))(t)
	must(0, s.Verify())(t)
}

// A commit that the full disk holds up is not acknowledged, and not denied either: when the client
// asks again, it learns what became of it.
func TestDiskFullCommit(t *testing.T) {
	ctx := testContext(t)
	disk := &smallDisk{FS: vfs.NewMem(), free: 1 << 30}
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: disk, Reserve: 1}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	insertAll(t, client.Database("d").Collection("c"), d("_id", 1))
	conn := dialRaw(t, s)
	lsid := d("id", bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")})
	run := func(cmd D, number int64, more ...E) bson.Raw {
		t.Helper()
		cmd = append(cmd, E{Key: "$db", Value: "d"}, E{Key: "lsid", Value: lsid}, E{Key: "txnNumber", Value: number})
		return conn.run(append(cmd, more...))
	}
	code := func(reply bson.Raw) int32 { n, _ := reply.Lookup("code").AsInt64OK(); return int32(n) }
	autocommit := E{Key: "autocommit", Value: false}
	must(0, ok(run(d("insert", "c", "documents", A{d("_id", 2, "pad", make([]byte, 100<<10))}), 1,
		autocommit, E{Key: "startTransaction", Value: true})))(t)
	disk.setFree(10)
	commit := d("commitTransaction", 1, "$db", "admin", "lsid", lsid, "txnNumber", int64(1), "autocommit", false)
	for range 2 {
		reply := conn.run(commit)
		if code(reply) != codeFull || !strings.Contains(reply.Lookup("errorLabels").String(),
			"UnknownTransactionCommitResult") {
			t.Errorf("commit: %v", reply)
		}
	}
	plain := d("update", "c", "updates", A{d("q", d("_id", 1), "u", d("$inc", d("n", 1)))})
	if reply := run(plain, 2); code(reply) != codeFull {
		t.Errorf("a write beside it: %v", reply)
	}
	wantIDs(t, ids(t, client.Database("d").Collection("c"), ctx, d()), 1, 2)
	disk.setFree(1 << 30)
	waitFor(t, ctx, func() bool { return ok(conn.run(commit)) == nil })
	for range 2 { // the second time from what is remembered
		if reply := run(plain, 3); ok(reply) != nil || reply.Lookup("n").AsInt64() != 1 {
			t.Errorf("with space again: %v", reply)
		}
	}
	var doc struct{ N int }
	must(0, client.Database("d").Collection("c").FindOne(ctx, d("_id", 1)).Decode(&doc))(t)
	if doc.N != 1 {
		t.Errorf("n = %d", doc.N)
	}
}

// A database on a full disk closes all the same, and does not open; nothing is lost by either.
func TestDiskFullCloseOpen(t *testing.T) {
	ctx := testContext(t)
	mem := vfs.NewCrashableMem()
	disk := &smallDisk{FS: mem, free: 1 << 30}
	opts := docstore.Options{Dir: "db", FS: disk, Reserve: 1}
	s := must(docstore.Open(opts))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	w := startWriters(t, ctx, client, nil)
	waitFor(t, ctx, func() bool { return len(w.acknowledged()) > 100 })
	w.stop()
	disk.setFree(10)
	timed, cancel := context.WithTimeout(ctx, 1e8)
	defer cancel()
	_, err := client.Database("d").Collection("c").InsertOne(timed, d("_id", 1))
	if err == nil {
		t.Error("an insert went through")
	}
	must(0, client.Disconnect(ctx))(t)
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("closing: %v", err)
	}
	// What the end of the process leaves.
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	disk.setFree(1 << 30) // lets the storage left behind end
	small := &smallDisk{FS: left}
	if _, err := docstore.Open(docstore.Options{Dir: "db", FS: small}); err == nil ||
		!strings.Contains(err.Error(), "the disk is full: 0 bytes are free") {
		t.Errorf("opening: %v", err)
	}
	// Where there seems to be enough, and is not, opening waits.
	small.setFree(10)
	opened := make(chan error)
	go func() {
		s, err := docstore.Open(docstore.Options{Dir: "db", FS: small, Reserve: 1})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	waitFor(t, ctx, func() bool { return small.fullHits() > 2 })
	small.setFree(1 << 30)
	must(0, <-opened)(t)
	checkCopy(t, docstore.Options{Dir: "db", FS: left}, w.acknowledged())
}

// Metrics tell how much is free, and whether writes are refused, also when nothing is written.
func TestDiskMetrics(t *testing.T) {
	const reserve = 8 << 20
	disk := &smallDisk{FS: vfs.NewMem(), free: 1 << 30}
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: disk, Reserve: reserve}))(t)
	defer s.Close()
	if m := s.Metrics(); m.WritesRefused || m.FreeBytes < 1<<29 {
		t.Errorf("with space: %+v", m)
	}
	disk.setFree(reserve - 1)
	waitFor(t, testContext(t), func() bool { return s.Metrics().WritesRefused })
	if m := s.Metrics(); m.FreeBytes >= reserve {
		t.Errorf("without space: %+v", m)
	}
	disk.setFree(1 << 30)
	waitFor(t, testContext(t), func() bool { return !s.Metrics().WritesRefused })
}
