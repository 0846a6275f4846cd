package docstore_test

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
	"gadwall/internal/logtest"
)

func quiet(dir string) docstore.Options {
	return docstore.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}
}

// All files of the database, and its directory, are the owner's alone: new ones, those of a
// database that was made open to others, and those of a backup.
func TestFilesArePrivate(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	wantPrivate := func(dir string) {
		t.Helper()
		files := 0
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if files++; info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		})
		if err != nil || files < 5 {
			t.Errorf("%d files, %v", files, err)
		}
	}
	var log logtest.Buffer
	s := must(docstore.Open(docstore.Options{Dir: dir, Logger: log.Logger()}))(t)
	if !strings.Contains(log.String(), "open to others") {
		t.Errorf("the log does not tell of the mode: %s", log.String())
	}
	c := must(mongo.Connect(s.ClientOptions()))(t)
	for n := range 5 {
		must(c.Database("db").Collection("c").InsertOne(t.Context(), chunk(n)))(t)
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EmptyLogs(); err != nil {
		t.Fatal(err)
	}
	wantPrivate(dir)
	backup := filepath.Join(root, "backup")
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	wantPrivate(backup)
	closeAll(t, s, c)
	wantPrivate(dir)

	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(path, 0o755))
	})
	if err != nil {
		t.Fatal(err)
	}
	must(0, must(docstore.Open(quiet(dir)))(t).Close())(t)
	wantPrivate(dir)
}

// What keeps a directory from being used is told apart, at once.
func TestUnusableDirectory(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "data")} {
		_, err := docstore.Open(quiet(dir))
		var access *docstore.AccessError
		if !errors.As(err, &access) || access.Dir != dir || errors.Is(err, docstore.ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	denied := must(filepath.Abs(filepath.Join(root, "denied")))(t)
	_, err := docstore.Open(docstore.Options{Dir: denied, FS: deniedFS{vfs.Default}})
	var access *docstore.AccessError
	if !errors.As(err, &access) || !errors.Is(err, fs.ErrPermission) || errors.Is(err, docstore.ErrLocked) ||
		!strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "another process") {
		t.Errorf("a missing permission: %v", err)
	}
}

// deniedFS lets nobody open the file of the lock. (For root the real one would.)
type deniedFS struct{ vfs.FS }

func (deniedFS) Lock(name string) (io.Closer, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
}

func TestNoDatabaseIsMade(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	opts := quiet(missing)
	opts.MustExist = true
	var none *docstore.NoDatabaseError
	if _, err := docstore.Open(opts); !errors.As(err, &none) || none.Dir != missing {
		t.Errorf("no directory: %v", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	opts.Dir = dir
	if _, err := docstore.Open(opts); !errors.As(err, &none) {
		t.Errorf("an empty directory: %v", err)
	}

	// A file system's own directory and a socket are no strangers, somebody's files are.
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := must(net.Listen("unix", filepath.Join(dir, docstore.SocketName)))(t)
	defer l.Close()
	stranger := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(stranger, []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := docstore.Open(quiet(dir))
	var foreign *docstore.ForeignFilesError
	if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "letter.txt") ||
		strings.Contains(err.Error(), "lost+found") {
		t.Errorf("a directory with a letter: %v", err)
	}
	if names := must(os.ReadDir(dir))(t); len(names) != 3 {
		t.Errorf("opening leaves %v", names)
	}
	if info := must(os.Stat(stranger))(t); info.Mode().Perm() != 0o644 {
		t.Error("opening changes a file that is not of the database")
	}
	if err := os.Remove(stranger); err != nil {
		t.Fatal(err)
	}
	must(0, must(docstore.Open(quiet(dir)))(t).Close())(t)
	must(0, must(docstore.Open(opts))(t).Close())(t) // now there is one
}

func TestSpace(t *testing.T) {
	const reserve = 64 << 10
	disk := &smallDisk{FS: vfs.NewMem(), free: 1 << 20}
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: disk, Reserve: reserve,
		Logger: slog.New(slog.DiscardHandler)}))(t)
	defer s.Close()
	for _, test := range []struct {
		free    uint64
		refused bool
	}{{1 << 20, false}, {reserve - 1, true}, {0, true}, {reserve, false}} {
		disk.setFree(int64(test.free))
		want := docstore.Space{Free: test.free, Reserve: reserve, Refused: test.refused}
		if got := s.Space(); got != want {
			t.Errorf("with %d bytes free: %+v", test.free, got)
		}
	}
}
