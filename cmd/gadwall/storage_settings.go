package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"gadwall/internal/config"
	"gadwall/internal/docstore"
	"gadwall/internal/mailstore"
)

// storageSettings are the flags of every command that works on what is stored. With the embedded database
// the commands work beside a running server, through its socket.
type storageSettings struct {
	config.Storage
	config.Log
}

// withStore opens the store, runs f, and closes the store.
func (c *storageSettings) withStore(std streams, f func(context.Context, *mailstore.Store) error) error {
	return c.withStorage(std, sharing, func(ctx context.Context, s *storage) error { return f(ctx, s.mail) })
}

// withStorage opens all storage, runs f, and closes it.
func (c *storageSettings) withStorage(std streams, a access, f func(context.Context, *storage) error) (err error) {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	log, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	store, err := openStorage(ctx, c.Storage, log, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return f(ctx, store)
}

// mustExist refuses a data directory without a database: whoever looks after one has named the wrong directory.
func mustExist(cfg config.Storage) error {
	if !cfg.Embedded() {
		return nil
	}
	there, err := docstore.Exists(cfg.DataDir)
	if err == nil && !there {
		err = usageError{fmt.Errorf("--data-dir: there is no database in %s", cfg.DataDir)}
	}
	return err
}
