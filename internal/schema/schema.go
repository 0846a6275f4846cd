package schema

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/ranges"
)

const (
	collState     = "state"
	collInstances = "instances"
	stateID       = "schema"

	// baseVersion is that of a database without a version.
	baseVersion = 1

	// DefaultHeartbeat is how often an instance says that it runs, and reads the version.
	DefaultHeartbeat = 30 * time.Second
	// silentHeartbeats is after how many an instance that said nothing is taken for dead. It ended one
	// heartbeat later than it said something, or earlier: so it has been dead for 90 seconds, and the
	// database has ended its transactions.
	silentHeartbeats = 4
	// keepLost is how long the document of a killed instance stays at least, for operators to see.
	keepLost = 24 * time.Hour
	// callTimeout bounds each short call of the database.
	callTimeout = 15 * time.Second
)

// ErrNewer: the database has a form that this program does not know.
var ErrNewer = errors.New("a newer version of Gadwall uses this database")

// ErrOlder: instances of older programs are running, so that the database cannot be changed.
var ErrOlder = errors.New("instances of an older version of Gadwall are running: end or upgrade them first")

// A Migration leads to a version.
type Migration struct {
	Version int
	// Name is that of the job; it never changes. About says in a line what the migration does.
	Name, About string
	// Collection has the documents that the migration changes, with keys of KeySize octets. Without
	// one the migration is a new number alone.
	Collection string
	KeySize    int
	// Apply changes the documents of a range from g.From() to g.Last(). It calls g.Save after each
	// batch, and g.Finish at the end.
	Apply func(ctx context.Context, g *ranges.Range) error
}

// A Registry has what a program expects of a database.
type Registry struct {
	Indexes    []database.Indexes
	Forms      []database.Form // of the collections
	Migrations []Migration     // by ascending Version
}

// Version is the newest version that the program knows.
func (r *Registry) Version() int {
	if n := len(r.Migrations); n > 0 {
		return r.Migrations[n-1].Version
	}
	return baseVersion
}

// Options of a Schema. Database and Registry are needed.
type Options struct {
	Database *mongo.Database
	Redis    *redis.Client // for leases; nil without
	Registry Registry
	Program  string       // its version, for operators
	Log      *slog.Logger // nil is slog.Default()
	// ReadOnly writes nothing: neither the version of a new database nor that an instance runs.
	ReadOnly bool

	// Heartbeat is for tests; 0 is DefaultHeartbeat. So is Wait, which waits between two looks; nil
	// uses the clock. PerRange is that of ranges.Job.
	Heartbeat time.Duration
	Wait      func(ctx context.Context, d time.Duration) error
	PerRange  int64
}

// A Schema is a database's form as one instance knows it.
type Schema struct {
	o         Options
	state     *mongo.Collection
	instances *mongo.Collection
	version   atomic.Int64
	self      Instance
	// Report, if not nil, returns figures of this instance, which every heartbeat tells the others. It
	// is set before Watch.
	Report func() map[string]float64
	// Lost, if not nil, is told once of each other instance that has ended without Close, some
	// heartbeats after its last one. It may also be one that cannot reach the database. It is set
	// before Watch, and does not wait.
	Lost  func(*Instance)
	peers map[string]*peer // by id; of Watch
}

type stateDocument struct {
	Version int `bson:"version"`
	Least   int `bson:"least"`
}

// An Instance is a process that may write.
type Instance struct {
	ID      string    `bson:"_id" json:"id"`
	Host    string    `bson:"host" json:"host"`
	PID     int       `bson:"pid" json:"pid"`
	Program string    `bson:"program" json:"program"`
	Schema  int       `bson:"schema" json:"schema"`
	Since   time.Time `bson:"since" json:"since"`
	Seen    time.Time `bson:"seen" json:"seen"`
	Beats   int64     `bson:"beats" json:"-"`
	// Figures are what the instance told of itself with its latest heartbeat (Schema.Report).
	Figures map[string]float64 `bson:"figures,omitempty" json:"figures,omitempty"`
}

func (i *Instance) String() string {
	return fmt.Sprintf("process %d on %s (version %s, schema %d)", i.PID, i.Host, i.Program, i.Schema)
}

// Open notes that this instance runs, gives a new database its version, and returns ErrNewer if the
// program is too old for the database. The caller closes the Schema.
func Open(ctx context.Context, o Options) (*Schema, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	host, _ := os.Hostname()
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := &Schema{
		o:         o,
		state:     o.Database.Collection(collState, database.Committed()),
		instances: o.Database.Collection(collInstances, database.Committed()),
		self: Instance{ID: rand.Text(), Host: host, PID: os.Getpid(), Program: o.Program,
			Schema: o.Registry.Version(), Since: now, Seen: now},
	}
	// Before the version is read: see the package's documentation.
	if !o.ReadOnly {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if _, err := s.instances.InsertOne(call, s.self); err != nil {
			return nil, fmt.Errorf("schema: note the instance: %w", err)
		}
	}
	err := s.begin(ctx)
	if err != nil {
		s.Close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Schema) begin(ctx context.Context) error {
	doc, err := s.read(ctx)
	if err != nil {
		return err
	}
	if doc == nil {
		doc = &stateDocument{Version: baseVersion, Least: baseVersion}
		fresh, err := s.fresh(ctx)
		if err != nil {
			return err
		}
		if fresh {
			doc = &stateDocument{Version: s.o.Registry.Version(), Least: s.o.Registry.Version()}
		}
		if !s.o.ReadOnly {
			existed, err := s.note(ctx, doc)
			if err != nil {
				return err
			}
			if existed { // another instance was faster
				return s.begin(ctx)
			}
		}
	}
	return s.take(doc)
}

// note gives a database its version, if it has none.
func (s *Schema) note(ctx context.Context, doc *stateDocument) (existed bool, err error) {
	_, err = s.state.InsertOne(ctx, bson.D{{Key: "_id", Value: stateID},
		{Key: "version", Value: doc.Version}, {Key: "least", Value: doc.Least}})
	if mongo.IsDuplicateKeyError(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("schema: note the version: %w", err)
	}
	return false, nil
}

// take notes what the database says.
func (s *Schema) take(doc *stateDocument) error {
	if doc.Least > s.o.Registry.Version() {
		return fmt.Errorf("%w: it has schema %d, and this program knows versions up to %d",
			ErrNewer, doc.Least, s.o.Registry.Version())
	}
	s.version.Store(int64(doc.Version))
	return nil
}

func (s *Schema) read(ctx context.Context) (*stateDocument, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	doc := new(stateDocument)
	err := s.state.FindOne(ctx, bson.D{{Key: "_id", Value: stateID}}).Decode(doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("schema: read the version: %w", err)
	}
	return doc, nil
}

// fresh reports whether the database has nothing that a migration could change.
func (s *Schema) fresh(ctx context.Context) (bool, error) {
	seen := make(map[string]bool)
	for _, ix := range s.o.Registry.Indexes {
		seen[ix.Collection.Name()] = true
	}
	for _, m := range s.o.Registry.Migrations {
		if m.Collection != "" {
			seen[m.Collection] = true
		}
	}
	for name := range seen {
		empty, err := database.IsEmpty(ctx, s.o.Database.Collection(name, database.Collection()))
		if err != nil {
			return false, fmt.Errorf("schema: look into %s: %w", name, err)
		}
		if !empty {
			return false, nil
		}
	}
	return true, nil
}

// Version is the database's version, as far as this instance knows.
func (s *Schema) Version() int { return int(s.version.Load()) }

// Applied reports whether the migration to a version is through. A nil Schema says so of all, for
// stores that have no versions.
func (s *Schema) Applied(version int) bool { return s == nil || s.Version() >= version }

// Pending returns the migrations that the database lacks.
func (s *Schema) Pending() []Migration {
	var list []Migration
	for _, m := range s.o.Registry.Migrations {
		if !s.Applied(m.Version) {
			list = append(list, m)
		}
	}
	return list
}

// SetMigrations gives the migrations what they work with, once it is open. Their versions are those
// of the registry.
func (s *Schema) SetMigrations(list []Migration) { s.o.Registry.Migrations = list }

// Watch says that the instance runs, and follows the version and the other instances, until ctx ends.
// Its error is ErrNewer once the database has a form that this program does not know: then the instance
// must end. It logs other trouble and goes on.
func (s *Schema) Watch(ctx context.Context) error {
	for {
		if err := s.o.Wait(ctx, s.o.Heartbeat); err != nil {
			return nil
		}
		switch err := s.beat(ctx); {
		case errors.Is(err, ErrNewer):
			return err
		case err != nil && ctx.Err() == nil:
			s.o.Log.Warn("the version of the database and its instances are not known just now",
				"error", err)
		}
	}
}

func (s *Schema) beat(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	self := s.self
	seen := bson.D{{Key: "seen", Value: time.Now().UTC()}}
	if s.Report != nil {
		seen = append(seen, bson.E{Key: "figures", Value: s.Report()})
	}
	_, err := s.instances.UpdateOne(call, bson.D{{Key: "_id", Value: self.ID}}, bson.D{
		{Key: "$inc", Value: bson.D{{Key: "beats", Value: int64(1)}}},
		{Key: "$set", Value: seen},
		{Key: "$setOnInsert", Value: bson.D{{Key: "host", Value: self.Host}, {Key: "pid", Value: self.PID},
			{Key: "program", Value: self.Program}, {Key: "schema", Value: self.Schema},
			{Key: "since", Value: self.Since}}},
	}, options.UpdateOne().SetUpsert(true)) // it was taken for dead
	if err != nil {
		return fmt.Errorf("schema: note the instance: %w", err)
	}
	doc, err := s.read(ctx)
	if err != nil || doc == nil {
		return err
	}
	before := s.Version()
	if err := s.take(doc); err != nil {
		return err
	}
	if before != doc.Version {
		s.o.Log.Info("the database has a new schema", "version", doc.Version)
	}
	return s.followPeers(ctx)
}

// maxInstances bounds the instances that are listed.
const maxInstances = 1000

// Instances returns the instances that have the database open, and those that were killed not long ago.
func (s *Schema) Instances(ctx context.Context) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.list(ctx, options.Find())
}

func (s *Schema) list(ctx context.Context, how *options.FindOptionsBuilder) ([]Instance, error) {
	cur, err := s.instances.Find(ctx, bson.D{}, how.SetLimit(maxInstances))
	list := []Instance{}
	if err == nil {
		err = cur.All(ctx, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("schema: read the instances: %w", err)
	}
	return list, nil
}

// Self is this instance's id.
func (s *Schema) Self() string { return s.self.ID }

// SilentAfter is the time without a heartbeat after which an instance is taken for dead.
func (s *Schema) SilentAfter() time.Duration { return silentHeartbeats * s.o.Heartbeat }

// Close removes what says that the instance runs.
func (s *Schema) Close(ctx context.Context) {
	if s.o.ReadOnly {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := s.instances.DeleteOne(ctx, bson.D{{Key: "_id", Value: s.self.ID}}); err != nil {
		s.o.Log.Warn("the note of this instance stays in the database", "error", err)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
