package imap

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/bits"
	"net"
	"strings"
	"testing"
)

// compressed is a connection whose bytes are compressed, with a flush for each Write.
type compressed struct {
	net.Conn
	in    io.Reader
	out   *flate.Writer
	plain io.Reader // what comes before and behind the compressed bytes
}

func (c *compressed) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *compressed) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	if err == nil {
		err = c.out.Flush()
	}
	return n, err
}

// compress sends COMPRESS and goes on compressed.
func (c *testClient) compress() {
	c.t.Helper()
	c.ok("COMPRESS DEFLATE")
	out, err := flate.NewWriter(c.Conn.Conn, 6)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Upgrade(&compressed{c.Conn.Conn, flate.NewReader(c.In), out, c.In})
}

// unauthenticate sends UNAUTHENTICATE, which ends compression.
func (c *testClient) unauthenticate() {
	c.t.Helper()
	c.ok("UNAUTHENTICATE")
	z := c.Conn.Conn.(*compressed)
	if rest, err := io.ReadAll(c.In); err != nil || len(rest) > 0 {
		c.t.Fatalf("%q behind UNAUTHENTICATE, %v", rest, err)
	}
	c.Upgrade(&plain{z.Conn, z.plain})
}

// plain is a connection whose bytes are not compressed any more.
type plain struct {
	net.Conn
	in io.Reader
}

func (c *plain) Read(p []byte) (int, error) { return c.in.Read(p) }

// A session goes on compressed with everything it can do (RFC 4978 section 3).
func TestCompress(t *testing.T) {
	s := newTestServer(t)
	c := s.dial(t)
	c.refused("BAD", "COMPRESS DEFLATE")
	c.ok("LOGIN %q %q", testUser, testPassword)
	c.refused("BAD", "COMPRESS")
	c.refused("BAD", "COMPRESS NONSENSE")
	c.refused("BAD", "COMPRESS DEFLATE DEFLATE")
	if said, _ := c.ok("CAPABILITY"); !strings.Contains(said[0], " COMPRESS=DEFLATE") {
		t.Errorf("%q", said)
	}
	c.compress()
	c.refused("NO [COMPRESSIONACTIVE]", "COMPRESS DEFLATE")
	if said, _ := c.ok("CAPABILITY"); strings.Contains(said[0], "COMPRESS") {
		t.Errorf("%q", said)
	}
	text := "Subject: large\r\n\r\n" + strings.Repeat("A line of a large message.\r\n", 30_000)
	c.append("INBOX", "", text)
	c.append("INBOX", "", message("small"))
	c.ok("SELECT INBOX")
	said, _ := c.ok("FETCH 1 BODY.PEEK[]")
	if want := fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s)", len(text), text); len(said) != 1 || said[0] != want {
		t.Errorf("%.100q", said)
	}
	// What came with the command ends IDLE, too.
	c.send("i IDLE\r\nDONE\r\n")
	c.until("i")
	c.send("j IDLE\r\n")
	for c.line() != "+ idling" {
	}
	other := s.login(t)
	other.append("INBOX", "", message("another"))
	for !strings.HasSuffix(c.line(), " EXISTS") {
	}
	c.send("DONE\r\n")
	c.until("j")
	if _, status := c.do("LOGOUT"); !strings.HasPrefix(status, "OK") {
		t.Error(status)
	}
}

// UNAUTHENTICATE ends compression (RFC 8437 section 4.1), however the client ends its own, and what
// it sends with the command is plain text. Compression may begin again.
func TestCompressUnauthenticate(t *testing.T) {
	s := newTestServer(t)
	for name, end := range map[string]func(*flate.Writer) error{
		"flush": (*flate.Writer).Flush, "last block": (*flate.Writer).Close,
		"both": func(w *flate.Writer) error { w.Flush(); return w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := s.login(t)
			for range 3 {
				c.ok("COMPRESS DEFLATE")
				var sent bytes.Buffer
				w, err := flate.NewWriter(&sent, 6)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprint(w, "u1 NOOP\r\n")
				w.Flush()
				fmt.Fprint(w, "u2 UNAUTHENTICATE\r\n")
				if err := end(w); err != nil {
					t.Fatal(err)
				}
				c.send(sent.String() + fmt.Sprintf("u3 LOGIN %q %q\r\n", testUser, testPassword))
				said, err := io.ReadAll(flate.NewReader(c.In)) // up to the last block
				if err != nil || !strings.HasPrefix(string(said), "u1 OK ") ||
					!strings.Contains(string(said), "\r\nu2 OK [CAPABILITY IMAP4rev1 ") {
					t.Fatalf("%q, %v", said, err)
				}
				c.until("u3")
				if said, _ := c.ok("CAPABILITY"); !strings.Contains(said[0], " COMPRESS=DEFLATE") {
					t.Errorf("%q", said)
				}
				c.ok("SELECT INBOX")
				c.ok("UNSELECT")
			}
		})
	}
	t.Run("compressed behind it", func(t *testing.T) {
		c := s.login(t)
		c.compress()
		c.send("u UNAUTHENTICATE\r\nv NOOP\r\n")
		c.until("u")
		if said, _ := io.ReadAll(c.In); len(said) != 0 {
			t.Errorf("%q", said)
		}
	})
}

// A client that ends its flushes as zlib's Z_PARTIAL_FLUSH does is answered at once, also when the
// command comes in one packet with COMPRESS.
func TestCompressPartialFlush(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	// Fixed codes (RFC 1951 section 3.2.6): the text, the end of the block, and an empty block.
	var stream []byte
	n := 0
	put := func(v uint, width int) {
		for range width {
			if n%8 == 0 {
				stream = append(stream, 0)
			}
			stream[n/8] |= byte(v&1) << (n % 8)
			v >>= 1
			n++
		}
	}
	sent := 0
	flushed := func(text string) string {
		put(0b010, 3)
		for _, b := range []byte(text) {
			put(uint(bits.Reverse8(0x30+b)), 8)
		}
		put(0, 7)
		put(0b010, 3)
		put(0, 7)
		part := string(stream[sent : n/8])
		sent = n / 8
		return part
	}
	c.send("c COMPRESS DEFLATE\r\n" + flushed("d NOOP\r\n"))
	c.until("c")
	c.Upgrade(&compressed{Conn: c.Conn.Conn, in: flate.NewReader(c.In)})
	c.until("d")
	for i := range 20 {
		tag := fmt.Sprintf("e%d", i)
		if _, err := c.Conn.Conn.(*compressed).Conn.Write([]byte(flushed(tag + " NOOP\r\n"))); err != nil {
			t.Fatal(err)
		}
		c.until(tag)
	}
}

// A flush in a segment of its own decodes to nothing: it ends neither IDLE nor, with NOTIFY, the wait
// for the next command.
func TestCompressFlushAlone(t *testing.T) {
	s := newTestServer(t)
	other := s.login(t)
	c := s.login(t)
	c.compress()
	c.ok("SELECT INBOX")
	flush := func() {
		// An empty stored block (RFC 1951 section 3.2.4), which begins with a whole octet.
		if _, err := c.Conn.Conn.(*compressed).Conn.Write([]byte{0, 0, 0, 0xff, 0xff}); err != nil {
			t.Fatal(err)
		}
		other.ok("NOOP")
	}
	hears := func(want string) {
		t.Helper()
		other.append("INBOX", "", message(want))
		for line := ""; line != want; {
			line = c.line()
		}
	}
	c.send("i IDLE\r\n")
	for c.line() != "+ idling" {
	}
	flush()
	hears("* 1 EXISTS")
	flush()
	hears("* 2 EXISTS")
	c.send("DONE\r\n")
	c.until("i")
	c.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
	flush()
	hears("* 3 EXISTS")
	c.ok("NOOP")
}

// What is not compressed after COMPRESS ends the connection: it is never taken for a command.
func TestCompressPlainText(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	c.send("c COMPRESS DEFLATE\r\nd CREATE forged\r\n")
	c.until("c")
	if _, err := io.ReadAll(c.In); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal(err)
		}
	}
	if said, _ := s.login(t).ok("LIST %q forged", ""); len(said) != 0 {
		t.Errorf("%q", said)
	}
}
