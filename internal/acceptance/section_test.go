package acceptance

import (
	"io"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// fetchSection copies one body section of one message to w as it arrives.
func fetchSection(t testing.TB, c *imapclient.Client, seq uint32, section *imap.FetchItemBodySection, w io.Writer) {
	t.Helper()
	cmd := c.Fetch(imap.SeqSetNum(seq), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}})
	found := false
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		for item := msg.Next(); item != nil; item = msg.Next() {
			if data, ok := item.(imapclient.FetchItemDataBodySection); ok && data.Literal != nil {
				found = true
				if _, err := io.Copy(w, data.Literal); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Fatalf("message %d has no such section", seq)
	}
}
