package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// nullStore takes mail for everybody and keeps nothing, so that a benchmark measures the
// conversation alone.
type nullStore struct{ user *mailstore.User }

func (n nullStore) ResolveAddress(context.Context, string) (*mailstore.Recipient, error) {
	return &mailstore.Recipient{User: n.user}, nil
}

func (nullStore) MailboxByPath(context.Context, mailkey.UserID, string) (*mailstore.Mailbox, error) {
	return nil, mailstore.ErrNoSuchMailbox
}

func (n nullStore) Inbox(_ context.Context, user mailkey.UserID) (mailkey.Mailbox, error) {
	return user.Mailbox(1), nil
}

func (n nullStore) NewWriter(context.Context) contentWriter { return nullWriter{} }

func (n nullStore) Deliver(
	_ context.Context, _ *contents.Stored, to []mailstore.Delivery,
) ([]mailstore.Delivered, error) {
	return make([]mailstore.Delivered, len(to)), nil
}

type nullWriter struct{}

func (nullWriter) Write(p []byte) (int, error) { return len(p), nil }

func (nullWriter) Finish(_ context.Context, refs int) (*contents.Stored, error) {
	return &contents.Stored{Magics: make([]dedupe.Magic, refs)}, nil
}

func (nullWriter) Abort(context.Context) {}

// BenchmarkConversation sends mails over loopback, one after the other on one connection. The
// store keeps nothing.
func BenchmarkConversation(b *testing.B) {
	for _, size := range []int{2 << 10, 64 << 10, 8 << 20} {
		line := strings.Repeat("x", 76) + "\r\n"
		mail := "Subject: x\r\n\r\n" + strings.Repeat(line, size/len(line)) + ".\r\n"
		for _, how := range []string{"DATA", "BDAT"} {
			b.Run(fmt.Sprintf("%s/%dKiB", how, size>>10), func(b *testing.B) {
				c := benchClient(b, nullStore{&mailstore.User{Username: "ada@example.com"}})
				b.SetBytes(int64(len(mail)))
				b.ReportAllocs()
				for b.Loop() {
					c.send("MAIL FROM:<grace@example.net>\r\nRCPT TO:<ada@example.com>\r\n")
					if how == "BDAT" {
						c.send(fmt.Sprintf("BDAT %d LAST\r\n", len(mail)))
						c.want("250 ")
						c.want("250 ")
					} else {
						c.send("DATA\r\n")
						c.want("250 ")
						c.want("250 ")
						c.want("354 ")
					}
					c.send(mail)
					c.want("250 2.1.5")
				}
			})
		}
	}
}

// BenchmarkDelivery sends small mails into a store, by as many connections as there are
// processors.
func BenchmarkDelivery(b *testing.B) {
	st := mailStore{realStore(b)}
	ts := startServer(b, st, Options{LMTP: true, Logger: slog.New(slog.DiscardHandler)})
	b.RunParallel(func(pb *testing.PB) {
		c := ts.dial(b)
		c.want("220 ")
		c.cmd("LHLO c", "250 ")
		for pb.Next() {
			c.send("MAIL FROM:<g@example.net>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n")
			c.want("250 ")
			c.want("250 ")
			c.want("354 ")
			c.send("Subject: x\r\n\r\n" + strings.Repeat("A line of text\r\n", 100) + ".\r\n")
			c.want("250 2.1.5")
		}
	})
}

func benchClient(b *testing.B, st store) *client {
	ts := startServer(b, st, Options{LMTP: true, Logger: slog.New(slog.DiscardHandler)})
	c := ts.dial(b)
	c.want("220 ")
	c.cmd("LHLO c", "250 ")
	return c
}

// BenchmarkIdleConnection says what a connection takes that has delivered one mail and waits for
// the next command: B/conn, of heap and stacks, both sides of the socket aside.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 500
	st := nullStore{&mailstore.User{Username: "ada@example.com"}}
	for b.Loop() {
		ts := startServer(b, st, Options{
			LMTP: true, Logger: slog.New(slog.DiscardHandler), MaxConnectionsPerAddress: conns,
		})
		before := inUse()
		var open []net.Conn
		buf := make([]byte, 4<<10)
		for range conns {
			conn, err := net.Dial("tcp", ts.addr)
			if err != nil {
				b.Fatal(err)
			}
			open = append(open, conn)
			for _, s := range []string{"", "LHLO c\r\n", "MAIL FROM:<g@example.net>\r\n",
				"RCPT TO:<ada@example.com>\r\n", "BDAT 3 LAST\r\nx\r\n"} {
				io.WriteString(conn, s)
				if _, err := conn.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(inUse()-before)/conns, "B/conn")
		for _, conn := range open {
			conn.Close()
		}
		ts.stop(b)
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
