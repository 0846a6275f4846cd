package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/restore"
)

// restoreCmd brings mail back. With a directory and no user it makes a data directory of a backup;
// without a directory it advances the mailboxes of a database that was restored by other means;
// with a directory and a user it puts that user's mail into the server's.
type restoreCmd struct {
	storageSettings
	Directory string `arg:"" optional:"" name:"dir" help:"The backup. Without it, the database was restored already and needs its mailboxes advanced."`

	User    string `placeholder:"NAME" help:"Restore the mail of this user into the database, also while the server runs. Messages that are there already are passed over."`
	Mailbox string `placeholder:"PATH" help:"Of this mailbox only."`
	As      string `placeholder:"PATH" help:"Put the mailbox, or all mailboxes of the user, under this path."`

	Resume         bool `help:"Go on with a restore that was interrupted."`
	Anew           bool `help:"Begin again although a restore was interrupted: the database was restored once more since."`
	AdvanceUIDs    int  `name:"advance-uids" default:"16777216" help:"By how much the next UID of every mailbox rises: more than any mailbox took in since the backup."`
	NewUIDValidity bool `name:"new-uidvalidity" help:"Give every mailbox a new UIDVALIDITY instead. Clients fetch all mail again."`
}

func (c *restoreCmd) Run(std streams) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	switch {
	case c.User != "":
		return c.restoreUser(std)
	case c.Directory != "":
		return c.restoreDirectory(std)
	}
	restoring := node.Options{Access: node.Restoring}
	return c.withNode(std, restoring, func(ctx context.Context, n *node.Node) error {
		progress := startProgress(std, "advancing mailboxes", "", 0)
		done, err := n.Mail.Advance(ctx, c.advance())
		progress.end()
		return c.report(std, done, err)
	})
}

func (c *restoreCmd) check() error {
	switch {
	case c.User == "" && (c.Mailbox != "" || c.As != ""):
		return errors.New("--mailbox and --as go with --user")
	case c.User != "" && c.Directory == "":
		return errors.New("--user needs the directory of a backup")
	case c.User != "" && (c.Resume || c.Anew || c.NewUIDValidity):
		return errors.New("--resume, --anew and --new-uidvalidity do not go with --user: run the command again")
	case c.Resume && c.Anew:
		return errors.New("--resume and --anew exclude each other")
	case c.AdvanceUIDs < 1 || c.AdvanceUIDs > 1<<30:
		return fmt.Errorf("--advance-uids: %d is not between 1 and %d", c.AdvanceUIDs, 1<<30)
	case c.User == "" && c.Directory != "" && !c.Storage.Embedded():
		return errors.New("a directory is a backup of the embedded database: restore MongoDB with its own " +
			"means (mongorestore --oplogReplay, or snapshots), and then run gadwall restore " +
			"--mongodb-uri without a directory")
	}
	return nil
}

func (c *restoreCmd) advance() mailstore.AdvanceOptions {
	return mailstore.AdvanceOptions{
		UIDs: uint32(c.AdvanceUIDs), NewUIDValidity: c.NewUIDValidity, Resume: c.Resume, Anew: c.Anew}
}

// report prints what an advance did, or tells how to go on.
func (c *restoreCmd) report(std streams, done mailstore.AdvanceCount, err error) error {
	switch {
	case errors.Is(err, mailstore.ErrAdvancing):
		return usageError{fmt.Errorf("%w; go on with it by --resume or, if the database was restored again "+
			"since, begin again by --anew", err)}
	case errors.Is(err, mailstore.ErrNotAdvancing):
		return usageError{fmt.Errorf("--resume: %w", err)}
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; go on by --resume")
	case err != nil:
		return err
	}
	fmt.Fprintf(std.out, "restored: %s, %s, %s", count(done.Users, "user"), count(done.Mailboxes, "mailbox"),
		count(done.Messages, "message"))
	if done.NewUIDValidity > 0 {
		fmt.Fprintf(std.out, "; new UIDVALIDITY in %s", count(done.NewUIDValidity, "mailbox"))
	}
	fmt.Fprintln(std.out)
	return nil
}

// restoreDirectory makes the data directory of a backup.
func (c *restoreCmd) restoreDirectory(std streams) error {
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	log, _, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	progress := startProgress(std, "restoring", "", 0)
	done, err := restore.Directory(ctx, restore.DirectoryOptions{
		From: c.Directory, To: c.DataDir, Advance: c.advance(),
		Open: func(ctx context.Context, dir string, f func(context.Context, *mailstore.Store) error) (err error) {
			storage := c.Storage
			storage.DataDir = dir
			n, err := node.Open(ctx, node.Options{Storage: storage, Access: node.Restoring, Logger: log})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.Close()) }()
			return f(ctx, n.Mail)
		},
	})
	progress.end()
	return c.report(std, done, restoreError(err))
}

// restoreError makes of what the caller named wrongly a usage error.
func restoreError(err error) error {
	var source *restore.SourceError
	var target *restore.TargetError
	if errors.As(err, &source) || errors.As(err, &target) {
		return usageError{err}
	}
	return err
}

// restoreUser puts the mail of one user into the database of the settings.
func (c *restoreCmd) restoreUser(std streams) error {
	return c.withNode(std, node.Options{Access: node.Sharing}, func(ctx context.Context, n *node.Node) (err error) {
		user, err := n.Mail.UserByName(ctx, c.User)
		if errors.Is(err, mailstore.ErrNoSuchUser) {
			return fmt.Errorf("%w: %s; create the user by gadwall user add", mailstore.ErrNoSuchUser, c.User)
		}
		if err != nil {
			return err
		}
		log, _, err := newLogger(c.Log, std)
		if err != nil {
			return err
		}
		dir, remove, err := restore.View(ctx, c.Directory)
		if err != nil {
			return restoreError(err)
		}
		defer func() { err = errors.Join(err, remove()) }()
		backup, err := node.Open(ctx, node.Options{
			Storage: config.Storage{DataDir: dir, MongoDBDatabase: c.MongoDBDatabase},
			Access:  node.Looking, Logger: log})
		if err != nil {
			return fmt.Errorf("open the backup: %w", err)
		}
		defer func() { err = errors.Join(err, backup.Close()) }()
		progress := startProgress(std, "restoring "+c.User, "", 0)
		done, err := restore.User(ctx, restore.UserOptions{
			From: backup.Mail, Username: c.User, To: n.Accounts.Of(user), Mailbox: c.Mailbox, As: c.As,
			Logger: log,
		})
		progress.end()
		fmt.Fprintf(std.out, "restored: %s in %s, %s; %d were there\n", count(done.Restored, "message"),
			count(done.Mailboxes, "mailbox"), count(done.Bytes, "byte"), done.Present)
		if done.Annotations > 0 {
			fmt.Fprintf(std.out, "restored: %s\n", count(done.Annotations, "annotation"))
		}
		if err == nil && done.Damaged > 0 {
			err = fmt.Errorf("%s of the backup cannot be read", count(done.Damaged, "message"))
		}
		return err
	})
}
