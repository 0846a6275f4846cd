package dbtest

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestAgainst says what the tests run against. make test-mongodb shows its line.
func TestAgainst(t *testing.T) {
	admin := Client(t).Database("admin")
	var build struct{ Version string }
	var hello struct {
		Msg, SetName string
		Hosts        []string
	}
	if err := admin.RunCommand(t.Context(), bson.D{{Key: "buildInfo", Value: 1}}).Decode(&build); err != nil {
		t.Fatal(err)
	}
	if err := admin.RunCommand(t.Context(), bson.D{{Key: "isMaster", Value: 1}}).Decode(&hello); err != nil {
		t.Fatal(err)
	}
	what := "the embedded database, as MongoDB " + build.Version
	switch {
	case hello.Msg == "isdbgrid":
		what = "a sharded cluster of MongoDB " + build.Version
	case !Embedded():
		what = "the replica set " + hello.SetName + " (" + strings.Join(hello.Hosts, ", ") +
			") of MongoDB " + build.Version
	}
	if build.Version == "" || hello.Msg == "" && hello.SetName == "" {
		t.Errorf("neither a replica set nor a sharded cluster: %+v, %+v", build, hello)
	}
	t.Logf("the tests ran against %s", what)
	if Embedded() {
		return
	}
	t.Log("tests of failovers and fail points ran against embedded replica sets (OpenReplicaSet)")
}
