package acceptance

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// writeBase64 writes size bytes, made from seed, as base64 in lines of lineLen characters.
func writeBase64(w io.Writer, seed uint64, size, lineLen int) {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24),
		byte(seed >> 32), byte(seed >> 40)})
	perLine := lineLen / 4 * 3
	raw := make([]byte, perLine)
	line := make([]byte, lineLen+2)
	for size > 0 {
		n := min(size, perLine)
		rng.Read(raw[:n])
		base64.StdEncoding.Encode(line, raw[:n])
		enc := base64.StdEncoding.EncodedLen(n)
		line[enc], line[enc+1] = '\r', '\n'
		w.Write(line[:enc+2])
		size -= n
	}
}

// withAttachment writes a message whose second part is an attachment of size bytes.
func withAttachment(w io.Writer, name string, seed uint64, size, lineLen int) {
	fmt.Fprintf(w, "From: grace@example.net\r\nTo: %s\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n"+
		"--frontier\r\nContent-Type: text/plain\r\n\r\nPlease find %s attached.\r\n"+
		"--frontier\r\nContent-Type: application/pdf; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", testUser, name, name, name, name)
	writeBase64(w, seed, size, lineLen)
	io.WriteString(w, "--frontier--\r\n")
}

// database connects to the running server's database through its socket, as `gadwall user` does.
func (s *server) database(t testing.TB) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(s.databaseURI()).SetServerSelectionTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Disconnect(t.Context()) })
	return client.Database("gadwall")
}

// TestAttachmentOnce sends the same attachment in many mails, wrapped at different line lengths and
// under different names: one blob with as many references, and the disk grows by about one copy.
func TestAttachmentOnce(t *testing.T) {
	const (
		mails = 20
		size  = 5 << 20
	)
	s := startServer(t)
	lineLens := []int{76, 72, 64, 60, 76, 4 * 200, 128}
	deliver := func(from, to int) {
		for i := from; i < to; i++ {
			var msg bytes.Buffer
			withAttachment(&msg, fmt.Sprintf("report-%d.pdf", i), 7, size, lineLens[i%len(lineLens)])
			s.deliver(t, msg.Bytes())
		}
	}
	// settled is the size of the data directory once the logs of the last run have been worked off.
	settled := func() int64 {
		for range 2 {
			if code := s.stop(t); code != 0 {
				t.Errorf("exit status %d on SIGTERM", code)
			}
			s.start(t)
		}
		return diskUsage(t, s.dir)
	}
	empty := settled()
	deliver(0, 1)
	one := settled()
	deliver(1, mails)
	all := settled()
	t.Logf("the data directory: %d bytes empty, %d with one mail of %d bytes, %d with %d mails",
		empty, one, size, all, mails)
	if one-empty > 2*size {
		t.Errorf("one mail takes %d bytes, want about %d", one-empty, size)
	}
	// The log's preallocated file, 4.6 MB, may or may not be there; a second copy would take more.
	if all-one > size {
		t.Errorf("%d more mails with the same attachment take %d bytes", mails-1, all-one)
	}

	files := s.database(t).Collection("blobs.files")
	cur, err := files.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		Length   int64
		Metadata struct {
			Size, Refs int64
		}
	}
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	if len(docs) != 1 || docs[0].Metadata.Refs != mails || docs[0].Metadata.Size != size {
		t.Errorf("blobs.files holds %+v, want one blob of %d bytes with %d references", docs, size, mails)
	}
}

// TestLargeMessage streams 200 MB through the server and reads a slice of it: neither may cost
// memory.
func TestLargeMessage(t *testing.T) {
	const (
		size   = 150_000_000 // decoded; about 200 MB on the wire
		budget = 64 << 20
	)
	s := startServer(t, "--max-message-size", "300MB")
	s.deliver(t, []byte("Subject: warm up\r\n\r\nEvery code path has run once.\r\n"))
	s.resetPeak(t)
	idle := s.memory(t, "VmRSS")

	c, err := dialLMTP(s.lmtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pr, pw := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(pw, 1<<16)
		withAttachment(w, "large.bin", 9, size, 76)
		pw.CloseWithError(w.Flush())
	}()
	start := time.Now()
	if err := c.send("grace@example.net", []string{testUser}, pr); err != nil {
		t.Fatal(err)
	}
	peak := s.memory(t, "VmHWM")
	t.Logf("200 MB in %v: resident %d MiB idle, %d MiB at the peak",
		time.Since(start).Round(time.Millisecond), idle>>20, peak>>20)
	if peak-idle > budget {
		t.Errorf("peak memory grew by %d MiB over idle, want less than %d MiB", (peak-idle)>>20, budget>>20)
	}

	// Reading it back must not cost more, and a slice is what the whole has there.
	im := s.login(t)
	if _, err := im.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	s.resetPeak(t)
	before := s.memory(t, "VmRSS") // passwords take memory, too
	const off, n = 100_000_000, 4096
	section := func(partial *imap.SectionPartial) *imap.FetchItemBodySection {
		return &imap.FetchItemBodySection{Part: []int{2}, Peek: true, Partial: partial}
	}
	want := make([]byte, n)
	whole := &windowHash{off: off, window: want}
	fetchSection(t, im, 2, section(nil), whole)
	var slice bytes.Buffer
	fetchSection(t, im, 2, section(&imap.SectionPartial{Offset: off, Size: n}), &slice)
	if !bytes.Equal(slice.Bytes(), want) {
		t.Errorf("BODY[2]<%d.%d> differs from the same bytes of BODY[2]", off, n)
	}
	encoded := whole.n
	lines := (size + 56) / 57
	// the CRLF before the boundary belongs to it
	if wantLen := int64(size/3*4 + 2*lines); encoded != wantLen-2 {
		t.Errorf("BODY[2] has %d bytes, want %d", encoded, wantLen-2)
	}
	grown := s.memory(t, "VmHWM") - before
	t.Logf("reading grew resident memory by %d MiB", grown>>20)
	if grown > budget {
		t.Errorf("reading grew memory by %d MiB, want less than %d MiB", grown>>20, budget>>20)
	}
}

// windowHash counts what is written and keeps a window of it.
type windowHash struct {
	n, off int64
	window []byte
}

func (w *windowHash) Write(p []byte) (int, error) {
	if lo, hi := max(w.n, w.off), min(w.n+int64(len(p)), w.off+int64(len(w.window))); lo < hi {
		copy(w.window[lo-w.off:], p[lo-w.n:hi-w.n])
	}
	w.n += int64(len(p))
	return len(p), nil
}
