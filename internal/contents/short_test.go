package contents

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/shortheader"
)

// Short headers come by one query, and the next time by none; those that cannot be had are nil.
func TestShortHeaders(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	var ids []ID
	want := make(map[ID]string)
	for i := range 100 {
		short := fmt.Sprintf("Subject: %d\r\n folded\r\n\r\n", i)
		id := mustPut(t, s, []byte("Received: by x\r\n\t; then\r\n"+short+text(i*300))).ID
		ids, want[id] = append(ids, id), short
	}
	bare := mustPut(t, s, []byte("\r\nno header")).ID
	large := mustPut(t, s, []byte("Subject: "+strings.Repeat("x", shortheader.MaxSize)+"\r\n\r\n")).ID
	damaged := mustPut(t, s, []byte("Subject: damaged\r\n\r\n"+text(1000))).ID
	ids = append(ids, ids[3], bare, ID{1}, large, damaged)
	want[bare] = "\r\n"
	if _, err := s.coll.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: dedupe.Hash(damaged).Binary()}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "f", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	s.short = shortheader.New(1 << 20)
	for _, queries := range []int{1, 0} {
		cmds.Reset()
		headers, err := s.ShortHeaders(t.Context(), ids[:101])
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range headers {
			if string(h) != want[ids[i]] {
				t.Errorf("%d: %q", i, h)
			}
		}
		if cmds.Total() != queries {
			t.Errorf("instead of %d queries:\n%v", queries, cmds)
		}
	}
	headers, err := s.ShortHeaders(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range headers {
		w, ok := want[ids[i]]
		if ok != (h != nil) || string(h) != w {
			t.Errorf("%d: %q", i, h)
		}
	}
	if stats := s.ShortHeaderStats(); stats.Headers != 101 || stats.Hits == 0 || stats.Misses == 0 {
		t.Errorf("%+v", stats)
	}
}

// Without a cache they are made anew.
func TestShortHeadersWithoutCache(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	id := mustPut(t, s, []byte("A: 1\r\n\r\nx")).ID
	for range 2 {
		if h, err := s.ShortHeaders(t.Context(), []ID{id, id}); err != nil ||
			!bytes.Equal(bytes.Join(h, nil), []byte("A: 1\r\n\r\nA: 1\r\n\r\n")) {
			t.Errorf("%q, %v", h, err)
		}
	}
}

// Of new mail the Writer keeps them, so no content is read; the octets are the same.
func TestShortHeadersOfNewMail(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	s.short = shortheader.New(8 << 20)
	fresh := newStore(t, db)
	for _, shape := range mailgen.Shapes() {
		mail := mailgen.Of(shape, 1)
		id := mustPut(t, s, mail).ID
		cmds.Reset()
		h, err := s.ShortHeaders(t.Context(), []ID{id})
		if err != nil {
			t.Fatal(err)
		}
		reads := cmds.Total()
		want, err := fresh.ShortHeaders(t.Context(), []ID{id})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(h[0], want[0]) || (h[0] == nil) != (want[0] == nil) {
			t.Errorf("%v: %q, not %q", shape, h[0], want[0])
		}
		if header := load(t, s, id, Want{}).HeaderSize(); header <= shortheader.MaxSize && reads > 0 {
			t.Errorf("%v: %d reads for a header of %d octets", shape, reads, header)
		}
	}
}
