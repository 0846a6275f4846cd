package imap

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
)

// benchMailbox starts a server with n messages in INBOX.
func benchMailbox(b *testing.B, n int, message func(i int) []byte) *testClient {
	s := newTestServer(b)
	ctx := b.Context()
	box, err := s.store.MailboxByPath(ctx, s.user.ID, "INBOX")
	if err != nil {
		b.Fatal(err)
	}
	const batch = 200
	var items []mailstore.AppendItem
	flush := func() {
		if len(items) == 0 {
			return
		}
		if _, err := s.store.Append(ctx, items); err != nil {
			b.Fatal(err)
		}
		items = items[:0]
	}
	for i := range n {
		w := s.contents.NewWriter(ctx)
		if _, err := io.Copy(w, bytes.NewReader(message(i))); err != nil {
			b.Fatal(err)
		}
		stored, err := w.Finish(ctx, 1)
		if err != nil {
			b.Fatal(err)
		}
		items = append(items, mailstore.NewAppendItem(stored, mailstore.Delivery{
			Mailbox: box.Key, Magic: stored.Magics[0], Flags: mailstore.Flags(i % 3)}))
		if len(items) == batch {
			flush()
		}
	}
	flush()
	c := s.login(b)
	c.ok("SELECT INBOX")
	return c
}

// drain sends a command that must succeed and throws its answer away.
func (c *testClient) drain(command string) (octets int64) {
	_, octets, err := c.Discard("%s", command)
	if err != nil {
		c.t.Fatal(err)
	}
	return octets
}

func BenchmarkCommands(b *testing.B) {
	const messages = 5000
	c := benchMailbox(b, messages, func(i int) []byte { return mailgen.Of(mailgen.Plain, uint64(i)) })
	for _, bench := range []struct{ name, command string }{
		{"fetch-uid-flags", "FETCH 1:* (UID FLAGS)"},
		{"fetch-envelope", "FETCH 1:* (ENVELOPE)"},
		{"fetch-bodystructure", "FETCH 1:* (BODYSTRUCTURE)"},
		{"fetch-header-fields", "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (From To Subject Date)])"},
		{"fetch-whole", "FETCH 1:* (BODY.PEEK[])"},
		{"search-unseen", "SEARCH UNSEEN"},
		{"search-subject", "SEARCH SUBJECT meeting"},
		{"search-since", "SEARCH SINCE 1-Jan-2000"},
		{"search-text", "SEARCH TEXT unlikelyword"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			octets := int64(0)
			for b.Loop() {
				octets = c.drain(bench.command)
			}
			b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.SetBytes(octets)
		})
	}
}

// BenchmarkFetchCorpus fetches mail with attachments, which are blobs.
func BenchmarkFetchCorpus(b *testing.B) {
	corpus := mailgen.NewCorpus(1, mailgen.CorpusOptions{})
	const messages = 1000
	c := benchMailbox(b, messages, corpus.Message)
	b.ReportAllocs()
	octets := int64(0)
	for b.Loop() {
		octets = c.drain("FETCH 1:* (BODY.PEEK[])")
	}
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.SetBytes(octets)
}

// BenchmarkFetchOne fetches text and attachments of one mail after the other, as a user reads.
func BenchmarkFetchOne(b *testing.B) {
	const messages, file = 400, 3 << 20
	corpus := mailgen.NewCorpus(1, mailgen.CorpusOptions{})
	c := benchMailbox(b, messages, func(i int) []byte {
		if i == 0 {
			return []byte(withFile(file))
		}
		return corpus.Message(i)
	})
	b.Run("text", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n = n%(messages-1) + 1
			c.drain(fmt.Sprintf("FETCH %d (BODY.PEEK[1])", n+1))
		}
	})
	b.Run("slices", func(b *testing.B) {
		const slice = 64 << 10
		at, total := 0, int64(0)
		for b.Loop() {
			total += c.drain(fmt.Sprintf("FETCH 1 (BODY.PEEK[2]<%d.%d>)", at, slice))
			if at += slice; at > file*4/3 {
				at = 0
			}
		}
		b.SetBytes(total / int64(b.N))
	})
	b.Run("large", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(c.drain("FETCH 1 (BODY.PEEK[])"))
		}
	})
}
