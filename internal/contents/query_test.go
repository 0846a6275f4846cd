package contents

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"testing"

	"gadwall/blobstore"
	"gadwall/internal/dbtest"
)

func TestLoadIsOneQuery(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	const n = 130 // more than a server's first batch, if it is not told how many
	var ids []ID
	want := make(map[ID][]byte)
	for i := range n {
		message := fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, text(i*800))
		id := mustPut(t, s, message).ID
		ids = append(ids, id)
		want[id] = message
	}

	cmds.Reset()
	contents, err := s.Load(t.Context(), ids, Want{All: true})
	if err != nil {
		t.Fatal(err)
	}
	for id, message := range want {
		if n := min(contents[id].Size, TextThreshold); !bytes.Equal(read(t, contents[id], 0, n), message[:n]) {
			t.Fatal("read back something else")
		}
	}
	if cmds.Total() != 1+blobsIn(contents)*2 {
		t.Errorf("all contents:\n%v", cmds)
	}

	cmds.Reset()
	contents, err = s.Load(t.Context(), ids, Want{RootHeader: true})
	if err != nil {
		t.Fatal(err)
	}
	for id, message := range want {
		c := contents[id]
		if got := read(t, c, 0, c.HeaderSize()); !bytes.Equal(got, message[:c.HeaderSize()]) {
			t.Fatal("read back something else")
		}
	}
	if cmds.Total() != 1 || cmds.Bytes(Collection) > n*1500 {
		t.Errorf("headers of the contents, %d bytes:\n%v", cmds.Bytes(Collection), cmds)
	}

	cmds.Reset()
	contents, err = s.Load(t.Context(), ids, Want{Parts: true})
	if err != nil {
		t.Fatal(err)
	}
	var ranges []Range
	for _, c := range contents {
		ranges = append(ranges, Range{c, c.Root().BodyOffset, min(c.Root().BodySize, 2000)})
	}
	if err := s.Prefetch(t.Context(), ranges); err != nil {
		t.Fatal(err)
	}
	if cmds.Total() != 2 {
		t.Errorf("load, then prefetch:\n%v", cmds)
	}
	cmds.Reset()
	for _, r := range ranges {
		if r.Content.table.segments[len(r.Content.table.segments)-1].blob {
			continue
		}
		if got := read(t, r.Content, r.Off, r.N); !bytes.Equal(got, want[r.Content.ID][r.Off:r.Off+r.N]) {
			t.Fatal("read back something else")
		}
	}
	if cmds.Total() != 0 {
		t.Errorf("reading what was prefetched:\n%v", cmds)
	}
}

// blobsIn returns how many contents have their first bytes in a blob, too.
func blobsIn(contents map[ID]*Content) int {
	n := 0
	for _, c := range contents {
		for _, seg := range c.table.segments {
			if seg.blob && seg.start < min(c.Size, TextThreshold) {
				n++
			}
		}
	}
	return n
}

func TestSlicesOfInlineTextUseTheCache(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	message := []byte("Subject: x\r\n\r\n" + text(60_000))
	id := mustPut(t, s, message).ID
	session := s.WithCache(blobstore.NewFrameCache(blobstore.DefaultCacheBytes))
	cmds.Reset()
	const slice = 1000
	for off := 0; off+slice < len(message); off += slice {
		c := load(t, session, id, Want{})
		if got := read(t, c, int64(off), slice); !bytes.Equal(got, message[off:off+slice]) {
			t.Fatal("read back something else")
		}
	}
	if slices, n := len(message)/slice, cmds.Reads(""); n > slices+3 {
		t.Errorf("%d reads for %d slices, each with a Load", n, slices)
	}
}

// An attached message as a blob and the same message as a content have the same hash, but not the
// same frames.
func TestCacheTellsBlobsFromContents(t *testing.T) {
	s := newStore(t, dbtest.Database(t)).WithCache(blobstore.NewFrameCache(1 << 20))
	inner := []byte("Subject: x\r\n\r\n" + text(60_000))
	outer := []byte(multipart("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: " +
		"base64\r\n\r\n" + encode(inner, 76, "\r\n")))
	in, out := mustPut(t, s, inner), mustPut(t, s, outer)
	for range 2 {
		c := load(t, s, in.ID, Want{})
		if got := read(t, c, 20_000, 1000); !bytes.Equal(got, inner[20_000:21_000]) {
			t.Fatal("inner differs")
		}
		c = load(t, s, out.ID, Want{})
		if got := read(t, c, 30_000, 1000); !bytes.Equal(got, outer[30_000:31_000]) {
			t.Fatal("outer differs")
		}
	}
}

// A slice of a huge attachment touches two chunks at most.
func TestSliceOfHugeAttachment(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	const size = 24_000_000 // encoded 33 MB
	w := s.NewWriter(t.Context())
	defer w.Abort(t.Context())
	head := multipart(textHeader+"Hi.", base64Header)
	head = head[:len(head)-len("\r\n--=_1--\r\n")]
	if _, err := io.WriteString(w, head); err != nil {
		t.Fatal(err)
	}
	source := rand.New(rand.NewSource(1))
	piece := make([]byte, 57*20)
	want := make([]byte, 0, 4096+2*len(piece)*2)
	wantAt := int64(-1)
	const at = 30_000_000
	for done, encoded := 0, int64(0); done < size; done += len(piece) {
		source.Read(piece)
		lines := encode(piece, 76, "\r\n") + "\r\n"
		if end := encoded + int64(len(lines)); end > at && encoded < at+4096 {
			if wantAt < 0 {
				wantAt = encoded
			}
			want = append(want, lines...)
		}
		encoded += int64(len(lines))
		if _, err := io.WriteString(w, lines); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "--=_1--\r\n"); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	cmds.Reset()
	c := load(t, s, stored.ID, Want{Parts: true})
	body := c.Root().Find([]int{2}).BodyOffset
	if got := read(t, c, body+at, 4096); !bytes.Equal(got, want[at-wantAt:at-wantAt+4096]) {
		t.Fatal("the slice differs")
	}
	if n := cmds.Documents(blobstore.ChunksCollection); n > 2 || cmds.Total() != 3 {
		t.Errorf("4096 bytes at %d: %d chunks\n%v", at, n, cmds)
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, message := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			s := newStore(b, dbtest.Database(b))
			b.SetBytes(int64(len(message)))
			for i := 0; b.Loop(); i++ {
				if _, err := put(b.Context(), s, fmt.Appendf(nil, "X: %d\r\n%s", i, message), 1<<15); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, message := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			s := newStore(b, dbtest.Database(b))
			id := mustPut(b, s, []byte(message)).ID
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				c := load(b, s, id, Want{All: true})
				if err := c.WriteRange(b.Context(), io.Discard, 0, c.Size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchMessages() map[string]string {
	return map[string]string{
		"text 4 KB":         multipart(textHeader + text(4000)),
		"html base64 30 KB": multipart(textHeader+text(1000), base64Text+encode([]byte(text(30_000)), 76, "\r\n")),
		"attachment 5 MB":   multipart(textHeader+text(1000), base64Header+encode(random(1, 5_000_000), 76, "\r\n")),
	}
}
