package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/blobstore"
	"gadwall/internal/config"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/docstore"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
)

const (
	// redisSocket is the embedded Redis in the data directory.
	redisSocket = "redis.sock"
	// openTimeout bounds connecting to the database. Making indexes may take far longer where there is much mail: that
	// ends with the signal to stop.
	openTimeout = 2 * time.Minute
	// selectTimeout bounds how long the driver looks for a primary.
	selectTimeout = 15 * time.Second
	// closeTimeout bounds waiting for deliveries under way, and saying goodbye to the database.
	closeTimeout = 10 * time.Second
)

// storage is everything below the protocols. Its parts are opened in the
// order of the fields and closed in the reverse one.
type storage struct {
	embedded *docstore.Server // nil with --mongodb-uri, and in a second process
	client   *mongo.Client
	database *mongo.Database
	log      *slog.Logger
	redis    *events.Embedded // nil unless it is this process's
	lock     *redis.Client    // of the bus; nil without Redis
	bus      events.Bus
	contents *contents.Store
	mail     *mailstore.Store

	closers []func() error
}

// An access says for what storage is opened.
type access int

const (
	// serving: by a server, which has the data directory for itself and also finishes deletions that others left.
	serving access = iota
	// sharing: by a command, through the socket of the process that has the data directory open, if there is one.
	sharing
	// looking is sharing, and nothing is created: neither collections nor indexes.
	looking
)

// openStorage opens the database and what stands on it.
func openStorage(ctx context.Context, cfg config.Storage, log *slog.Logger, a access) (_ *storage, err error) {
	s := &storage{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openDatabase(ctx, cfg, log, a != serving); err != nil {
		return nil, err
	}
	if err := s.openBus(cfg, log); err != nil {
		return nil, err
	}
	db := s.client.Database(cfg.MongoDBDatabase)
	s.database = db
	blobs, err := blobstore.New(db, blobstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	if s.contents, err = contents.New(db, blobs, contents.Options{Logger: log}); err != nil {
		return nil, err
	}
	if a != looking {
		if err := s.contents.EnsureIndexes(ctx); err != nil {
			return nil, err
		}
	}
	s.mail, err = mailstore.Open(ctx, mailstore.Options{
		Database: db, Contents: s.contents, Bus: s.bus, Quota: cfg.Quota.Policy(), Resume: a == serving, ReadOnly: a == looking, Logger: log})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.closeMail)
	return s, nil
}

// closeMail closes the store. Where the database does not let deliveries end, they are cut off; they were not acknowledged.
func (s *storage) closeMail() error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.mail.Close()
	}()
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	select {
	case <-closed:
		return nil
	case <-limit.C:
		return fmt.Errorf("deliveries did not end within %v", closeTimeout)
	}
}

func (s *storage) openDatabase(ctx context.Context, cfg config.Storage, log *slog.Logger, share bool) error {
	opts := options.Client()
	if cfg.Embedded() {
		dir, err := filepath.Abs(cfg.DataDir)
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		server, err := docstore.Open(docstore.Options{Dir: dir, Logger: log})
		var locked *docstore.LockedError
		switch {
		case errors.As(err, &locked) && share:
			opts.ApplyURI(socketURI(locked.Socket))
		case errors.As(err, &locked):
			return fmt.Errorf("the data directory %s is in use by another process; a second server on the same data needs --mongodb-uri '%s' and --redis-url 'unix://%s'",
				dir, socketURI(locked.Socket), filepath.Join(dir, redisSocket))
		case isMkdir(err):
			return usageError{fmt.Errorf("--data-dir: %w", err)}
		case err != nil:
			return err
		default:
			s.embedded = server
			s.closers = append(s.closers, server.Close)
			if err := server.ListenUnix(filepath.Join(dir, docstore.SocketName)); err != nil {
				// Everything but other processes works without it.
				log.Warn("the database has no socket: gadwall user cannot run beside this process", "error", err)
			}
			opts = server.ClientOptions()
		}
	} else {
		opts.ApplyURI(cfg.MongoDBURI)
	}
	opts.SetAppName("gadwall").SetServerSelectionTimeout(selectTimeout)
	// Whatever the connection string says, also for what is no collection's: making collections, and transactions.
	opts.SetWriteConcern(database.Durable()).SetReadConcern(readconcern.Local()).SetReadPreference(readpref.Primary())
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client, err := mongo.Connect(opts)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	s.client = client
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return client.Disconnect(ctx)
	})
	return checkDeployment(ctx, client)
}

// isMkdir reports whether it is the data directory itself that could not be made.
func isMkdir(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Op == "mkdir"
}

// checkDeployment refuses a stand-alone MongoDB, which has no transactions.
func checkDeployment(ctx context.Context, client *mongo.Client) error {
	var hello struct {
		SetName   string    `bson:"setName"`
		Msg       string    `bson:"msg"`
		LocalTime time.Time `bson:"localTime"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return fmt.Errorf("cannot reach the database: %w", err)
	}
	if hello.SetName == "" && hello.Msg != "isdbgrid" {
		return errors.New("this MongoDB is neither a replica set nor a sharded cluster; Gadwall needs transactions (a replica set of one member will do)")
	}
	return checkClock(time.Now(), hello.LocalTime)
}

// maxClockSkew is how much the clocks of an instance and of the database may differ. References are told from leaks by the
// times at which instances changed them, which leaves twelve hours for clocks that differ (dedupe.DefaultGrace).
const maxClockSkew = time.Hour

// checkClock refuses to work with a clock that is wrong by hours: a check would then take mail on its way for a leak.
func checkClock(now, database time.Time) error {
	if skew := now.Sub(database); skew > maxClockSkew || skew < -maxClockSkew {
		return fmt.Errorf("the clock of this machine says %s, that of the database %s; they may differ by %v",
			now.UTC().Format(time.RFC3339), database.UTC().Format(time.RFC3339), maxClockSkew)
	}
	return nil
}

// openBus connects to whatever carries events to other processes on this data.
func (s *storage) openBus(cfg config.Storage, log *slog.Logger) error {
	redis.SetLogger(redisLog{log})
	var client *redis.Client
	switch {
	case cfg.RedisURL != "":
		var err error
		if client, err = events.NewClient(cfg.RedisURL); err != nil {
			return err
		}
		s.closers = append(s.closers, client.Close)
	case s.embedded != nil:
		mini, err := events.StartEmbedded(filepath.Join(cfg.DataDir, redisSocket))
		if err != nil {
			log.Warn("no socket for events: other processes notice changes by polling", "error", err)
			break
		}
		s.redis = mini
		s.closers = append(s.closers, mini.Close)
		client = mini.Client()
	case cfg.Embedded():
		client = events.SocketClient(filepath.Join(cfg.DataDir, redisSocket))
		s.closers = append(s.closers, client.Close)
	default:
		log.Warn("no --redis-url: other instances notice changes by polling only")
	}
	s.lock = client
	if client == nil {
		s.bus = events.NewLocal()
	} else {
		s.bus = events.NewRedis(client, log)
	}
	s.closers = append(s.closers, s.bus.Close)
	return nil
}

// Close closes everything; the embedded database last.
func (s *storage) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func socketURI(path string) string {
	return "mongodb://" + url.PathEscape(path) + "/?directConnection=true"
}

// redisLog makes go-redis's own messages quiet: the bus reports what matters.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis: " + fmt.Sprintf(format, v...))
}

// newLogger logs to standard error.
func newLogger(cfg config.Log, std streams) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level: %w", err)}
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(std.err, opts)), nil
	}
	return slog.New(slog.NewTextHandler(std.err, opts)), nil
}
