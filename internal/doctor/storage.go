package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"gadwall/internal/database"
	"gadwall/internal/node"
	"gadwall/internal/schema"
)

// storage looks at the database.
func storage(ctx context.Context, o *Options) []Finding {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	f := &findings{area: "database"}
	s := &o.Serve.Storage
	if s.Check() != nil {
		return nil // a finding of the configuration
	}
	if err := node.MustExist(*s); errors.Is(err, node.ErrNoDatabase) {
		f.ok("There is no database in %s yet: the first start makes it.", s.DataDir)
		admission(o, f, func() (bool, error) { return false, nil })
		return f.list
	}
	n, err := node.Open(ctx, node.Options{Storage: *s, Access: node.Looking, Version: o.Version,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.problem(advice(err), "The database cannot be used: %v", err)
		return f.list
	}
	defer n.Close()
	if s.Embedded() {
		f.ok("The embedded database in %s answers.", s.DataDir)
	} else {
		topology(ctx, n.Client, f, o.Now())
	}
	transactions(ctx, n.Database, f)
	admission(o, f, func() (bool, error) { return n.Mail.HasAdminToken(ctx) })
	clock := &findings{area: "clock"}
	clocks(ctx, n.Client, clock, o.Now)
	form := &findings{area: "schema"}
	instances := &findings{area: "instances"}
	if status, err := n.Schema.Status(ctx); err != nil {
		form.problem("Look at the log of the database.", "The form of the database cannot be read: %v", err)
	} else {
		forms(status, form)
		running(o, status, instances)
	}
	return slices.Concat(f.list, clock.list, form.list, instances.list)
}

// admission looks for what lets an API beyond loopback start: the setting, or a token that hasToken
// finds in the database.
func admission(o *Options, f *findings, hasToken func() (bool, error)) {
	if !o.Serve.NeedsToken() {
		return
	}
	switch has, err := hasToken(); {
	case err != nil:
		f.problem("Look at the log of the database.", "The tokens of the HTTP API cannot be read: %v", err)
	case !has:
		f.problem("Set --http-token, or run gadwall token create admin --scopes all.",
			"The server will not start: --http-listen %s is beyond loopback, and there is no token for everything.",
			o.Serve.HTTPListen)
	default:
		f.ok("The database has a token for the HTTP API beyond loopback.")
	}
}

// advice says what to do about a database that cannot be opened.
func advice(err error) string {
	var setting *node.SettingError
	switch {
	case errors.Is(err, schema.ErrNewer):
		return "Run the program of the newer instances."
	case errors.As(err, &setting):
		return "Set it otherwise."
	case database.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded):
		return "Look whether the database runs, and at the network between it and this machine."
	}
	return "See \"A MongoDB and several instances\" in docs/operations.md."
}

// A server is what a server of MongoDB says of itself.
type server struct {
	SetName  string   `bson:"setName"`
	Msg      string   `bson:"msg"`
	Hosts    []string `bson:"hosts"`
	Passives []string `bson:"passives"`
	Primary  string   `bson:"primary"`
}

// A set is what a member says of its replica set.
type set struct {
	Members []struct {
		Name   string    `bson:"name"`
		Health float64   `bson:"health"`
		State  string    `bson:"stateStr"`
		Optime time.Time `bson:"optimeDate"`
	} `bson:"members"`
}

// topology looks at the servers of a MongoDB.
func topology(ctx context.Context, client *mongo.Client, f *findings, now time.Time) {
	admin := client.Database("admin")
	var is server
	err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&is)
	if database.HasCode(err, database.CommandNotFound) {
		err = admin.RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Decode(&is)
	}
	if err != nil {
		f.problem("Look at the log of the database.", "The database does not say what it is: %v", err)
		return
	}
	var build struct {
		Version string `bson:"version"`
	}
	if err := admin.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&build); err != nil {
		build.Version = "of unknown version"
	}
	var members *set
	if is.SetName != "" {
		members = new(set)
		// Without the right to ask, the look is at the rest.
		if err := admin.RunCommand(ctx, bson.D{{Key: "replSetGetStatus", Value: 1}}).Decode(members); err != nil {
			members = nil
		}
	}
	describe(f, is, build.Version, members, now)
	var concern struct {
		Write bson.Raw `bson:"defaultWriteConcern"`
	}
	if err := admin.RunCommand(ctx, bson.D{{Key: "getDefaultRWConcern", Value: 1}}).Decode(&concern); err == nil &&
		len(concern.Write) > 0 {
		f.ok("Writes of Gadwall ask for w: majority, j: true, whatever the default of the cluster is (%s).",
			concern.Write)
	}
}

// describe judges what servers say of themselves.
func describe(f *findings, is server, version string, members *set, now time.Time) {
	if is.Msg == "isdbgrid" {
		f.ok("MongoDB %s, a sharded cluster.", version)
		return
	}
	n := len(is.Hosts) + len(is.Passives)
	f.ok("MongoDB %s, replica set %s with %d members with data: %s.", version, is.SetName, n,
		strings.Join(append(is.Hosts, is.Passives...), ", "))
	switch n {
	case 1:
		f.warn("Add two members, on machines of their own.",
			"The replica set has one member: when it is lost, so is what came after the latest backup.")
	case 2:
		f.warn("Add a third member with data.",
			"The replica set has two members: when either fails, no mail is stored.")
	}
	if members == nil {
		f.warn("Give the user the role clusterMonitor, if this is to be looked at.",
			"The state of the members is not known: the database does not tell it.")
		return
	}
	var newest time.Time
	for _, m := range members.Members {
		if m.Optime.After(newest) {
			newest = m.Optime
		}
	}
	for _, m := range members.Members {
		switch behind := newest.Sub(m.Optime); {
		case m.Health == 0:
			f.problem("Start it, or look at the network.", "The member %s cannot be reached.", m.Name)
		case m.State != "PRIMARY" && m.State != "SECONDARY":
			f.warn("Wait until it has caught up, or look at its log.",
				"The member %s is in the state %s.", m.Name, m.State)
		case behind > lagWarning:
			f.warn("Look at its disks and its network: writes wait for a majority of the members.",
				"The member %s is %s behind.", m.Name, since(behind))
		}
	}
}

// transactions tries one that changes nothing.
func transactions(ctx context.Context, db *mongo.Database, f *findings) {
	session, err := db.Client().StartSession()
	if err != nil {
		f.problem("Look at the log of the database.", "There are no sessions: %v", err)
		return
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	nobody := bson.D{{Key: "_id", Value: bson.Binary{Data: []byte("doctor")}}}
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return db.Collection("users").UpdateOne(ctx, nobody, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}})
	}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(database.Durable()))
	if err != nil {
		f.problem("Gadwall needs a replica set or a sharded cluster, and the role readWrite on its database.",
			"Transactions do not work: %v", err)
		return
	}
	f.ok("Transactions work.")
}

// clocks compares this machine's with the database's.
func clocks(ctx context.Context, client *mongo.Client, f *findings, now func() time.Time) {
	var is struct {
		LocalTime time.Time `bson:"localTime"`
	}
	before := now()
	err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Decode(&is)
	after := now()
	if err != nil || is.LocalTime.IsZero() {
		f.warn("Compare them yourself.", "The clock of the database is not known (%s).", either(err, "it tells none"))
		return
	}
	// What time the answer took says nothing of the clocks.
	skew := time.Duration(0)
	if d := before.Sub(is.LocalTime); d > skew {
		skew = d
	}
	if d := is.LocalTime.Sub(after); d > skew {
		skew = d
	}
	if skew > skewWarning {
		f.warn("Let NTP set both; servers refuse to start when they differ by an hour.",
			"The clocks of this machine and of the database differ by %s.", since(skew))
		return
	}
	f.ok("The clocks of this machine and of the database agree.")
}

// forms judges indexes and versions.
func forms(s *schema.Status, f *findings) {
	apply := "Run gadwall schema apply."
	for _, ix := range s.Indexes {
		name := ix.Collection + "." + ix.Index
		switch {
		case ix.Wrong:
			f.problem("Drop it, then run gadwall schema apply.",
				"The index %s has other keys or options than it should.", name)
		case ix.Building:
			f.warn("Wait until it is built.", "The index %s is being built.", name)
		case ix.Optional:
			f.warn(apply, "The index %s is missing: something is slower than it should be.", name)
		default:
			f.problem(apply, "The index %s is missing: servers wait for it.", name)
		}
	}
	for _, m := range s.Migrations {
		f.warn(apply, "The database has schema %d, and this program knows %d (%s).", s.Version, m.Version, m.About)
	}
	if s.Complete() {
		f.ok("The database has schema %d and all indexes.", s.Version)
	}
}

// running looks at the instances that have the database open, and at the limits of those on this
// machine.
func running(o *Options, s *schema.Status, f *findings) {
	versions := make(map[string]bool)
	var names []string
	host, err := o.System.Hostname()
	for _, i := range s.Instances {
		versions[i.Program] = true
		names = append(names, fmt.Sprintf("process %d on %s (%s)", i.PID, i.Host, i.Program))
		if silent := o.Now().Sub(i.Seen); silent > 3*schema.DefaultHeartbeat {
			f.warn("Look whether it still runs; if not, its entry goes by itself.",
				"Process %d on %s was last heard of %s ago.", i.PID, i.Host, since(silent))
		}
		if err == nil && i.Host == host {
			if files, err := o.System.Files(i.PID); err == nil {
				enoughFiles(f, &o.Serve, files, fmt.Sprintf("process %d", i.PID))
			}
		}
	}
	switch {
	case len(names) == 0:
		f.ok("No instance is running.")
	case len(versions) > 1:
		f.warn("Replace the older ones.", "Instances of several versions are running: %s.", strings.Join(names, ", "))
	default:
		f.ok("Running: %s.", strings.Join(names, ", "))
	}
}
