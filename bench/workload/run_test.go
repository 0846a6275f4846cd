package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/imapconn"
)

// Every workload runs on a server, with the calls that were asked for, and leaves nothing but the
// mail that it delivered.
func TestRun(t *testing.T) {
	to := serve(t)
	o, lines := small(t, to)
	seen := make(map[string]bool)
	o.Progress = func(what string, done, total int64) { seen[what] = seen[what] || done == total }
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range *lines {
		if l.Workload != "churn" || l.Step == "" { // its parts are chosen at random
			got = append(got, fmt.Sprintf("%s repeat=%d calls=%d errors=%d", l.Name(), l.Repeat, l.Calls, l.Errors))
		}
		connections := 3.0
		switch {
		case l.Workload == "bigmail":
			connections = 1
		case l.Workload == "idle" && l.Step != "connect":
			connections = 2 // of 2 users
		}
		if l.Params["connections"] != connections || l.Params["messages"] != 60 || l.Params["users"] != 2 {
			t.Errorf("%s", l.Key())
		}
		if l.Run != "r1" || l.Server != to.Server || l.Machine.Cores == 0 || l.Time.IsZero() || l.Seconds <= 0 ||
			l.Latency == nil {
			t.Errorf("%+v", l)
		}
		if l.Workload == "churn" && l.Step != "" || l.Step == "push" {
			continue // parts have no figures of the process
		}
		if _, ok := l.Values["pss-bytes-per-connection"]; ok != (l.Name() == "idle connect") {
			t.Errorf("%s: memory of a connection: %v", l.Name(), ok)
		}
		if _, ok := l.Values["cpu-ms-per-call"]; !ok || l.Values["rss-bytes"] <= 0 {
			t.Errorf("%s has no processor time, or no memory", l.Name())
		}
		moves := l.Name() == "idle delivery" ||
			slices.Contains([]string{"ingest", "append", "fetch", "sync", "bigmail", "footprint"}, l.Workload)
		if (l.Octets > 0) != moves && l.Workload != "churn" {
			t.Errorf("%s moved %d octets", l.Name(), l.Octets)
		}
		fills := slices.Contains([]string{"ingest", "append", "bigmail lmtp", "footprint"}, l.Name())
		if _, ok := l.Values["disk-bytes"]; ok != fills {
			t.Errorf("%s: disk: %v", l.Name(), ok)
		}
	}
	var want []string
	for _, name := range []string{"idle connect", "idle delivery", "idle push", "ingest", "append", "login",
		"select", "status", "fetch flags", "fetch envelope",
		"fetch bodystructure", "fetch header", "fetch whole", "fetch slice", "search unseen", "search flags",
		"search arrived", "search sent", "search from", "search subject", "search message-id", "search rare",
		"search absent", "search inside", "search 2 words", "search 4 words", "search word 1 %", "search word 5 %",
		"search word 20 %", "search sort size",
		"search sort date", "search thread", "store one", "store many", "expunge one", "expunge many",
		"move copy one", "move copy many", "move one", "move many", "sync flags", "sync condstore",
		"sync condstore ten", "sync qresync", "sync qresync ten",
		"churn", "bigmail lmtp", "bigmail fetch", "bigmail slice", "footprint"} {
		calls := 4
		repeats := 2
		switch name {
		case "ingest", "append", "footprint":
			calls = 60
		case "idle connect":
			calls, repeats = 7, 1
		case "bigmail lmtp":
			calls = 1
		case "bigmail fetch":
			calls = 3
		}
		for repeat := range repeats {
			want = append(want, fmt.Sprintf("%s repeat=%d calls=%d errors=0", name, repeat, calls))
		}
	}
	slices.Sort(got) // lines of parts come after each of the step
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !seen["filling folders"] || !seen["making mail"] || !seen["fetch envelope, 2 of 2"] {
		t.Errorf("progress: %v", seen)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	for user := range 2 {
		c, err := imapconn.Login(to.IMAP, to.User(user), to.Password, within)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		boxes, err := c.Must(`LIST "" "bench*"`)
		if err != nil || len(boxes) > 0 {
			t.Errorf("mailboxes are left: %q, %v", boxes, err)
		}
		// 123 deliveries with those of the warm-up, one user after the other.
		inbox, err := c.Must("STATUS INBOX (MESSAGES)")
		if want := fmt.Sprintf("* STATUS INBOX (MESSAGES %d)", 62-user); err != nil || inbox[0] != want {
			t.Errorf("%q, %v; want %s", inbox, err, want)
		}
	}
}

// A session of churn sends every command sooner or later, each has a line, and none of them is lost.
func TestChurn(t *testing.T) {
	o, lines := small(t, serve(t))
	o.Calls, o.Repeats = 400, 1
	if err := Run(t.Context(), o, "churn"); err != nil {
		t.Fatal(err)
	}
	var all int64
	for _, l := range (*lines)[1:] {
		all += l.Calls
		if l.Latency == nil || l.Calls == 0 || l.Seconds != (*lines)[0].Seconds {
			t.Errorf("%+v", l)
		}
		if moves := l.Step == "fetch" || l.Step == "body" || l.Step == "append"; (l.Octets > 0) != moves {
			t.Errorf("%s moved %d octets", l.Name(), l.Octets)
		}
	}
	if whole := (*lines)[0]; whole.Calls != 400 || whole.Errors != 0 || all != 400 || len(*lines) != 13 {
		t.Errorf("%d calls, %d in %d parts, error %q", whole.Calls, all, len(*lines)-1, whole.Example)
	}
}

// An open loop says so in its lines.
func TestOpenLoop(t *testing.T) {
	o, lines := small(t, serve(t))
	o.Rate = 500
	if err := Run(t.Context(), o, "status"); err != nil {
		t.Fatal(err)
	}
	if len(*lines) != 2 || (*lines)[0].Rate != 500 || (*lines)[0].Service == nil || (*lines)[0].Workload != "status" {
		t.Errorf("%+v", *lines)
	}
}

func TestRefusedOptions(t *testing.T) {
	o, _ := small(t, nil)
	if err := Run(t.Context(), o, "login", "frobnicate"); err == nil || !strings.Contains(err.Error(), "frobnicate") {
		t.Errorf("%v", err)
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.Users = 0 }, func(o *Options) { o.Messages = 0 }, func(o *Options) { o.Connections = 0 },
		func(o *Options) { o.Repeats = 0 }, func(o *Options) { o.Messages = o.Connections - 1 },
		func(o *Options) { o.Calls = -1 }, func(o *Options) { o.Rate = -1 },
	} {
		bad := o
		change(&bad)
		if err := Run(t.Context(), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// The end of the context ends a run, and the folders are deleted all the same.
func TestCancelled(t *testing.T) {
	to := serve(t)
	o, lines := small(t, to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Calls = 1 << 40
	o.Progress = func(what string, _, _ int64) {
		if strings.HasPrefix(what, "select") {
			cancel()
		}
	}
	if err := Run(ctx, o, "select"); !errors.Is(err, context.Canceled) || len(*lines) > 0 {
		t.Errorf("%v, %d lines", err, len(*lines))
	}
	c, err := imapconn.Login(to.IMAP, to.User(0), to.Password, within)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if boxes, err := c.Must(`LIST "" "bench*"`); err != nil || len(boxes) > 0 {
		t.Errorf("mailboxes are left: %q, %v", boxes, err)
	}
}
