package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	results "gadwall/bench/result"
)

// The lines of `bench space --out` are what a plan is made of.
func TestBenchPlan(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse"}
	s := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	out := filepath.Join(t.TempDir(), "space.jsonl")
	gadwall(t, "", env, "bench", "space", "--mails", "30", "--lmtp", s.ports["LMTP"], "--to", "ada@example.com",
		"--settle", "100ms", "--out", out).want(t, 0, "each once")
	gadwall(t, "", env, "bench", "space", "--measure", "--settle", "100ms", "--out", out).want(t, 0)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := results.Read(f)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	delivered, found := lines[0], lines[1]
	if delivered.Params["mails"] != 30 || delivered.Params["duplicates"] != 35 ||
		!maps.Equal(found.Params, map[string]float64{"mails": 30}) {
		t.Errorf("parameters %v and %v", delivered.Params, found.Params)
	}
	for _, name := range []string{"received-bytes", "directory-bytes", "headers-logical-bytes", "html-decoded-bytes",
		"pdf-unique-bytes", "images-stored-bytes"} {
		if delivered.Values[name] <= 0 || found.Values[name] <= 0 {
			t.Errorf("%s is %v and %v", name, delivered.Values[name], found.Values[name])
		}
	}
	one := func(l *results.Line) string {
		name := filepath.Join(t.TempDir(), "one.jsonl")
		file, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := results.NewWriter(file).Write(l); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// Mail that nobody knows is planned with the duplicates that it has.
	gadwall(t, "", nil, "bench", "plan", one(found), "--users", "1000", "--dup", "90").
		want(t, 0, "as many attachments sent before as there")
	out = one(delivered)
	args := []string{"bench", "plan", out, "--users", "100"}
	gadwall(t, "", nil, args...).
		want(t, 0, "One replica set is enough.", "mails kept x one mail in tables", "4,380,000")
	gadwall(t, "", nil, append(args, "--check", out)...).want(t, 0, "times as many mails", "+0.0 %")
	gadwall(t, "", nil, append(args, "--dup", "101")...).want(t, exitUsage, "duplicates")
	gadwall(t, "", nil, append(args, "--disk", "0")...).want(t, exitUsage, "disk")
	gadwall(t, "", nil, append(args, "--oplog-factor", "3..2..1")...).
		want(t, exitUsage, "LOW..VALUE..HIGH")
	gadwall(t, "", nil, append(args, "--table-factor", "2", "--oplog-hours", "7")...).
		want(t, 0, "is 2 in tables and 0.7..0.8..1.2 in the oplog, which reaches back 7 h")
	gadwall(t, "", nil, "bench", "plan", out).want(t, exitUsage, "--users")
	gadwall(t, `{"v":1,"workload":"login"}`, nil, "bench", "plan", "-", "--users", "1").
		want(t, exitFailure, "bench space --out")
	s.stop(t)
}
