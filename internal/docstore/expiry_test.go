package docstore_test

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func lsidOf(n byte) D {
	id := make([]byte, 16)
	id[0] = n
	return d("id", bson.Binary{Subtype: 4, Data: id})
}

// A transaction that is open too long is aborted, with its cursors, and stands in nobody's way.
func TestTransactionExpiry(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	inTxn := func(cmd D, start bool) D {
		cmd = append(cmd, d("$db", "d", "lsid", lsidOf(1), "txnNumber", int64(1), "autocommit", false)...)
		if start {
			cmd = append(cmd, d("startTransaction", true)...)
		}
		return cmd
	}
	must(0, ok(c.run(d("insert", "c", "documents", A{d("_id", 1), d("_id", 2), d("_id", 3)}, "$db", "d"))))(t)
	must(0, ok(c.run(inTxn(d("update", "c", "updates", A{d("q", d("_id", 1), "u", d("$set", d("a", 1)))}), true))))(t)
	cursor := c.run(inTxn(d("find", "c", "batchSize", 1), false)).Lookup("cursor", "id").Int64()
	if cursor == 0 {
		t.Fatal("no cursor")
	}

	must(0, s.MaintainAt(time.Now().Add(30*time.Second)))(t)
	must(0, ok(c.run(inTxn(d("find", "c"), false))))(t)
	must(0, s.MaintainAt(time.Now().Add(61*time.Second)))(t)
	reply := c.run(inTxn(d("getMore", cursor, "collection", "c"), false))
	if reply.Lookup("code").Int32() != 251 {
		t.Errorf("getMore after the end: %v", reply)
	}
	reply = c.run(append(d("commitTransaction", 1, "$db", "admin"),
		d("lsid", lsidOf(1), "txnNumber", int64(1), "autocommit", false)...))
	if reply.Lookup("code").Int32() != 251 {
		t.Errorf("commit after the end: %v", reply)
	}
	reply = c.run(d("update", "c", "updates", A{d("q", d("_id", 1), "u", d("$set", d("b", 1)))}, "$db", "d"))
	if err := ok(reply); err != nil || reply.Lookup("nModified").Int32() != 1 {
		t.Errorf("update after the end: %v", reply)
	}
	reply = c.run(d("count", "c", "query", d("a", 1), "$db", "d"))
	if reply.Lookup("n").Int32() != 0 {
		t.Errorf("the aborted write shows: %v", reply)
	}
}

func TestCursorExpiry(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	must(0, ok(c.run(d("insert", "c", "documents", A{d("_id", 1), d("_id", 2)}, "$db", "d"))))(t)
	open := func(opts ...any) int64 {
		cmd := append(d("find", "c", "batchSize", 1, "$db", "d"), d(opts...)...)
		return c.run(cmd).Lookup("cursor", "id").Int64()
	}
	idle, kept, ended := open(), open("noCursorTimeout", true), open("lsid", lsidOf(2))
	must(0, ok(c.run(d("endSessions", A{lsidOf(2)}, "$db", "admin"))))(t)
	alive := func(id int64) bool {
		return ok(c.run(d("getMore", id, "collection", "c", "$db", "d"))) == nil
	}
	if alive(ended) {
		t.Error("a cursor outlived its session")
	}
	must(0, s.MaintainAt(time.Now().Add(11*time.Minute)))(t)
	if alive(idle) {
		t.Error("a cursor outlived its timeout")
	}
	if !alive(kept) {
		t.Error("a cursor without a timeout is gone")
	}
	if n := s.Metrics().Cursors; n != 0 {
		t.Errorf("%d cursors are left", n)
	}
}

// Retry records go with their sessions: when these end, or are idle too long.
func TestSessionExpiry(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	inc := func(n byte) {
		t.Helper()
		must(0, ok(c.run(d("update", "c", "updates", A{d("q", d("_id", n), "u", d("$inc", d("n", 1)), "upsert", true)},
			"$db", "d", "lsid", lsidOf(n), "txnNumber", int64(5)))))(t)
	}
	n := func(id int) int32 {
		reply := c.run(d("find", "c", "filter", d("_id", id), "$db", "d"))
		return reply.Lookup("cursor", "firstBatch", "0", "n").Int32()
	}
	for range 2 {
		inc(1)
		inc(2)
	}
	if n(1) != 1 || n(2) != 1 {
		t.Fatalf("retried writes were done again: %d, %d", n(1), n(2))
	}
	must(0, ok(c.run(d("endSessions", A{lsidOf(1)}, "$db", "admin"))))(t)
	if s.Sessions() != 1 {
		t.Errorf("%d sessions", s.Sessions())
	}
	must(0, s.MaintainAt(time.Now().Add(20*time.Minute)))(t)
	inc(2)
	if n(2) != 1 {
		t.Error("a record went before its time")
	}
	must(0, s.MaintainAt(time.Now().Add(31*time.Minute)))(t)
	if s.Sessions() != 0 {
		t.Errorf("%d sessions after all are idle", s.Sessions())
	}
	inc(1) // the records are gone, so these are new writes
	inc(2)
	if n(1) != 2 || n(2) != 2 {
		t.Errorf("after the records are gone: %d, %d", n(1), n(2))
	}
}

// The server takes what it is told about durability seriously.
func TestWriteConcern(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	insert := func(concern D) (synced int64, reply bson.Raw) {
		before := s.Metrics().SyncedCommits
		cmd := d("insert", "c", "documents", A{d("a", 1)}, "$db", "d")
		if concern != nil {
			cmd = append(cmd, d("writeConcern", concern)...)
		}
		reply = c.run(cmd)
		return s.Metrics().SyncedCommits - before, reply
	}
	insert(nil)
	for _, tc := range []struct {
		concern D
		synced  int64
		code    int32
	}{
		{nil, 1, 0},
		{d("w", "majority"), 1, 0},
		{d("w", 1), 1, 0},
		{d("w", 1, "j", true), 1, 0},
		{d("w", 1, "j", false), 0, 0},
		{d("w", "majority", "j", false), 1, 0},
		{d("w", 2), 1, 100},
		{d("w", "elsewhere"), 1, 79},
		{d("x", 1), 0, 40415},
	} {
		synced, reply := insert(tc.concern)
		code, _ := reply.Lookup("code").Int32OK()
		if code == 0 {
			code, _ = reply.Lookup("writeConcernError", "code").Int32OK()
		}
		if synced != tc.synced || code != tc.code {
			t.Errorf("%v: %d synced commits, want %d; code %d, want %d", tc.concern, synced, tc.synced, code, tc.code)
		}
	}
}
