package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
)

// dataDir is a directory that does not exist; sockets in it have names that are short enough.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

func withDir(dir string, access Access) Options {
	return Options{Storage: config.Storage{DataDir: dir, MongoDBDatabase: "gadwall"}, Access: access,
		Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// One process serves, others share its data through its sockets, or look and create nothing.
func TestAccess(t *testing.T) {
	dir := dataDir(t)
	for _, access := range []Access{Sharing, Looking} {
		var setting *SettingError
		if _, err := Open(t.Context(), withDir(dir, access)); !errors.As(err, &setting) {
			t.Errorf("without a database: %v", err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("something was made: %v", err)
	}
	serving := open(t, withDir(dir, Serving))
	user, err := serving.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: "ada@example.com",
		Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	for _, access := range []Access{Sharing, Looking} {
		other := open(t, withDir(dir, access))
		if other.Embedded != nil {
			t.Errorf("access %v: %+v", access, other)
		}
		if got, err := other.Mail.UserByName(t.Context(), "ada@example.com"); err != nil || got.ID != user.ID {
			t.Errorf("access %v: %v, %v", access, got, err)
		}
	}
	_, err = Open(t.Context(), withDir(dir, Serving))
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("served twice: %v", err)
	}
}

func TestLookingCreatesNothing(t *testing.T) {
	dir := dataDir(t)
	db, err := OpenDatabase(t.Context(), withDir(dir, Serving))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	n := open(t, withDir(dir, Looking))
	names, err := n.Database.ListCollectionNames(t.Context(), bson.D{})
	if err != nil || len(names) > 0 {
		t.Errorf("collections %v, %v", names, err)
	}
}

// A database is made in an empty directory, or where only what does not matter is, and nowhere
// else.
func TestDirectoryWithOtherFiles(t *testing.T) {
	dir := dataDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	letter := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(letter, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var setting *SettingError
	_, err := Open(t.Context(), withDir(dir, Serving))
	if !errors.As(err, &setting) || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("among other files: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v: something was written", entries, err)
	}
	if err := os.Remove(letter); err != nil {
		t.Fatal(err)
	}
	open(t, withDir(dir, Serving))
}

// A directory of another user is not one in use, nor one that is missing.
func TestForbiddenDirectory(t *testing.T) {
	dir := dataDir(t)
	first := open(t, withDir(dir, Serving))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		explainDir(dir, &os.PathError{Op: "open", Path: dir, Err: os.ErrPermission}),
		explainDir(dir, fmt.Errorf("docstore: %w", os.ErrPermission)),
	} {
		var setting *SettingError
		want := "no permission to use " + dir + ", which belongs to "
		if !errors.As(err, &setting) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if err := errors.New("other"); explainDir(dir, err) != err {
		t.Error("another error was explained away")
	}
}

// What the store says of users and credentials that may no longer be logged in ends their sessions, those
// of a master user among them.
func TestSessionsEndWithTheirUsers(t *testing.T) {
	n := open(t, withDir(dataDir(t), Serving))
	create := func(name string) *mailstore.User {
		u, err := n.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: name, Password: "correct horse"})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	ada, root := create("ada@example.com"), create("root@example.com")
	app, secret, err := n.Mail.AddAppPassword(t.Context(), ada.ID, "phone", mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := n.Mail.Authenticate(t.Context(), ada.Username, secret, mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	var ended []string
	open := func(name string, info sessions.Info) {
		n.Registry.Open(info, func(string) { ended = append(ended, name) })
	}
	open("phone", sessions.Info{User: ada.ID, ActorID: ada.ID, Credential: string(proof.Credential)})
	open("root for ada", sessions.Info{User: ada.ID, ActorID: root.ID})
	if err := n.Mail.RevokeAppPassword(t.Context(), ada.ID, app.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Mail.Suspend(t.Context(), root.ID); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ended, []string{"phone", "root for ada"}) {
		t.Errorf("%q ended", ended)
	}
}
