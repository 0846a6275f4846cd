package main

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Of a database that is no sharded cluster each command says so, and changes nothing. Of a cluster,
// which the config database tells of, plan prints the commands and status sums up; apply stops at the
// first step that the server refuses, and names it.
func TestShards(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_LOG_LEVEL=warn"}
	server := startServer(t, "--data-dir", dir)
	for _, command := range []string{"plan", "apply", "status"} {
		r := gadwall(t, "", env, "shards", command)
		r.want(t, 1)
		if r.out != "" || !strings.Contains(r.err, "this database is no sharded cluster") {
			t.Errorf("%s: %s%s", command, r.out, r.err)
		}
	}
	// The embedded database keeps what it is told of a cluster, and has none.
	configuration := connect(t, dir).Client().Database("config")
	for _, shard := range []string{"east", "west"} {
		if _, err := configuration.Collection("shards").InsertOne(t.Context(),
			bson.D{{Key: "_id", Value: shard}}); err != nil {
			t.Fatal(err)
		}
	}
	plan := gadwall(t, "", env, "shards", "plan")
	plan.want(t, 0, `admin: {"addShardToZone":"east","zone":"gadwall-east"}`, `"enableSharding":"gadwall"`,
		`{"shardCollection":"gadwall.addresses","key":{"_id":1}}`,
		`{"shardCollection":"gadwall.mailboxes","key":{"u":1}}`)
	if n := strings.Count(plan.out, `"updateZoneKeyRange":"gadwall.messages"`); n != 256 {
		t.Errorf("%d ranges of messages", n)
	}
	gadwall(t, "", env, "shards", "status").want(t, 0, "east: 0 of 256 ranges of users\n",
		"west: 0 of 256 ranges of users\n", "steps to apply; gadwall shards plan prints them")
	apply := gadwall(t, "", env, "shards", "apply")
	apply.want(t, 1)
	if apply.out != "" || !strings.Contains(apply.err, "addShardToZone") {
		t.Errorf("apply: %s%s", apply.out, apply.err)
	}
	server.stop(t)
}
