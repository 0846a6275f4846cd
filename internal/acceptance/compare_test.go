package acceptance

import (
	"bufio"
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/internal/dovecottest"
	"gadwall/internal/imapconn"
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

	c, err := imapconn.Login(p.imap, p.user, p.password, ioTimeout)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	c.In = bufio.NewReaderSize(c.Conn, 1<<20) // the client costs as little as it can
	if _, err := c.Must("SELECT INBOX"); err != nil {
		b.Fatal(err)
	}
	for _, fetch := range []struct{ unit, items string }{
		{"flags-msg/s", "(UID FLAGS)"},
		{"envelope-msg/s", "(ENVELOPE)"},
		{"headers-msg/s", "(BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])"},
		{"bodies-msg/s", "(BODY.PEEK[])"},
	} {
		start := time.Now()
		if n, _, err := c.Discard("FETCH 1:* %s", fetch.items); err != nil || n < compareMails {
			b.Fatalf("FETCH %s answered %d lines for %d messages, %v", fetch.items, n, compareMails, err)
		}
		b.ReportMetric(compareMails/time.Since(start).Seconds(), fetch.unit)
	}
	b.ReportMetric(float64(p.disk())/float64(received.Load()), "disk/received")
	b.ReportMetric(0, "ns/op")
}
