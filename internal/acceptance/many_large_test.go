package acceptance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/imapconn"
)

// TestManyLargeMessages receives large messages from many senders at once, by LMTP and by APPEND,
// and sends them to as many readers: the memory for one message must be a small constant, whatever
// its size. GADWALL_TEST_MANY_LARGE=NxM has N messages of M megabytes instead of 20 of 20.
func TestManyLargeMessages(t *testing.T) {
	count, megabytes := 20, 20
	if v := os.Getenv("GADWALL_TEST_MANY_LARGE"); v != "" {
		if _, err := fmt.Sscanf(v, "%dx%d", &count, &megabytes); err != nil {
			t.Fatalf("GADWALL_TEST_MANY_LARGE: %v", err)
		}
	}
	const (
		// each is what a message under way may cost.
		each = 4 << 20
		// shared is for the database: its cache, its write buffers and what it compacts.
		shared = 64 << 20
		// logins is for the passwords that are checked at a time: 19 MiB for each processor, of
		// which the garbage collector lets as much again lie about.
		logins = 80 << 20
	)
	size := megabytes * 1_000_000 / 78 * 57 // decoded
	s := startServer(t, "--max-message-size", "2GB")
	var length int64 // of every message
	{
		var n countWriter
		withAttachment(&n, "large.bin", 0, size, 76)
		length = int64(n)
	}
	phase := func(name string, budget int64, one func(i int) error) {
		t.Helper()
		// A new process, so that no phase lives on memory that the one before it left.
		if code := s.stop(t); code != 0 {
			t.Fatalf("exit status %d on SIGTERM", code)
		}
		s.start(t)
		s.deliver(t, []byte("Subject: warm up\r\n\r\nEvery code path has run once.\r\n"))
		if err := s.fetchDiscard(1); err != nil {
			t.Fatal(err)
		}
		s.resetPeak(t)
		idle := s.memory(t, "VmRSS")
		start := time.Now()
		var all sync.WaitGroup
		errs := make([]error, count)
		for i := range count {
			all.Go(func() { errs[i] = one(i) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		grown := s.memory(t, "VmHWM") - idle
		took := time.Since(start)
		t.Logf("%s %d x %d MB in %v (%.0f MB/s): resident %d MiB before, grew by %d MiB at the peak, %.1f MiB for each",
			name, count, megabytes, took.Round(time.Millisecond), float64(length)*float64(count)/1e6/took.Seconds(),
			idle>>20, grown>>20, float64(grown)/(1<<20)/float64(count))
		if budget += int64(count) * each; grown > budget {
			t.Errorf("%s: memory grew by %d MiB, want at most %d MiB", name, grown>>20, budget>>20)
		}
	}
	phase("LMTP", shared, func(i int) error {
		c, err := dialLMTP(s.lmtp)
		if err != nil {
			return err
		}
		defer c.Close()
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(writeLarge(pw, uint64(i), size)) }()
		defer pr.Close()
		return c.send("grace@example.net", []string{testUser}, pr)
	})
	phase("APPEND", shared+logins, func(i int) error {
		c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprintf(c, "a APPEND INBOX {%d+}\r\n", length)
		if err := writeLarge(c, uint64(1000+i), size); err != nil {
			return err
		}
		if _, err := io.WriteString(c, "\r\n"); err != nil {
			return err
		}
		_, status, err := c.Finish("a") // behind INPROGRESS, on a slow machine
		if err == nil && !strings.HasPrefix(status, "OK") {
			err = errors.New(status)
		}
		return err
	})
	phase("FETCH", shared+logins, func(i int) error { return s.fetchDiscard(2 + i) })
}

// writeLarge writes a message with an attachment of size bytes.
func writeLarge(w io.Writer, seed uint64, size int) error {
	b := bufio.NewWriterSize(w, 64<<10)
	withAttachment(b, "large.bin", seed, size, 76)
	return b.Flush()
}

type countWriter int64

func (n *countWriter) Write(p []byte) (int, error) {
	*n += countWriter(len(p))
	return len(p), nil
}

// fetchDiscard reads message seq of INBOX to its end.
func (s *server) fetchDiscard(seq int) error {
	c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Must("EXAMINE INBOX"); err != nil {
		return err
	}
	_, _, err = c.Discard("FETCH %d BODY.PEEK[]", seq)
	return err
}
