package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/bench"
	results "gadwall/bench/result"
	"gadwall/internal/node"
)

// keys are what a file of results has measured, with the server's name.
func keys(t *testing.T, file string) (list []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := results.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		list = append(list, fmt.Sprintf("%v: %s, repeat %d: %d", l.Server, l.Key(), l.Repeat, l.Calls))
	}
	return list
}

func TestBenchRun(t *testing.T) {
	out, temp := filepath.Join(t.TempDir(), "out.jsonl"), dataDir(t)
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func() outcome {
		// A setting that would make the server of the measurement use another's data.
		env := []string{"TMPDIR=" + temp, "GADWALL_MONGODB_URI=mongodb://127.0.0.1:1"}
		return gadwall(t, "", env, "bench", "run", "status", "ingest", "--users", "2", "--messages", "8",
			"--connections", "2", "--calls", "5", "--repeats", "2", "--out", out)
	}
	run().want(t, 0, "workload", "ingest", "status", "calls/s")
	var want []string
	for _, line := range []string{"ingest connections=2 messages=8 users=2, repeat %d: 8",
		"status connections=2 messages=8 users=2, repeat %d: 5"} {
		for repeat := range 2 {
			want = append(want, "gadwall embedded: "+fmt.Sprintf(line, repeat))
		}
	}
	if diff := cmp.Diff(want, keys(t, out)); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	run().want(t, 0)
	if n := len(keys(t, out)); n != 8 {
		t.Errorf("a second run makes %d lines of 4", n)
	}
}

// Connections to IMAP have TLS, and are compressed, as the flags say.
func TestBenchRunLayers(t *testing.T) {
	for mode, params := range map[string]string{
		"starttls": "messages=2 starttls=1 users=2", "tls": "messages=2 tls=1 users=2",
	} {
		out := filepath.Join(t.TempDir(), "out.jsonl")
		gadwall(t, "", nil, "bench", "run", "idle", "--imap-tls", mode, "--imap-compress", "--users", "2",
			"--messages", "2", "--connections", "2", "--calls", "2", "--repeats", "1", "--idle", "3",
			"--settle", "20ms", "--out", out).want(t, 0, "idle connect")
		want := "gadwall embedded: idle connect connections=2 deflate=1 idle=3 " + params + ", repeat 0: 3"
		if got := keys(t, out); len(got) != 3 || got[0] != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// The footprint of a repeat is what it adds, and a plan can be made of it.
func TestBenchFootprint(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	gadwall(t, "", nil, "bench", "run", "footprint", "--users", "2", "--messages", "40", "--connections", "2",
		"--repeats", "2", "--settle", "100ms", "--out", out).want(t, 0, "footprint")
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := results.Read(f)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for repeat, l := range lines {
		if l.Params["mails"] != 40 || l.Params["duplicates"] != 35 || l.Calls != 40 {
			t.Errorf("%d calls with %v", l.Calls, l.Params)
		}
		if n := l.Values["collection-messages-documents"]; n != 40 {
			t.Errorf("repeat %d: %v messages", repeat, n)
		}
		sum := 0.0
		for _, class := range bench.Classes {
			v := l.Values
			logical, stored := v[string(class)+bench.ClassLogical], v[string(class)+bench.ClassStored]
			if sum += logical; logical < 0 || stored < 0 || stored > 1.1*logical+1000 {
				t.Errorf("repeat %d: %v bytes of %s take %v", repeat, logical, class, stored)
			}
		}
		// A mail of a group of recipients has a header of its own for each, which is no content.
		if received := l.Values["received-bytes"]; sum < 0.97*received || sum > 1.03*received {
			t.Errorf("repeat %d: classes have %v bytes of %v", repeat, sum, received)
		}
	}
	gadwall(t, "", nil, "bench", "plan", out, "--users", "1000").
		want(t, 0, "Measured, of 40 mails with 35 % duplicates")
	gadwall(t, "", nil, "bench", "report", out, "--markdown").want(t, 0, "headers", "all")
}

// The sizes of attachments and of large mails, and connections, can be swept, too; the first ones are
// parameters of the lines.
func TestBenchRunSweepSizes(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	gadwall(t, "", nil, "bench", "run", "append", "bigmail", "--sweep-attachment-size", "1KiB,4KiB",
		"--sweep-big-mail", "2000,20000", "--sweep-connections", "1,2", "--connections", "1",
		"--users", "1",
		"--messages", "2", "--calls", "2", "--repeats", "1", "--out", out).
		want(t, 0, "attachment-bytes=1024", "size=20000")
	all := strings.Join(keys(t, out), "\n")
	for _, want := range []string{"append attachment-bytes=1024 connections=1 ",
		"append attachment-bytes=4096 connections=2 ",
		"bigmail slice attachment-bytes=1024 connections=1 messages=2 size=2000 users=1"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	gadwall(t, "", nil, "bench", "report", out, "--markdown").
		want(t, 0, "| attachment-bytes |", "| size |", "calls/s")
	gadwall(t, "", nil, "bench", "run", "--sweep-big-mail", "1").want(t, exitUsage, "a large mail")
}

// With --cold every visit reads the database: the server keeps nothing of the mailboxes.
func TestBenchRunCold(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	gadwall(t, "", nil, "bench", "run", "sync", "--cold", "--users", "1", "--connections", "1",
		"--messages", "50", "--calls", "2", "--repeats", "1", "--out", out).want(t, 0, "sync qresync ten")
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := results.Read(f)
	if err != nil || len(lines) == 0 {
		t.Fatal(lines, err)
	}
	for _, l := range lines {
		if n := l.Database[results.AllCommands].Documents; n < 40 {
			t.Errorf("%s: %v documents for each visit of 50 messages", l.Key(), n)
		}
	}
	gadwall(t, "", nil, "bench", "run", "--cold", "--imap", "127.0.0.1:1").want(t, exitUsage, "--cold")
}

// A sweep runs with each size, and the table tells them apart.
func TestBenchRunSweep(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	gadwall(t, "", nil, "bench", "run", "status", "--sweep-users", "1,2", "--sweep-messages", "4,8",
		"--connections", "1", "--calls", "5", "--repeats", "1", "--out", out).
		want(t, 0, "status connections=1 messages=4 users=1", "status connections=1 messages=8 users=2")
	var want []string
	for _, load := range []string{"messages=4 users=1", "messages=8 users=1", "messages=4 users=2",
		"messages=8 users=2"} {
		want = append(want, "gadwall embedded: status connections=1 "+load+", repeat 0: 5")
	}
	if diff := cmp.Diff(want, keys(t, out)); diff != "" {
		t.Error(diff)
	}
	gadwall(t, "", nil, "bench", "run", "status", "--sweep-messages", "8,0").want(t, exitUsage, "messages")
}

// The server of the measurement can use a MongoDB, or what speaks like one; its database is gone
// afterwards, and the lines have what the database counted.
func TestBenchRunMongoDB(t *testing.T) {
	dir := dataDir(t)
	s := startServer(t, "--data-dir", dir)
	uri := node.EmbeddedURI(dir)
	out := filepath.Join(t.TempDir(), "out.jsonl")
	gadwall(t, "", nil, "bench", "run", "status", "--mongodb-uri", uri, "--users", "1", "--messages", "4",
		"--connections", "1", "--calls", "10", "--repeats", "1", "--out", out).want(t, 0, "db cmds", "status")
	want := []string{"gadwall mongodb: status connections=1 messages=4 users=1, repeat 0: 10"}
	if diff := cmp.Diff(want, keys(t, out)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(text), `"database":{"`+results.AllCommands+`":{"count":`) {
		t.Errorf("no counters, %v:\n%.500s", err, text)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	names, err := client.ListDatabaseNames(t.Context(), bson.D{{Key: "name", Value: bson.Regex{Pattern: "bench"}}})
	if err != nil || len(names) > 0 {
		t.Errorf("databases are left: %q, %v", names, err)
	}
	if err := client.Disconnect(t.Context()); err != nil {
		t.Error(err)
	}
	s.stop(t)
	gadwall(t, "", []string{passwordVariable + "=x"}, "bench", "run", "login", "--mongodb-uri", uri,
		"--imap", "127.0.0.1:1").want(t, exitUsage, "--mongodb-uri")
}

func TestBenchRunElsewhere(t *testing.T) {
	s := startServer(t, "--data-dir", dataDir(t))
	out := filepath.Join(t.TempDir(), "out.jsonl")
	args := []string{"bench", "run", "login", "--imap", s.ports["IMAP"], "--users", "1", "--messages", "4",
		"--connections", "1", "--calls", "3", "--repeats", "1", "--user-format", "u%d@example.net",
		"--name", "other", "--out", out}
	gadwall(t, "", nil, args...).want(t, exitUsage, passwordVariable)
	env := []string{passwordVariable + "=correct horse battery"}
	gadwall(t, "", env, args...).want(t, exitFailure, "login: ") // there is no such user
	args = append(args, "--http", s.ports["HTTP"])
	gadwall(t, "", env, args...).want(t, 0, "login")
	want := []string{"other: login connections=1 messages=4 users=1, repeat 0: 3"}
	if diff := cmp.Diff(want, keys(t, out)); diff != "" {
		t.Error(diff)
	}
	s.stop(t)
}

func TestBenchRunArguments(t *testing.T) {
	gadwall(t, "", nil, "bench", "run", "--list").want(t, 0, "ingest   deliver", "store ")
	env := []string{passwordVariable + "=correct horse battery"}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"frobnicate"}, `no workload "frobnicate"; --list`},
		{[]string{"--lmtp", "127.0.0.1:1"}, "--imap"},
		{[]string{"--http", "127.0.0.1:1"}, "--imap"},
		{[]string{"--imap", "127.0.0.1:1"}, "ingest needs --lmtp"},
		{[]string{"ingest", "--imap", "127.0.0.1:1"}, "ingest needs --lmtp"},
		{[]string{"--user-format", "u@example.com"}, "--user-format"},
		{[]string{"--user-format", "%d%s@example.com"}, "--user-format"},
		{[]string{"--messages", "3"}, "connections"},
	} {
		gadwall(t, "", env, append([]string{"bench", "run"}, test.args...)...).want(t, exitUsage, test.want)
	}
}
