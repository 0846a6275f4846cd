package workload

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// defaultBigMail is the size of a large mail. bigFetches is how often a repeat reads it, bigSlices how
// often it reads a slice of it.
const defaultBigMail, bigFetches, bigSlices = 200_000_000, 3, 200

// bigPiece is how much of a large mail is compared at once.
const bigPiece = 256 << 10

// bigMail is a mail of random bytes, which is in a file rather than in memory.
type bigMail struct {
	s      *suite
	file   *os.File
	size   int64
	lmtp   *lmtpConn
	c      *session // nil until there is something to read, and after an error
	before int      // messages of the INBOX
	begin  int64    // where the file begins in the last mail
}

// openBigMail delivers to the first user with one connection, and reads with one.
func openBigMail(ctx context.Context, s *suite) ([]step, error) {
	b := &bigMail{s: s, size: cmp.Or(s.BigMail, defaultBigMail)}
	size := map[string]float64{"size": float64(b.size)}
	steps := []step{
		{name: "lmtp", calls: 1, workers: 1, params: size, before: b.make, writes: true,
			op: func(context.Context, int, int64) (int64, error) { return b.deliver(ctx) },
			after: func(context.Context, int) (map[string]float64, error) {
				_, err := b.fetch(ctx)
				return nil, err
			}},
		{name: "fetch", calls: bigFetches, workers: 1, params: size,
			op: func(context.Context, int, int64) (int64, error) { return b.fetch(ctx) }},
		{name: "slice", calls: s.callsOf(bigSlices), warm: 1, workers: 1, params: size,
			close: func() { b.close(ctx) },
			op:    func(_ context.Context, _ int, call int64) (int64, error) { return b.slice(ctx, call) }},
	}
	var err error
	if b.file, err = os.CreateTemp(s.Dir, "big-"); err != nil {
		return steps, err
	}
	if b.before, err = s.inbox(ctx, 0); err != nil {
		b.before = -1
		return steps, err
	}
	b.lmtp, err = dialLMTP(ctx, s.Target.LMTP)
	return steps, err
}

// bigEnd is what follows the attachment and the line end that belongs to the boundary.
const bigEnd = "--=_big--\r\n"

// bigLine is how many bytes a line of base64 has before it is encoded.
const bigLine = 57

// make writes another mail into the file.
func (b *bigMail) make(_ context.Context, repeat int) error {
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := b.file.Truncate(0); err != nil {
		return err
	}
	w := bufio.NewWriterSize(b.file, bigPiece)
	begin := fmt.Sprintf("From: Big <big@example.com>\r\nTo: bench@example.com\r\nSubject: large %d\r\n"+
		"Message-ID: <big.%d.%s@example.com>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/mixed; boundary=\"=_big\"\r\n\r\n--=_big\r\nContent-Type: text/plain\r\n\r\n"+
		"A large file.\r\n--=_big\r\nContent-Type: application/octet-stream\r\n"+
		"Content-Disposition: attachment; filename=\"large.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		repeat, repeat, b.s.Options.Run)
	b.begin = int64(len(begin))
	if _, err := w.WriteString(begin); err != nil {
		return err
	}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], b.s.Corpus.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(repeat))
	random := rand.NewChaCha8(seed)
	raw := make([]byte, bigLine)
	line := make([]byte, base64.StdEncoding.EncodedLen(bigLine)+len("\r\n"))
	copy(line[len(line)-2:], "\r\n")
	for left := b.size - int64(len(begin)+len(bigEnd)); left > 0; left -= int64(len(line)) {
		_, _ = random.Read(raw) // never fails
		base64.StdEncoding.Encode(line, raw)
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if _, err := w.WriteString(bigEnd); err != nil {
		return err
	}
	return w.Flush()
}

// deliver sends the mail.
func (b *bigMail) deliver(ctx context.Context) (octets int64, err error) {
	if b.lmtp == nil {
		if b.lmtp, err = dialLMTP(ctx, b.s.Target.LMTP); err != nil {
			return 0, err
		}
	}
	if octets, err = b.file.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	mail := io.NewSectionReader(b.file, 0, octets)
	if err := b.lmtp.deliverPlain("big@example.com", b.s.Target.User(0), mail); err != nil {
		b.lmtp.close()
		b.lmtp = nil
		return 0, err
	}
	if b.c != nil { // its view has not the mail
		b.c.close()
		b.c = nil
	}
	return octets, nil
}

// fetch reads the last message of the INBOX and compares it with the file.
func (b *bigMail) fetch(ctx context.Context) (octets int64, err error) { return b.do(ctx, b.read) }

// slice reads octets from a random place of the attachment.
func (b *bigMail) slice(ctx context.Context, call int64) (octets int64, err error) {
	size, err := b.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	random := rand.New(rand.NewPCG(b.s.Corpus.Seed, uint64(call)))
	attached := size - b.begin - int64(len("\r\n"+bigEnd))
	n := min(sliceSize, attached)
	from := random.Int64N(attached - n + 1)
	return b.do(ctx, func(c *session) (int64, error) {
		got, err := fetchOne(c, fmt.Sprintf("FETCH * BODY.PEEK[2]<%d.%d>", from, n), "BODY[2]")
		if err != nil {
			return 0, err
		}
		want := make([]byte, n)
		if _, err := b.file.ReadAt(want, b.begin+from); err != nil {
			return 0, err
		}
		if got != string(want) {
			return 0, wrong("the attachment from %d on: %s", from, shown(got))
		}
		return n, nil
	})
}

// do reads from the INBOX.
func (b *bigMail) do(ctx context.Context, read func(c *session) (int64, error)) (octets int64, err error) {
	if b.c == nil {
		if b.c, err = b.s.connect(ctx, 0); err != nil {
			return 0, err
		}
		if _, err = examine(b.c, "INBOX"); err != nil {
			return 0, err
		}
	}
	if octets, err = read(b.c); err != nil {
		b.c.close()
		b.c = nil
	}
	return octets, err
}

func (b *bigMail) read(c *session) (octets int64, err error) {
	tag, err := c.Begin("FETCH * BODY.PEEK[]")
	if err != nil {
		return 0, err
	}
	found := false
	for {
		if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
			return 0, err
		}
		line, err := c.In.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(status, "OK") {
				return 0, fmt.Errorf("FETCH: %s", shown(status))
			}
			if !found {
				return 0, wrong("FETCH is answered without the message")
			}
			return octets, nil
		}
		head, ok := strings.CutSuffix(line, "}\r\n")
		if !ok {
			continue
		}
		brace := strings.LastIndexByte(head, '{')
		n, err := strconv.ParseInt(head[brace+1:], 10, 64)
		if err != nil || !strings.Contains(strings.ToUpper(head), "BODY[]") {
			return 0, wrong("FETCH: %s", shown(line))
		}
		if err := b.compare(c, n); err != nil {
			return 0, err
		}
		found, octets = true, n
	}
}

// compare reads a literal of n octets, of which the last ones are the mail: the server may have put
// fields before it.
func (b *bigMail) compare(c *session, n int64) error {
	size, err := b.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if n < size {
		return wrong("the message has %d octets of %d", n, size)
	}
	if _, err := io.CopyN(io.Discard, c.In, n-size); err != nil {
		return err
	}
	got, want := make([]byte, bigPiece), make([]byte, bigPiece)
	for at := int64(0); at < size; {
		piece := int(min(bigPiece, size-at))
		if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.In, got[:piece]); err != nil {
			return err
		}
		if _, err := b.file.ReadAt(want[:piece], at); err != nil {
			return err
		}
		if !bytes.Equal(got[:piece], want[:piece]) {
			return wrong("the message differs within %d octets from %d on", piece, at)
		}
		at += int64(piece)
	}
	return nil
}

func (b *bigMail) close(ctx context.Context) {
	if b.lmtp != nil {
		b.lmtp.close()
	}
	if b.c != nil {
		b.c.close()
	}
	if b.file != nil {
		b.file.Close()
		_ = os.Remove(b.file.Name()) // a temporary file
	}
	if b.file != nil && b.before >= 0 {
		b.s.takeBack(ctx, 0, b.before)
	}
}
