package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
	"gadwall/internal/config"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/storetest"
)

const username = "ada@example.com"

func open(ctx context.Context, dir string, access node.Access) (*node.Node, error) {
	return node.Open(ctx, node.Options{Access: access, Logger: slog.New(slog.DiscardHandler),
		Storage: config.Storage{DataDir: dir, MongoDBDatabase: "gadwall"}})
}

func restoring(ctx context.Context, dir string, f func(context.Context, *mailstore.Store) error) error {
	n, err := open(ctx, dir, node.Restoring)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, n.Mail), n.Close())
}

// workspace is a directory in which sockets have names that are short enough.
func workspace(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// makeBackup makes a backup with n messages in INBOX.
func makeBackup(t *testing.T, n int) string {
	t.Helper()
	dir := workspace(t)
	source, err := open(t.Context(), filepath.Join(dir, "data"), node.Serving)
	if err != nil {
		t.Fatal(err)
	}
	user, err := source.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: username, Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := source.Accounts.Of(user).Destination(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	items, err := inbox.Import()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		text := fmt.Sprintf("Delivered-To: ada\r\nSubject: %d\r\n\r\n%s\r\n", i, strings.Repeat("text ", 1000*i))
		if err := items.Add(t.Context(), account.Entry{}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := items.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup")
	if err := source.Embedded.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	return backup
}

// A restore that is interrupted at any step goes on where it was, and no server starts before it is
// through.
func TestDirectoryResumes(t *testing.T) {
	backup := makeBackup(t, 3)
	to := filepath.Join(workspace(t), "new")
	stop := errors.New("stop")
	opened := 0
	o := DirectoryOptions{From: backup, To: to}
	o.Open = func(ctx context.Context, dir string, f func(context.Context, *mailstore.Store) error) error {
		opened++
		switch opened {
		case 1: // when all is copied
			return stop
		case 2: // when the advance has begun
			return errors.Join(restoring(ctx, dir, f), stop)
		case 4: // when the directory has its name
			return stop
		case 5: // in the middle of the advance
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return restoring(ctx, dir, f)
		}
		return restoring(ctx, dir, f)
	}
	if err := os.Mkdir(to, 0o700); err != nil { // an empty directory is taken
		t.Fatal(err)
	}
	_, err := Directory(t.Context(), o)
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var target *TargetError
	if _, err := Directory(t.Context(), o); !errors.As(err, &target) || opened != 1 {
		t.Fatalf("an interrupted restore is begun again: %v", err)
	}
	// What a copy that was cut short leaves.
	if err := os.Remove(filepath.Join(to+partialSuffix, copiedFile)); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(to+partialSuffix, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	if err := os.Rename(logs[0], logs[0]+unfinished); err != nil {
		t.Fatal(err)
	}
	o.Advance.Resume = true
	for opened < 5 {
		if _, err = Directory(t.Context(), o); err == nil {
			t.Fatal("was not interrupted")
		}
		if opened < 4 {
			continue // the directory is still empty
		}
		if _, err := open(t.Context(), to, node.Serving); !errors.Is(err, mailstore.ErrAdvancing) {
			t.Fatalf("served before the end: %v", err)
		}
	}
	count, err := Directory(t.Context(), o)
	if err != nil || count.Messages != 3 {
		t.Fatalf("%+v, %v", count, err)
	}
	n, err := open(t.Context(), to, node.Serving)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	user, err := n.Mail.UserByName(t.Context(), username)
	if err != nil {
		t.Fatal(err)
	}
	box, err := n.Mail.MailboxByPath(t.Context(), user.ID, "INBOX")
	if err != nil || box.UIDNext != 4+mailstore.DefaultAdvance || box.Messages != 3 {
		t.Errorf("%+v, %v", box, err)
	}
	for _, pattern := range []string{to + partialSuffix, filepath.Join(to, "*"+unfinished),
		filepath.Join(to, copiedFile)} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
}

// Nothing is written where a restore makes no sense.
func TestDirectoryRefuses(t *testing.T) {
	backup := makeBackup(t, 0)
	dir := workspace(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		resume   bool
		text     string
	}{
		{filepath.Join(dir, "none"), filepath.Join(dir, "x"), false, "no backup"},
		{dir, filepath.Join(dir, "x"), false, "no backup"},
		{backup, backup, false, "not apart"},
		{backup, filepath.Join(backup, "x"), false, "not apart"},
		{backup, filepath.Dir(backup), false, "not apart"},
		{backup, dir, false, "not empty"},
		{backup, filepath.Join(dir, "x", "y"), false, "no such file"},
		{backup, filepath.Join(file, "y"), false, "not a directory"},
		{backup, filepath.Join(dir, "x"), true, "no interrupted restore"},
	} {
		_, err := Directory(t.Context(), DirectoryOptions{From: c.from, To: c.to, Open: restoring,
			Advance: mailstore.AdvanceOptions{Resume: c.resume}})
		var source *SourceError
		var target *TargetError
		if !errors.As(err, &source) && !errors.As(err, &target) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// Annotations come back where the server has none of the name.
func TestUserBringsAnnotationsBack(t *testing.T) {
	ctx := t.Context()
	st := [2]*storetest.Store{storetest.Open(t, storetest.Options{}), storetest.Open(t, storetest.Options{})}
	var users [2]*mailstore.User
	var accounts [2]*account.Account
	for i, s := range st {
		users[i] = s.User(t, username)
		all, err := account.New(account.Options{Store: s.Store, Bus: s.Bus})
		if err != nil {
			t.Fatal(err)
		}
		accounts[i] = all.Of(users[i])
	}
	set := func(to *account.Account, path string, list ...string) {
		t.Helper()
		var entries []mailstore.MetadataEntry
		for i := 0; i < len(list); i += 2 {
			entries = append(entries, mailstore.MetadataEntry{Name: list[i], Value: []byte(list[i+1])})
		}
		if _, _, err := to.SetMetadata(ctx, path, entries); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := accounts[0].Create(ctx, "Lists", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	set(accounts[0], "", "/private/vendor/a", "server")
	set(accounts[0], "INBOX", "/private/comment", "old", "/shared/color", "red")
	set(accounts[0], "Lists", "/shared/comment", "lists")
	if _, err := st[0].SetMetadata(ctx, st[0].Mailbox(t, users[0], "INBOX").Key, mailkey.NewUserID(),
		[]mailstore.MetadataEntry{{Name: "/private/comment", Value: []byte("another's")}}); err != nil {
		t.Fatal(err)
	}
	set(accounts[1], "INBOX", "/private/comment", "new")

	o := UserOptions{From: st[0].Store, Username: username, To: accounts[1]}
	want := func(path string, list ...string) {
		t.Helper()
		entries, err := accounts[1].Metadata(ctx, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name, string(e.Value))
		}
		if !slices.Equal(got, list) {
			t.Errorf("%q: %q, want %q", path, got, list)
		}
	}
	for i, n := range []int64{3, 0} { // the second time nothing is missing
		if count, err := User(ctx, o); err != nil || count.Annotations != n {
			t.Errorf("%d: %+v, %v", i, count, err)
		}
		want("", "/private/vendor/a", "server")
		want("INBOX", "/private/comment", "new", "/shared/color", "red")
		want("Lists", "/shared/comment", "lists")
	}
	o.Mailbox, o.As = "INBOX", "Found"
	if _, err := User(ctx, o); err != nil {
		t.Error(err)
	}
	want("Found", "/private/comment", "old", "/shared/color", "red")
}

// Messages of the backup that cannot be read are counted; the others come back with their bytes
// and trace lines.
func TestUserPassesOverDamage(t *testing.T) {
	dir, remove, err := View(t.Context(), makeBackup(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	from, err := open(t.Context(), dir, node.Serving) // to damage it
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	user, err := from.Mail.UserByName(t.Context(), username)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := from.Mail.MailboxByPath(t.Context(), user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	damage(t, from, inbox)

	server, err := open(t.Context(), filepath.Join(workspace(t), "data"), node.Serving)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	target, err := server.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: username, Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	o := UserOptions{From: from.Mail, Username: username, To: server.Accounts.Of(target),
		Mailbox: "INBOX", Logger: slog.New(slog.DiscardHandler)}
	count, err := User(t.Context(), o)
	if err != nil || count.Restored != 2 || count.Damaged != 2 {
		t.Errorf("%+v, %v", count, err)
	}
	opened, _, err := o.To.Open(t.Context(), "INBOX", account.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for msg, err := range opened.Messages(t.Context(), mailstore.Query{}, mailstore.FieldContent) {
		if err != nil || string(msg.Prefix) != "Delivered-To: ada\r\n" {
			t.Errorf("%+v, %v", msg, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d messages", n)
	}
	if count, err = User(t.Context(), o); err != nil || count.Restored != 0 || count.Present != 2 {
		t.Errorf("again: %+v, %v", count, err)
	}
}

// damage removes the content of the first message and breaks that of the second.
func damage(t *testing.T, n *node.Node, box *mailstore.Mailbox) {
	t.Helper()
	coll := n.Database.Collection(contents.Collection)
	for m, err := range n.Mail.Messages(t.Context(), box.Key, mailstore.Query{Limit: 2}, mailstore.FieldContent) {
		if err != nil {
			t.Fatal(err)
		}
		id := bson.D{{Key: "_id", Value: bson.Binary{Data: m.Content[:]}}}
		if m.UID == 1 {
			_, err = coll.DeleteOne(t.Context(), id)
		} else {
			_, err = coll.UpdateOne(t.Context(), id,
				bson.D{{Key: "$set", Value: bson.D{{Key: "segs", Value: bson.Binary{}}}}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
