package docstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// Backups taken while writers write hold what was acknowledged before, and nothing by half.
func TestBackupUnderLoad(t *testing.T) {
	root := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: filepath.Join(root, "data")}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	ctx := testContext(t)
	w := startWriters(t, ctx, client, nil)
	defer w.stop()
	for i, name := range []string{"a", "b", "c"} {
		waitFor(t, ctx, func() bool { return int(w.next.Load()) > 100*(i+1) })
		acked := w.acknowledged()
		dir := filepath.Join(root, name)
		must(0, s.Backup(ctx, dir))(t)
		if info := must(os.Stat(dir))(t); info.Mode().Perm() != 0o700 {
			t.Errorf("others may look into the backup: %v", info.Mode())
		}
		checkCopy(t, docstore.Options{Dir: dir}, acked)
	}
	if left := must(filepath.Glob(filepath.Join(root, "*.partial")))(t); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestBackupTargets(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	s := must(docstore.Open(docstore.Options{Dir: data}))(t)
	defer s.Close()
	ctx := testContext(t)
	full, empty, cut := filepath.Join(root, "full"), filepath.Join(root, "empty"), filepath.Join(root, "cut")
	for _, dir := range []string{full, empty, cut + ".partial"} {
		must(0, os.Mkdir(dir, 0o755))(t)
	}
	file := filepath.Join(full, "file")
	must(0, os.WriteFile(file, nil, 0o600))(t)
	for dir, want := range map[string]string{
		"backup":                      "not a clean absolute path",
		root + "/x/../y":              "not a clean absolute path",
		data:                          "not outside of the data directory",
		data + "/backup":              "not outside of the data directory",
		root:                          "not outside of the data directory",
		full:                          "not empty",
		file:                          "not a directory",
		file + "/x":                   "not a directory",
		filepath.Join(root, "no/dir"): "no such file",
		cut:                           "cut short",
	} {
		err := s.Backup(ctx, dir)
		var target *docstore.TargetError
		if !errors.As(err, &target) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
	must(0, s.Backup(ctx, empty))(t)
	checkCopy(t, docstore.Options{Dir: empty}, nil)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Backup(canceled, filepath.Join(root, "canceled")); !errors.Is(err, context.Canceled) {
		t.Errorf("without its caller: %v", err)
	}
	if names := must(os.ReadDir(root))(t); len(names) != 4 { // data, full, empty, cut.partial
		t.Errorf("refused backups left something: %v", names)
	}
}

// The command is for the socket only.
func TestBackupCommand(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	s := must(docstore.Open(docstore.Options{Dir: data}))(t)
	socket := filepath.Join(data, docstore.SocketName)
	must(0, s.ListenUnix(socket))(t)
	inside := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, inside)
	outside := must(mongo.Connect(options.Client().ApplyURI("mongodb://" + strings.ReplaceAll(socket, "/", "%2F") + "/?directConnection=true")))(t)
	ctx := testContext(t)
	defer outside.Disconnect(ctx)
	insertAll(t, inside.Database("d").Collection("c"), d("_id", 1))

	dir := filepath.Join(root, "backup")
	command := d(docstore.BackupCommand, 1, "directory", dir)
	wantCode(t, inside.Database("admin").RunCommand(ctx, command).Err(), 13)
	wantCode(t, outside.Database("d").RunCommand(ctx, command).Err(), 13)
	wantCode(t, outside.Database("admin").RunCommand(ctx, d(docstore.BackupCommand, 1)).Err(), 40414)
	wantCode(t, outside.Database("admin").RunCommand(ctx, d(docstore.BackupCommand, 1, "directory",
		"relative")).Err(), 2)
	wantCode(t, outside.Database("admin").RunCommand(ctx, append(command, E{Key: "force", Value: true})).Err(), 40415)
	must(0, outside.Database("admin").RunCommand(ctx, command).Err())(t)
	wantCode(t, outside.Database("admin").RunCommand(ctx, command).Err(), 2) // it is there now
	checkCopy(t, docstore.Options{Dir: dir}, nil)
}

// A backup that fails, wherever it does, leaves nothing; the database goes on.
func TestBackupFails(t *testing.T) {
	ctx := testContext(t)
	mem := vfs.NewMem()
	must(0, mem.MkdirAll("/backups", 0o755))(t)
	fail, count := -1, 0
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !strings.HasPrefix(op.Path, "/backups") || op.Kind.ReadOrWrite() == errorfs.OpIsRead ||
			op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpRemoveAll {
			return nil
		}
		if count++; count == fail {
			return errorfs.ErrInjected
		}
		return nil
	})
	s := must(docstore.Open(docstore.Options{Dir: "/db", FS: errorfs.Wrap(mem, inj)}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	c := client.Database("d").Collection("c")
	insertAll(t, c, d("_id", 1, "data", make([]byte, 100<<10)))
	must(0, s.Flush())(t)
	for fail = 1; ; fail++ {
		count = 0
		err := s.Backup(ctx, "/backups/a")
		left := must(mem.List("/backups"))(t)
		if err == nil {
			if count >= fail {
				t.Fatalf("a backup was made although its operation %d failed", fail)
			}
			break
		}
		if !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("operation %d: %v", fail, err)
		}
		if len(left) > 0 {
			t.Errorf("operation %d failed and left %q", fail, left)
		}
	}
	if fail < 15 {
		t.Errorf("only %d operations could fail", fail)
	}
	insertAll(t, c, d("_id", 2))
	checkCopy(t, docstore.Options{Dir: "/backups/a", FS: mem}, nil)
}
