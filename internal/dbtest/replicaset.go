package dbtest

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// A ReplicaSet is a database of the test's own that fails on command: by fail points, and by a
// primary that steps down. It is embedded, also where other tests use MongoDB: a server that others
// use must not be made to fail.
type ReplicaSet struct {
	server  *docstore.Server
	members []*mongo.Client // the test's own way to each
}

// OpenReplicaSet opens a replica set of so many members, all of which have the same data. The first
// is the primary.
func OpenReplicaSet(t testing.TB, members int) *ReplicaSet {
	t.Helper()
	server, err := docstore.Open(docstore.Options{Dir: "own", FS: vfs.NewMem()})
	if err != nil {
		t.Fatalf("open a database: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	server.EnableTestCommands(members)
	set := &ReplicaSet{server: server}
	for _, host := range server.ClientOptions().Hosts {
		direct := server.ClientOptions().SetHosts([]string{host}).SetReplicaSet("").SetDirect(true)
		set.members = append(set.members, connect(t, direct))
	}
	return set
}

// ClientOptions returns the options with which clients reach the set.
func (s *ReplicaSet) ClientOptions() *options.ClientOptions { return s.server.ClientOptions() }

// Server returns the server of all members.
func (s *ReplicaSet) Server() *docstore.Server { return s.server }

// Database returns a database of the set, with a client of its own and further options.
func (s *ReplicaSet) Database(t testing.TB, extra ...*options.ClientOptions) *mongo.Database {
	t.Helper()
	return connect(t, append([]*options.ClientOptions{s.ClientOptions()}, extra...)...).Database("test")
}

// FailPoint sets the fail point failCommand, for all members: mode and data as in MongoDB's command
// configureFailPoint. The mode "off" clears it.
func (s *ReplicaSet) FailPoint(t testing.TB, mode, data any) {
	t.Helper()
	command := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}}
	if data != nil {
		command = append(command, bson.E{Key: "data", Value: data})
	}
	s.run(t, 0, command)
}

// StepDown ends the term of the primary: until StepUp there is none. Commands that run are
// interrupted, open transactions are lost.
func (s *ReplicaSet) StepDown(t testing.TB) {
	t.Helper()
	for i := range s.members {
		var hello struct{ IsWritablePrimary bool }
		ask := bson.D{{Key: "hello", Value: 1}}
		if err := s.admin(i).RunCommand(t.Context(), ask).Decode(&hello); err != nil {
			t.Fatalf("hello: %v", err)
		}
		if hello.IsWritablePrimary {
			s.run(t, i, bson.D{{Key: "replSetStepDown", Value: 60}})
			return
		}
	}
	t.Fatal("there is no primary")
}

// StepUp makes a member the primary.
func (s *ReplicaSet) StepUp(t testing.TB, member int) {
	t.Helper()
	s.run(t, member, bson.D{{Key: "replSetStepUp", Value: 1}})
}

func (s *ReplicaSet) admin(member int) *mongo.Database { return s.members[member].Database("admin") }

func (s *ReplicaSet) run(t testing.TB, member int, command bson.D) {
	t.Helper()
	if err := s.admin(member).RunCommand(t.Context(), command).Err(); err != nil {
		t.Fatalf("%s: %v", command[0].Key, err)
	}
}
