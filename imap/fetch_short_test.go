package imap

import (
	"fmt"
	"strings"
	"testing"

	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
)

// TestFetchShortHeaders: what clients ask of headers when they list a mailbox is the same from
// memory as from the content, for good and broken mail with and without a prefix; and the second
// time no content is read.
func TestFetchShortHeaders(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	for i, shape := range mailgen.Shapes() {
		for seed := range uint64(2) {
			prefix := ""
			if i%2 == 0 {
				prefix = "Return-Path: <a@example.com>\r\nSubject: of the prefix\r\n"
			}
			s.deliver(t, string(mailgen.Of(shape, seed)), prefix)
		}
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	for _, names := range []string{
		"From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To " +
			"Content-Type Reply-To",
		"DATE FROM SENDER SUBJECT LIST-POST X-LABEL Return-Path",
	} {
		item := "BODY[HEADER.FIELDS (" + names + ")]"
		// Received makes the server read the contents.
		whole, _ := c.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (%s)] BODY.PEEK[HEADER.FIELDS (Received)])", names)
		for round := range 2 {
			cmds.Reset()
			short, _ := c.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (%s)])", names)
			if len(short) != len(whole) {
				t.Fatalf("%d answers instead of %d", len(short), len(whole))
			}
			for i := range whole {
				want, _, found := strings.Cut(whole[i], " BODY[HEADER.FIELDS (Received)]")
				begins := strings.HasPrefix(want, fmt.Sprintf("* %d FETCH (%s", i+1, item))
				if !found || !begins || short[i] != want+")" {
					t.Errorf("round %d:\n got %q\nwant %q", round, short[i], want)
				}
			}
			// Four have too large a header. The server looks for it, loads it, and then its other frames.
			if n := cmds.Documents(contents.Collection); round > 0 && n > 4*3 {
				t.Errorf("%d contents were read", n)
			}
		}
	}
	// \Seen and partials work as with the content.
	lines, _ := c.ok("FETCH 2 (BODY[HEADER.FIELDS (Subject)]<0.7>)")
	if len(lines) != 1 || !strings.Contains(lines[0], `\Seen`) || !strings.Contains(lines[0], "]<0> {") {
		t.Errorf("%q", lines)
	}
}
