package acceptance

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/internal/dovecottest"
	"gadwall/internal/mailgen"
)

// The comparison with Dovecot: the same corpus over the same protocols into both, one after the
// other on the same machine. Run it with
//
//	go test -run '^$' -bench Compare -benchtime 1x ./internal/acceptance
//
// and read the reported units; the time of an iteration as such means nothing.
const (
	compareMails       = 5000
	compareConnections = 8
)

// A peer is a mail server under comparison.
type peer struct {
	lmtp, imap, user, password string
	disk                       func() int64
}

func BenchmarkCompare(b *testing.B) {
	b.Run("gadwall", func(b *testing.B) {
		for b.Loop() {
			s := startServer(b)
			compare(b, peer{s.lmtp, s.imap, testUser, testPassword, func() int64 {
				if code := s.stop(b); code != 0 {
					b.Fatalf("exit status %d", code)
				}
				return diskUsage(b, s.dir)
			}})
		}
	})
	b.Run("dovecot", func(b *testing.B) {
		for b.Loop() {
			s := dovecottest.Start(b, dovecottest.LMTP())
			compare(b, peer{s.LMTPAddr, s.Addr, s.User, s.Password, func() int64 { return diskUsage(b, s.MailDir()) }})
		}
	})
}

func compare(b *testing.B, p peer) {
	corpus := mailgen.NewCorpus(1, mailgen.CorpusOptions{})
	var received atomic.Int64
	var next atomic.Int64
	var senders sync.WaitGroup
	start := time.Now()
	for range compareConnections {
		senders.Go(func() {
			c, err := dialLMTP(p.lmtp)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			for n := next.Add(1) - 1; n < compareMails; n = next.Add(1) - 1 {
				msg := corpus.Message(int(n))
				if err := c.send("grace@example.net", []string{p.user}, bytes.NewReader(msg)); err != nil {
					b.Errorf("message %d: %v", n, err)
					return
				}
				received.Add(int64(len(msg)))
			}
		})
	}
	senders.Wait()
	if b.Failed() {
		b.FailNow()
	}
	b.ReportMetric(compareMails/time.Since(start).Seconds(), "lmtp-msg/s")

	c := dialRawIMAP(b, p)
	c.command(b, "SELECT INBOX")
	for _, fetch := range []struct{ unit, items string }{
		{"flags-msg/s", "(UID FLAGS)"},
		{"envelope-msg/s", "(ENVELOPE)"},
		{"headers-msg/s", "(BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])"},
		{"bodies-msg/s", "(BODY.PEEK[])"},
	} {
		start := time.Now()
		if n := c.command(b, "FETCH 1:* "+fetch.items); n < compareMails {
			b.Fatalf("FETCH %s answered %d lines for %d messages", fetch.items, n, compareMails)
		}
		b.ReportMetric(compareMails/time.Since(start).Seconds(), fetch.unit)
	}
	c.nc.Close()
	b.ReportMetric(float64(p.disk())/float64(received.Load()), "disk/received")
	b.ReportMetric(0, "ns/op")
}

// rawIMAP reads answers as fast as they come, without parsing more than it must.
type rawIMAP struct {
	nc net.Conn
	r  *bufio.Reader
}

func dialRawIMAP(b *testing.B, p peer) *rawIMAP {
	nc, err := net.Dial("tcp", p.imap)
	if err != nil {
		b.Fatal(err)
	}
	c := &rawIMAP{nc: nc, r: bufio.NewReaderSize(nc, 1<<20)}
	if _, err := c.r.ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	c.command(b, fmt.Sprintf("LOGIN %q %q", p.user, p.password))
	return c
}

// command returns the number of lines before the tagged OK, those of literals included.
func (c *rawIMAP) command(b *testing.B, text string) int {
	if err := c.nc.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fprintf(c.nc, "tag000 %s\r\n", text); err != nil {
		b.Fatal(err)
	}
	for lines := 0; ; lines++ {
		line, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			b.Fatalf("%s: %v", text, err)
		}
		if rest, ok := bytes.CutPrefix(line, []byte("tag000 ")); ok {
			if !strings.HasPrefix(string(rest), "OK") {
				b.Fatalf("%s: %s", text, rest)
			}
			return lines
		}
	}
}
