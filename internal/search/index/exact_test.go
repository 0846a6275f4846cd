package index_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"gadwall/internal/account"
	"gadwall/internal/config"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// server is a node whose index works in the background, and the same mail without an index.
type server struct {
	*node.Node
	plain *account.Accounts
	user  *mailstore.User
}

func newServer(t testing.TB) *server { return newServerAs(t, node.Serving) }

// newServerAs opens a node of its own, which was a server before.
func newServerAs(t testing.TB, access node.Access) *server {
	t.Helper()
	options := node.Options{
		Storage: config.Storage{DataDir: t.TempDir(), MongoDBDatabase: "gadwall"},
		Logger:  slog.New(slog.DiscardHandler),
	}
	if access != node.Serving {
		n, err := node.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	options.Access = access
	n, err := node.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &server{Node: n}
	s.plain, err = account.New(account.Options{Store: n.Mail, Bus: n.Bus, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.user, err = n.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: "jo@example.org",
		Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) deliver(t testing.TB, path string, raw []byte, flags mailstore.Flags) {
	t.Helper()
	box, err := s.Mail.MailboxByPath(t.Context(), s.user.ID, path)
	if err != nil {
		t.Fatal(err)
	}
	w := s.Contents.NewWriter(t.Context())
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Mail.Deliver(t.Context(), stored, []mailstore.Delivery{{
		Mailbox: box.Key, Flags: flags, Magic: stored.Magics[0],
		Prefix: []byte("Return-Path: <someone@example.net>\r\nDelivered-To: jo@example.org\r\n")}})
	if err != nil || got[0].Err != nil {
		t.Fatal(err, got)
	}
}

// find runs a search of a mailbox by its accounts.
func (s *server) find(ctx context.Context, accounts *account.Accounts, path string, key *search.Key) ([]uint32, error) {
	box, _, err := accounts.Of(s.user).Open(ctx, path, account.ReadOnly)
	if err != nil {
		return nil, err
	}
	plan, err := search.Compile(key, box.Key(), uidset.All())
	if err != nil {
		return nil, err
	}
	uids := []uint32{}
	for found, err := range box.Search(ctx, search.Request{Plan: plan}) {
		if err != nil {
			return nil, err
		}
		uids = append(uids, found.UID)
	}
	return uids, nil
}

// drawKey draws criteria whose texts are taken from the mails.
func drawKey(t *rapid.T, mails [][]byte, depth int) *search.Key {
	kinds := []string{"text", "body", "subject", "from", "to", "header", "trace", "flag", "date"}
	if depth > 0 {
		kinds = append(kinds, "all", "any", "not")
	}
	piece := func() string {
		raw := mails[rapid.IntRange(0, len(mails)-1).Draw(t, "mail")]
		n := rapid.IntRange(1, 12).Draw(t, "length")
		from := rapid.IntRange(0, max(0, min(len(raw)-n, 3000))).Draw(t, "from")
		text := string(raw[from:min(len(raw), from+n)])
		for !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "")
		}
		return text
	}
	kids := func() (list []*search.Key) {
		for range rapid.IntRange(1, 3).Draw(t, "kids") {
			list = append(list, drawKey(t, mails, depth-1))
		}
		return list
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "body":
		return search.Body(piece())
	case "subject":
		return search.Header("Subject", piece())
	case "from":
		return search.Header("From", piece())
	case "to":
		return search.Header("To", piece())
	case "header":
		return search.Header(rapid.SampledFrom([]string{"Message-ID", "Received", "Content-Type",
			"Date"}).Draw(t, "name"), piece())
	case "trace":
		return search.Text(rapid.SampledFrom([]string{"someone@", "delivered-to: jo", "nowhere",
			"tändigkeit", "請求"}).Draw(t, "text"))
	case "flag":
		return search.Flag(mailstore.Seen)
	case "date":
		return search.Internal(time.Time{}, time.Now().Add(time.Hour))
	case "all":
		return search.All(kids()...)
	case "any":
		return search.Any(kids()...)
	case "not":
		return search.Not(drawKey(t, mails, depth-1))
	}
	return search.Text(piece())
}

// Answers are the same with the index as without it: of mail of every shape, some with rows and some
// in blocks, some deleted, some copied, some without anything, and whatever becomes of the index.
func TestAnswersAreExact(t *testing.T) {
	s := newServer(t)
	s.Index.Turner.SetTurnRows(40)
	var mails [][]byte
	seed := uint64(0)
	more := func(n int) {
		for range n {
			raw := mailgen.Message(seed)
			seed++
			mails = append(mails, raw)
			s.deliver(t, []string{"INBOX", "INBOX", "Archive"}[seed%3], raw, mailstore.Flags(seed%2)*mailstore.Seen)
		}
		s.Index.Writer.Wait()
	}
	more(3 * len(mailgen.Shapes()))
	if err := s.Index.Turner.Turn(t.Context(), s.user.ID, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	more(len(mailgen.Shapes()))
	inbox, err := s.Mail.MailboxByPath(t.Context(), s.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := s.Mail.MailboxByPath(t.Context(), s.user.ID, "Archive")
	if err != nil {
		t.Fatal(err)
	}
	change(t, s, inbox.Key, archive.Key)
	st := s.Index.Writer.Stats()
	if st.Written != int64(len(mails)) || st.Unreadable != 0 || s.Index.Turner.Turned() == 0 {
		t.Fatalf("%+v, %d blocks of %d mails", st, s.Index.Turner.Turned(), len(mails))
	}
	before := s.Accounts.SearchStats()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		key := drawKey(t, mails, 2)
		path := rapid.SampledFrom([]string{"INBOX", "Archive"}).Draw(t, "path")
		want, err := s.find(ctx, s.plain, path, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.find(ctx, s.Accounts, path, key)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s: found %v, %v; want %v", key, got, err, want)
		}
		if rapid.IntRange(0, 9).Draw(t, "lose") == 0 { // one document
			coll := rapid.SampledFrom(s.Index.Collections()).Draw(t, "of")
			skip := rapid.Int64Range(0, 200).Draw(t, "document")
			var doc bson.Raw
			doc, err = coll.FindOne(ctx, bson.D{}, options.FindOne().SetSkip(skip)).Raw()
			if err == nil {
				_, err = coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if after := s.Accounts.SearchStats(); after.Excluded == before.Excluded {
		t.Error("the index excluded nothing")
	}
}

// change deletes, copies and moves some messages.
func change(t *testing.T, s *server, inbox, archive mailkey.Mailbox) {
	t.Helper()
	few := uidset.Of(uidset.Range{First: 3, Last: 9})
	if _, err := s.Mail.StoreFlags(t.Context(), inbox, few,
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted}); err != nil {
		t.Fatal(err)
	}
	none := func([]uint32, uint64) error { return nil }
	if err := s.Mail.ExpungeEach(t.Context(), inbox, nil, none); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mail.Copy(t.Context(), inbox, uidset.Of(uidset.Range{First: 10, Last: 30}), archive); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mail.Move(t.Context(), archive, uidset.Of(uidset.Range{First: 1, Last: 10}), inbox); err != nil {
		t.Fatal(err)
	}
}

// A message identifier is found by the index: only messages that name it are read. Whatever else a
// Message-ID field says is found, too.
func TestMessageIDIsFoundByTheIndex(t *testing.T) {
	s := newServer(t)
	const mails = 100
	id := func(i int) string { return fmt.Sprintf("<20260101.%04d.abcdefgh@mail.example.org>", i) }
	for i := range mails {
		s.deliver(t, "INBOX", []byte(fmt.Sprintf("Message-ID: %s\r\nReferences: %s\r\n\r\nhello\r\n",
			id(i), id(max(0, i-1)))), 0)
	}
	odd := []string{
		"Message-ID: x " + id(7) + " y", "Message-ID: <a" + id(7), "Message-ID: =?us-ascii?q?" + id(7) + "?=",
		"Message-ID:\r\n " + strings.ToUpper(id(7)),
	}
	for _, line := range odd {
		s.deliver(t, "INBOX", []byte(line+"\r\n\r\nhello\r\n"), 0)
	}
	s.Index.Writer.Wait()
	before := s.Accounts.SearchStats()
	got, err := s.find(t.Context(), s.Accounts, "INBOX", search.Header("Message-ID", id(7)))
	if want := []uint32{8, 101, 102, 103, 104}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %v, %v, want %v", got, err, want)
	}
	after := s.Accounts.SearchStats()
	if n := after.Candidates - before.Candidates; n != int64(1+len(odd)+1) { // and the reply
		t.Errorf("%d messages were read", n)
	}
}

// A repair finds the mails without rows, and a rebuild makes the same index anew.
func TestRepair(t *testing.T) {
	s := newServer(t)
	s.Index.Turner.SetTurnRows(20)
	for i := range 50 {
		s.deliver(t, "INBOX", []byte(fmt.Sprintf("Subject: mail %d\r\n\r\nword%d here\r\n", i, 1000+i)), 0)
	}
	s.Index.Writer.Wait()
	free := func(context.Context) error { return nil }
	numbers := func(word string) int {
		t.Helper()
		before := s.Accounts.SearchStats().Candidates
		got, err := s.find(t.Context(), s.Accounts, "INBOX", search.Text(word))
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		return int(s.Accounts.SearchStats().Candidates - before)
	}
	if n := numbers("word1007"); n != 1 {
		t.Errorf("%d candidates", n)
	}
	// The queue is lost, and so are some documents.
	for _, c := range s.Index.Collections() {
		if _, err := c.DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := numbers("word1007"); n != 50 {
		t.Errorf("%d candidates without an index", n)
	}
	missing, err := s.Index.Repairer.User(t.Context(), s.user.ID, false, nil, free)
	if err != nil || missing != 50 {
		t.Fatal(missing, err)
	}
	if n := numbers("word1007"); n != 1 {
		t.Errorf("%d candidates after a repair", n)
	}
	if missing, err = s.Index.Repairer.User(t.Context(), s.user.ID, true, nil, free); err != nil || missing != 0 {
		t.Fatal(missing, err)
	}
	if missing, err = s.Index.Repairer.Rebuild(t.Context(), s.user.ID, nil, free); err != nil || missing != 50 {
		t.Fatal(missing, err)
	}
	if n := numbers("word1007"); n != 1 {
		t.Errorf("%d candidates after a rebuild", n)
	}
	// Nothing stays of a user who is gone.
	if err := s.Mail.DeleteUser(t.Context(), s.user.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Index.Repairer.Repair(t.Context(), free); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Index.Collections() {
		if n, err := c.CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
			t.Errorf("%s: %d documents of a user who is gone, %v", c.Name(), n, err)
		}
	}
}
