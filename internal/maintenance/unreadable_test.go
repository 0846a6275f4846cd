package maintenance

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// withDatabase opens the database in a directory for f, and reports whether it could be opened.
func withDatabase(t *testing.T, dir string, f func(*testing.T, *mongo.Database)) bool {
	t.Helper()
	server, err := docstore.Open(docstore.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return false
	}
	client, err := mongo.Connect(server.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	// A test within, so that everything on the database is closed before it is.
	t.Run("database", func(t *testing.T) { f(t, client.Database("mail")) })
	if err := client.Disconnect(t.Context()); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	return true
}

// Whatever of the database's files is damaged, the check goes on to its end, and each message that
// can no longer be read is named, with its user.
func TestCheckNamesWhatCannotBeRead(t *testing.T) {
	if !dbtest.Embedded() {
		t.Skip("damages files of the embedded database")
	}
	dir := t.TempDir()
	users := map[mailkey.UserID]string{}
	all := map[mailkey.Message]bool{}
	random := rand.NewChaCha8([32]byte{1})
	withDatabase(t, dir, func(t *testing.T, db *mongo.Database) {
		s := openStore(t, db, time.Now)
		for _, name := range []string{"ada@example.com", "bob@example.com", "eve@example.com"} {
			u := s.user(t, name)
			users[u.ID] = name
			inbox := s.box(t, u, "INBOX")
			for i := range 150 {
				noise := make([]byte, 700) // so that there are many blocks of messages and contents
				if i%30 == 0 {
					noise = make([]byte, 60_000)
				}
				random.Read(noise)
				s.deliver(t, fmt.Appendf(nil, "Subject: %x\r\n\r\n%x\r\n", noise[:200], noise), 0, nil, inbox)
				all[inbox.Message(uint32(i+1))] = true
			}
		}
	})
	withDatabase(t, dir, func(*testing.T, *mongo.Database) {}) // moves the logs into tables
	var tables []string
	for _, pattern := range []string{"*.sst", "*.blob"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		tables = append(tables, files...)
	}
	opened := 0
	for _, table := range tables {
		parts := []int64{1, 5} // of messages, and of contents
		if filepath.Ext(table) == ".blob" {
			parts = parts[:1]
		}
		for _, part := range parts {
			damaged := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(damaged, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			overwritePart(t, filepath.Join(damaged, filepath.Base(table)), part, 6)
			withDatabase(t, damaged, func(t *testing.T, db *mongo.Database) {
				if s := openDamaged(t, db); s != nil {
					opened++
					checkNamed(t, s, users, all)
				}
			})
		}
	}
	if opened < 3 {
		t.Errorf("only %d damaged databases could be opened", opened)
	}
}

// openDamaged opens a store as gadwall check does, or returns nil if that cannot be.
func openDamaged(t *testing.T, db *mongo.Database) *store {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	blobs, err := blobstore.New(db, blobstore.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	cs, err := contents.New(db, blobs, contents.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	bus := events.NewLocal()
	t.Cleanup(func() { bus.Close() })
	mail, err := mailstore.Open(t.Context(), mailstore.Options{
		Database: db, Contents: cs, Bus: bus, ReadOnly: true, Logger: log})
	if err != nil {
		t.Log(err)
		return nil
	}
	t.Cleanup(mail.Close)
	return &store{mail, db}
}

// overwritePart damages 100 octets in the middle of one part of a file.
func overwritePart(t *testing.T, path string, part, of int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0x55}, 100), info.Size()*(2*part+1)/(2*of)); err != nil {
		t.Fatal(err)
	}
}

// checkNamed compares what the check names with what cannot be read.
func checkNamed(t *testing.T, s *store, users map[mailkey.UserID]string, all map[mailkey.Message]bool) {
	t.Helper()
	_, list := s.check(t, false, true)
	named := map[mailkey.Message]bool{}
	for _, f := range list {
		if f.UID == 0 {
			continue
		}
		box, err := mailkey.ParseMailbox(f.Mailbox)
		if err != nil {
			t.Errorf("%+v: %v", f, err)
		}
		for uid := f.UID; uid <= max(f.UID, f.LastUID); uid++ {
			named[box.Message(uid)] = true
		}
		if f.Username != users[box.User()] || f.Path != "INBOX" {
			t.Errorf("%+v is of %s", f, users[box.User()])
		}
	}
	unreadable := 0
	for key := range all {
		if readable(t, s, key) {
			continue
		}
		if unreadable++; !named[key] {
			t.Errorf("message %d of %s cannot be read and is not named", key.UID(), users[key.User()])
		}
	}
	t.Logf("%d findings, %d messages named, %d unreadable", len(list), len(named), unreadable)
	if unreadable == 0 || len(named) > unreadable {
		t.Errorf("%d messages are named, %d cannot be read: %+v", len(named), unreadable, list)
	}
}

// readable reports whether a message can be read whole.
func readable(t *testing.T, s *store, key mailkey.Message) bool {
	q := mailstore.Query{UIDs: uidset.Set{{First: key.UID(), Last: key.UID()}}}
	for m, err := range s.Messages(t.Context(), key.Mailbox(), q, mailstore.FieldAll) {
		if err != nil {
			return false
		}
		_, err = read(t.Context(), s.Store, m.Content)
		return err == nil
	}
	return false
}
