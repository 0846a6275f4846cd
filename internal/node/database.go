package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/internal/config"
	"gadwall/internal/database"
	"gadwall/internal/docstore"
)

// defaultConnections is how many connections to each server a process has at most for writes and
// small reads, defaultReadConnections how many for what clients read of contents and attachments.
const (
	defaultConnections     = 100
	defaultReadConnections = 32
)

func (n *Node) openDatabase(ctx context.Context, o Options) error {
	cfg, opts := o.Storage, options.Client()
	watch := &connecting{hopeless: isHopeless, failed: make(map[string]error)}
	if cfg.Embedded() {
		var err error
		if opts, err = n.openEmbedded(o); err != nil {
			return err
		}
		watch.hopeless = isForbidden // the process that has the database may just be starting
	} else {
		opts.ApplyURI(cfg.MongoDBURI)
		n.log.Info("connecting to the database", "servers", strings.Join(opts.Hosts, ","))
	}
	database.Bound(opts).SetAppName("gadwall")
	// The connection string has no say, also where no collection is opened: in making collections
	// and transactions.
	opts.SetWriteConcern(database.Durable()).SetReadConcern(readconcern.Local()).SetReadPreference(readpref.Primary())
	if opts.MaxPoolSize == nil || cfg.Embedded() {
		opts.SetMaxPoolSize(uint64(cmp.Or(cfg.Connections, defaultConnections)))
	}
	opts.SetMonitor(n.Activity.Monitor())
	reads := *opts
	reads.SetMinPoolSize(0).SetMaxPoolSize(uint64(cmp.Or(cfg.ReadConnections, defaultReadConnections)))
	looking, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	watch.cancel = cancel
	opts.SetServerMonitor(watch.monitor())
	var err error
	if n.Client, err = n.connect(opts); err != nil {
		return err
	}
	hello, err := sayHello(looking, n.Client)
	if err := watch.explain(ctx, err); err != nil {
		return err
	}
	if err := hello.check(time.Now()); err != nil {
		return err
	}
	client, err := n.connect(&reads)
	if err != nil {
		return err
	}
	n.reads = client.Database(cfg.MongoDBDatabase)
	return nil
}

// connect makes a client that Close disconnects.
func (n *Node) connect(opts *options.ClientOptions) (*mongo.Client, error) {
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	n.closers = append(n.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return client.Disconnect(ctx)
	})
	return client, nil
}

// openEmbedded opens the data directory, or returns the way to the process that has it open.
func (n *Node) openEmbedded(o Options) (*options.ClientOptions, error) {
	cfg, access := o.Storage, o.Access
	suits := mayCreate
	if access != Serving && !o.Create {
		suits = mustExist
	}
	if err := suits(cfg.DataDir); err != nil {
		return nil, explainDir(cfg.DataDir, err)
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	server, err := docstore.Open(docstore.Options{Dir: dir, Logger: n.log})
	var locked *docstore.LockedError
	var path *fs.PathError
	switch {
	case errors.As(err, &path) && path.Op == "mkdir": // the directory itself
		return nil, &SettingError{fmt.Errorf("--data-dir: %w", path)}
	case isForbidden(err):
		return nil, explainDir(dir, err)
	case errors.As(err, &locked) && access == Restoring:
		return nil, fmt.Errorf("the data directory %s is in use by a server: stop the server first", dir)
	case errors.As(err, &locked) && access != Serving:
		return options.Client().ApplyURI(SocketURI(locked.Socket)), nil
	case errors.As(err, &locked):
		return nil, fmt.Errorf(
			"the data directory %s is in use by another process; a second server on the same data "+
				"needs --mongodb-uri '%s' and --redis-url 'unix://%s'",
			dir,
			SocketURI(locked.Socket),
			filepath.Join(dir, redisSocket),
		)
	case err != nil:
		return nil, err
	}
	n.Embedded = server
	n.closers = append(n.closers, server.Close)
	if err := server.ListenUnix(filepath.Join(dir, docstore.SocketName)); err != nil {
		// Everything but other processes works without it.
		n.log.Warn("the database has no socket: no command can run beside this process", "error", err)
	}
	return server.ClientOptions(), nil
}

// ErrNoDatabase reports a data directory in which no database was made yet.
var ErrNoDatabase = errors.New("there is no database")

// MustExist refuses a data directory without a database: the operator named the wrong one.
func MustExist(cfg config.Storage) error {
	if !cfg.Embedded() {
		return nil
	}
	return explainDir(cfg.DataDir, mustExist(cfg.DataDir))
}

func mustExist(dir string) error {
	exists, err := docstore.Exists(dir)
	if err == nil && !exists {
		err = &SettingError{fmt.Errorf("--data-dir: %w in %s; gadwall serve makes one", ErrNoDatabase, dir)}
	}
	return err
}

// explainDir makes a SettingError of a directory that this process may not use, and says who may.
func explainDir(dir string, err error) error {
	if !isForbidden(err) {
		return err
	}
	text := fmt.Sprintf("--data-dir: no permission to use %s", dir)
	if fi, err := os.Stat(dir); err == nil {
		if stat, ok := fi.Sys().(*syscall.Stat_t); ok {
			text += fmt.Sprintf(", which belongs to %s: run this as that user", ownerName(stat.Uid))
		}
	}
	return &SettingError{errors.New(text)}
}

func ownerName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}

// harmless are the files that may be in a directory which becomes a data directory: what file
// systems put there, and what a start leaves that failed before it made the database.
var harmless = []string{"lost+found", "LOCK", docstore.SocketName, redisSocket}

// mayCreate refuses to make a database among other files: the operator named the wrong directory.
func mayCreate(dir string) error {
	exists, err := docstore.Exists(dir)
	if err != nil || exists {
		return err
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(len(harmless) + 1)
	if err != nil && err != io.EOF {
		return fmt.Errorf("--data-dir: %w", err)
	}
	for _, name := range names {
		if !slices.Contains(harmless, name) {
			return &SettingError{fmt.Errorf("--data-dir: %s has no database and is not empty (there is %s): "+
				"name another directory, or an empty one", dir, name)}
		}
	}
	return nil
}

// SocketURI is the connection string for the embedded database's socket.
func SocketURI(path string) string {
	return "mongodb://" + url.PathEscape(path) + "/?directConnection=true"
}

// EmbeddedURI is the connection string for the embedded database of a data directory, which a process
// has open.
func EmbeddedURI(dir string) string { return SocketURI(filepath.Join(dir, docstore.SocketName)) }

// A hello is what a server says of itself.
type hello struct {
	SetName        string    `bson:"setName"`
	Msg            string    `bson:"msg"`
	LocalTime      time.Time `bson:"localTime"`
	MaxWireVersion int       `bson:"maxWireVersion"`
	Arbiters       []string  `bson:"arbiters"`
}

func sayHello(ctx context.Context, client *mongo.Client) (*hello, error) {
	h := new(hello)
	return h, database.Hello(ctx, client, h)
}

// check refuses a MongoDB that is too old, a stand-alone one, which has no transactions, a set with
// an arbiter, and one whose clock is another.
func (h *hello) check(now time.Time) error {
	if h.MaxWireVersion < leastWireVersion {
		return errors.New("this MongoDB is older than 4.4, the first version that Gadwall works with")
	}
	if len(h.Arbiters) > 0 {
		return fmt.Errorf("this replica set has an arbiter (%s): when a member fails, no write is acknowledged "+
			"by a majority any more, and reads of what a majority has stand still. "+
			"Make it a member that has data", strings.Join(h.Arbiters, ", "))
	}
	if h.SetName == "" && h.Msg != "isdbgrid" {
		return errors.New("this MongoDB is neither a replica set nor a sharded cluster; Gadwall needs transactions " +
			"(a replica set of one member will do)")
	}
	return checkClock(now, h.LocalTime)
}

// checkClock refuses to work with a clock that is wrong by hours: a check would then take mail that
// is being delivered for a leak.
func checkClock(now, database time.Time) error {
	if skew := now.Sub(database); skew > maxClockSkew || skew < -maxClockSkew {
		return fmt.Errorf("the clock of this machine says %s, that of the database %s; they may differ by %v",
			now.UTC().Format(time.RFC3339), database.UTC().Format(time.RFC3339), maxClockSkew)
	}
	return nil
}
