package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/bench"
	"gadwall/internal/config"
	"gadwall/internal/database"
	"gadwall/internal/docstore"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/node"
)

// backupCmd copies the embedded database: itself when no server runs, and else by asking the
// server, through its socket, to do it.
type backupCmd struct {
	config.Storage
	config.Log
	Directory string `arg:"" name:"dir" help:"Where the copy goes: a directory that is missing or empty. It becomes a data directory."`
}

func (c *backupCmd) Run(std streams) (err error) {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	if !c.Storage.Embedded() {
		return usageError{
			errors.New(
				"backup copies the embedded database; back up MongoDB with its own means: mongodump " +
					"--oplog, or snapshots of its volumes",
			),
		}
	}
	dir, err := filepath.Abs(c.Directory)
	if err != nil {
		return usageError{err}
	}
	if err := checkBackupTarget(dir); err != nil {
		return usageError{err}
	}
	log, _, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	store, err := node.OpenDatabase(ctx, node.Options{Storage: c.Storage, Access: node.Looking, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	progress := c.progress(std, dir)
	defer progress.end()
	if store.Embedded != nil {
		err = store.Embedded.Backup(ctx, dir)
	} else {
		command := bson.D{{Key: docstore.BackupCommand, Value: 1}, {Key: "directory", Value: dir}}
		unbounded, cancel := database.Unbounded(ctx)
		defer cancel()
		err = store.Client.Database("admin").RunCommand(unbounded, command).Err()
	}
	var target *docstore.TargetError
	var refused mongo.CommandError
	switch {
	case errors.As(err, &target):
		return usageError{err}
	case errors.As(err, &refused) && refused.Code == mongoerr.BadValue: // the same, from the server
		return usageError{errors.New(refused.Message)}
	case errors.As(err, &refused):
		return errors.New(refused.Message)
	case err != nil:
		return err
	}
	fmt.Fprintf(std.out, "backup made: %s\n", dir)
	return nil
}

// progress shows how large the copy is, which this process or the server makes.
func (c *backupCmd) progress(std streams, dir string) *progress {
	total, err := bench.DiskUsage(c.DataDir)
	if err != nil {
		total = 0
	}
	p := startProgress(std, "copying", "", total)
	p.poll(func() int64 {
		done, err := bench.DiskUsage(dir + docstore.PartialSuffix)
		if err != nil {
			return 0
		}
		return done
	})
	return p
}

// checkBackupTarget refuses a path that cannot become a directory, and says why. The database
// itself checks that the directory is empty.
func checkBackupTarget(dir string) error {
	parent := filepath.Dir(dir)
	fi, err := os.Stat(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s to put the backup in", parent)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to put a backup into %s", parent)
	case err == nil && !fi.IsDir():
		return fmt.Errorf("%s is not a directory", parent)
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}
