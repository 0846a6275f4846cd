package main

import (
	"testing"
)

func TestDictCommands(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse"}
	run := func(args ...string) outcome { return gadwall(t, "", env, args...) }
	run("dict", "list").want(t, exitUsage, "no database")
	s := startServer(t, "--data-dir", dir)
	run("user", "add", "ada@example.com").want(t, 0)
	run("dict", "train").want(t, 0, "headers", "too little mail: there are 0 samples, 400 are needed")
	run("bench", "space", "--mails", "450", "--lmtp", s.ports["LMTP"], "--to", "ada@example.com").
		want(t, 0, "450 mails", "headers", "whole directory")
	run("dict", "train", "--dry-run", "--gain=-100").want(t, 0, "headers", "html", "%")
	run("dict", "list").want(t, 0, "KIND")
	run("dict", "train", "--gain=-100").want(t, 0, "kept as")
	run("dict", "list").want(t, 0, "headers", "32")
	run("dict", "list", "--json").want(t, 0, `"kind":"headers","size":32`, `"trained":"`)
	// The server reads on, and takes new mail.
	run("bench", "space", "--mails", "5", "--seed", "2", "--lmtp", s.ports["LMTP"], "--to", "ada@example.com").
		want(t, 0, "5 mails")
	run("bench", "space", "--measure").want(t, 0, "headers")
}

func TestBenchSpaceUsage(t *testing.T) {
	run := func(args ...string) outcome {
		return gadwall(t, "", nil, append([]string{"bench", "space"}, args...)...)
	}
	run("--mails", "0").want(t, exitUsage, "--mails")
	run("--lmtp", "127.0.0.1:1").want(t, exitUsage, "--to")
	run("--mails", "20", "--senders", "2").want(t, 0, "20 mails", "html", "whole directory")
}
