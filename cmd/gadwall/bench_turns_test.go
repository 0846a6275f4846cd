package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	results "gadwall/bench/result"
	"gadwall/internal/dovecot"
)

// peersTemp makes a directory for the servers: its path is short, since Dovecot's sockets are there, and
// other users may get there.
func peersTemp(t *testing.T) string {
	t.Helper()
	temp, err := os.MkdirTemp("", "peers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	return temp
}

func TestBenchPeers(t *testing.T) {
	args := []string{"bench", "peers", "append", "status", "--users", "1", "--messages", "4", "--connections", "1",
		"--calls", "3", "--repeats", "1", "--rounds", "2"}
	if err := dovecot.Installed(true); err != nil {
		gadwall(t, "", nil, args...).want(t, exitFailure, "dovecot-imapd")
		gadwall(t, "", nil, append(args, "--optional")...).want(t, 0, "Nothing compared")
		t.Skip(err)
	}
	temp := peersTemp(t)
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := gadwall(t, "", []string{"TMPDIR=" + temp}, append(args, "--out", out)...)
	o.want(t, 0, "1 user, 4 messages, 1 connection, 2 turns of 1 repeat")
	line := regexp.MustCompile(`(?m)^ +(append|status) +calls/s +[0-9.,]+ +[0-9.,]+ +[0-9.,]+ +[0-9.]+ % `)
	if lines := line.FindAllString(o.out, -1); len(lines) != 2 {
		t.Errorf("%d lines of speeds in\n%s", len(lines), o.out)
	}
	var want []string
	for turn := range 2 {
		for _, server := range []string{"gadwall embedded", "dovecot mdbox+zstd"} {
			for _, what := range []string{"append %s, repeat %d: 4", "status %s, repeat %d: 3"} {
				want = append(want,
					fmt.Sprintf(server+": "+what, "connections=1 messages=4 users=1", turn))
			}
		}
	}
	if diff := cmp.Diff(want, keys(t, out)); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	gadwall(t, "", nil, append(args, "--rounds", "0")...).want(t, exitUsage, "--rounds")
	gadwall(t, "", nil, append(args, "frobnicate")...).want(t, exitUsage, "frobnicate")
}

// With --full-text there are two Dovecots, and a table for each.
func TestBenchPeersFullText(t *testing.T) {
	if err := dovecot.Installed(true); err != nil {
		t.Skip(err)
	}
	temp := peersTemp(t)
	o := gadwall(t, "", []string{"TMPDIR=" + temp}, "bench", "peers", "status", "--full-text", "--users", "1",
		"--messages", "2", "--connections", "1", "--calls", "3", "--repeats", "1", "--rounds", "1")
	if !dovecot.XapianInstalled() {
		o.want(t, exitFailure, "dovecot-fts-xapian")
		return
	}
	o.want(t, 0, "dovecot mdbox+zstd  gadwall", "dovecot mdbox+zstd+xapian  gadwall")
}

func TestBenchCompare(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	args := []string{"bench", "compare", os.Args[0], os.Args[0], "status", "--users", "1", "--messages", "4",
		"--connections", "1", "--calls", "3", "--repeats", "1", "--out", out}
	// Which one is faster is chance.
	if o := gadwall(t, "", nil, args...); !strings.Contains(o.out, "gadwall embedded (before)") {
		t.Errorf("status %d, %s%s", o.status, o.out, o.err)
	}
	if got := keys(t, out); len(got) != 4 {
		t.Errorf("lines %q", got)
	}
	gadwall(t, "", nil, append(args, "--rounds", "1")...).want(t, exitUsage, "--rounds or --repeats")
	gadwall(t, "", nil, "bench", "compare", os.Args[0], filepath.Join(t.TempDir(), "none")).
		want(t, exitUsage, "no such file")
}

// A build that is slower by more than the noise is an error that names what is slower.
func TestJudgeBuilds(t *testing.T) {
	of := func(calls ...int64) (list []*results.Line) {
		for n, each := range calls {
			list = append(list, &results.Line{Server: results.Server{Name: "gadwall"}, Workload: "login",
				Repeat: n, Calls: each, Seconds: 1})
		}
		return list
	}
	for _, test := range []struct {
		before, after []int64
		slower        bool
	}{
		{[]int64{100, 102}, []int64{99, 101}, false},
		{[]int64{100, 102}, []int64{70, 71}, true},
		{[]int64{60, 140}, []int64{70, 71}, false}, // the noise is larger
		{[]int64{100, 102}, []int64{200, 202}, false},
	} {
		var text strings.Builder
		err := judgeBuilds(streams{out: &text}, [][]*results.Line{of(test.before...), of(test.after...)})
		if (err != nil) != test.slower || test.slower && !strings.Contains(err.Error(), "login") {
			t.Errorf("%v, then %v: %v", test.before, test.after, err)
		}
		if !strings.Contains(text.String(), "login") {
			t.Errorf("table:\n%s", text.String())
		}
		if errors.As(err, new(usageError)) {
			t.Error("a slower build is no mistake of the caller")
		}
	}
}

// After a workload that fails, those behind it run.
func TestAfter(t *testing.T) {
	if got := after([]string{"store", "ingest", "login"}, "ingest"); !slices.Equal(got, []string{"login", "store"}) {
		t.Errorf("%q", got)
	}
	if got := after([]string{"login"}, "login"); got != nil {
		t.Errorf("%q", got)
	}
	if got := after(nil, "ingest"); len(got) == 0 || slices.Contains(got, "ingest") {
		t.Errorf("%q", got)
	}
}
