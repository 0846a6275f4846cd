package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"syscall"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
)

// storageSettings are the flags of every command that works on what is stored. With the embedded
// database the commands work beside a running server, through its socket.
type storageSettings struct {
	config.Storage
	config.Log
}

// withStore opens the store, runs f, and closes the store.
func (c *storageSettings) withStore(std streams, f func(context.Context, *mailstore.Store) error) error {
	return c.withStorage(std, node.Sharing, func(ctx context.Context, n *node.Node) error { return f(ctx, n.Mail) })
}

// withStorage opens all storage, runs f, and closes it.
func (c *storageSettings) withStorage(std streams, access node.Access,
	f func(context.Context, *node.Node) error) error {
	return c.withNode(std, node.Options{Access: access}, f)
}

func (c *storageSettings) withNode(std streams, o node.Options,
	f func(context.Context, *node.Node) error) (err error) {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	o.Storage, o.Version = c.Storage, version
	if o.Logger, _, err = newLogger(c.Log, std); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	n, err := node.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return f(ctx, n)
}

// newLogger logs to standard error, from a level on that can be changed.
func newLogger(cfg config.Log, std streams) (*slog.Logger, *slog.LevelVar, error) {
	at, err := levelOf(cfg)
	if err != nil {
		return nil, nil, err
	}
	level := new(slog.LevelVar)
	level.Set(at)
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(std.err, opts)), level, nil
	}
	return slog.New(slog.NewTextHandler(std.err, opts)), level, nil
}

func levelOf(cfg config.Log) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return 0, usageError{fmt.Errorf("--log-level: %w", err)}
	}
	return level, nil
}
