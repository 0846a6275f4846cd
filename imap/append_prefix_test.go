package imap

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailstore"
)

// A message that a client uploads shares the content that was delivered, whatever trace lines stand
// before it, and is the bytes that were uploaded.
func TestAppendSharesContents(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	srv := newTestServerOn(t, db)
	ctx := context.Background()
	box, err := srv.store.MailboxByPath(ctx, srv.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	content := "Received: from a.example by b.example; Wed, 17 Jul 1996 02:44:25 -0700\r\n" + message("shared")
	trace := func(user string) string {
		return "Return-Path: <bob@example.com>\r\nDelivered-To: <" + user + "@example.com>\r\n" +
			"Received: from b.example ([192.0.2.1])\r\n\tby c.example (Gadwall) with LMTP id " +
			"1\r\n\tfor <" + user + "@example.com>; Wed, 17 Jul 1996 02:44:26 -0700\r\n"
	}
	w := srv.contents.NewWriter(ctx)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := srv.store.Deliver(ctx, stored,
		[]mailstore.Delivery{{Mailbox: box.Key, Magic: stored.Magics[0], Prefix: []byte(trace("alice"))}}); err != nil {
		t.Fatal(err)
	}
	c := srv.login(t)
	uploads := []string{trace("alice") + content, trace("carol") + content, content, "Return-Path: <>\r\n" + content}
	for _, m := range uploads {
		c.append("INBOX", "", m)
	}
	n, err := db.Collection(contents.Collection).CountDocuments(ctx, bson.D{})
	if err != nil || n != 1 {
		t.Errorf("%d contents, want 1 (%v)", n, err)
	}
	c.ok("SELECT INBOX")
	for i, m := range append([]string{trace("alice") + content}, uploads...) {
		untagged, _ := c.ok("FETCH %d (RFC822.SIZE BODY.PEEK[])", i+1)
		got := strings.Join(untagged, "\r\n")
		if !strings.Contains(got, fmt.Sprintf("RFC822.SIZE %d ", len(m))) ||
			!strings.Contains(got, fmt.Sprintf("BODY[] {%d}\r\n%s", len(m), m)) {
			t.Errorf("message %d: %q", i+1, got)
		}
	}
	if untagged, _ := c.ok("SEARCH HEADER Delivered-To carol"); len(untagged) != 1 || untagged[0] != "* SEARCH 3" {
		t.Errorf("search: %q", untagged)
	}
}
