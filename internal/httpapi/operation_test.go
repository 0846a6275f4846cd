package httpapi

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/account"
	"gadwall/internal/census"
	"gadwall/internal/pulse"
	databaseschema "gadwall/internal/schema"
	"gadwall/internal/storetest"
)

// operated is what operators ask of.
func operated(t *testing.T, st *storetest.Store) (o Options, log *slog.Logger) {
	t.Helper()
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	instances, err := databaseschema.Open(t.Context(), databaseschema.Options{Database: st.Database, Program: "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { instances.Close(t.Context()) })
	taker := census.New(census.Options{Database: st.Database, Mail: st.Store, Contents: st.Contents})
	t.Cleanup(taker.Close)
	tail := pulse.NewTail(slog.NewTextHandler(io.Discard, nil))
	registry := prometheus.NewRegistry()
	return Options{Users: st, Accounts: accounts, Gatherer: registry, Instances: instances,
		Sampler: pulse.NewSampler(registry), Tail: tail, Census: taker}, slog.New(tail)
}

func TestOperation(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	o, log := operated(t, st)
	a := &api{Store: st, url: start(t, o)}
	user := a.User(t, "ada@example.com")
	a.call(t, "POST", ada+"/INBOX/messages", simple(1), 201, nil, "Content-Type: message/rfc822")

	var instances instanceList
	a.call(t, "GET", "/instances", "", 200, &instances)
	if l := instances.Instances; len(l) != 1 || !l[0].Self || l[0].Silent || l[0].Version != "1.0" || l[0].PID == 0 {
		t.Errorf("%+v", l)
	}
	self := instances.Instances[0].ID

	log.Warn("strange", "user", "<script>")
	log.Info("usual")
	var lines logLines
	a.call(t, "GET", "/log", "", 200, &lines)
	n := len(lines.Lines)
	if lines.Instance != self || n < 2 ||
		lines.Lines[n-2].Level != "WARN" || lines.Lines[n-2].Attrs[0].Value != "<script>" ||
		lines.Lines[n-1].Text != "usual" {
		t.Errorf("%+v", lines)
	}
	var one logLines
	a.call(t, "GET", "/log?limit=1", "", 200, &one)
	if len(one.Lines) != 1 || one.Lines[0].Text != "usual" {
		t.Errorf("%+v", one)
	}
	a.refused(t, "GET", "/log?limit=1000", "", 400, "InvalidField")
	a.refused(t, "GET", "/log?after=x", "", 400, "InvalidField")

	var did recentActivity
	a.call(t, "GET", "/activity?after="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "", 200, &did)
	if did.Instance != self || did.Interval != 5 || did.Samples == nil {
		t.Errorf("%+v", did)
	}
	a.refused(t, "GET", "/activity?after=yesterday", "", 400, "InvalidField")

	var space storage
	a.call(t, "GET", "/storage", "", 200, &space)
	if !space.Running || space.Figures != nil {
		t.Errorf("the first census: %+v", space)
	}
	for space.Figures == nil { // the test's limit is that of go test
		a.call(t, "GET", "/storage", "", 200, &space)
	}
	f := space.Figures
	if f.Messages != 1 || f.Received != int64(len(simple(1))) ||
		f.Users != 1 || f.Contents != 1 || len(f.Classes) != 8 ||
		len(f.LargestUsers) != 1 || f.LargestUsers[0].ID != user.ID.String() ||
		len(f.LargestMailboxes) != 1 || f.LargestMailboxes[0].Path != "INBOX" ||
		f.LargestMailboxes[0].Username != user.Username {
		t.Errorf("%+v", f)
	}
	var box Mailbox
	a.call(t, "GET", ada+"/"+f.LargestMailboxes[0].Mailbox, "", 200, &box)
	if box.Path != "INBOX" {
		t.Errorf("%+v", box)
	}
}

// A token of less than everything opens none of these routes.
func TestOperationIsForAdministrators(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	o, _ := operated(t, st)
	o.Token = "secret"
	a := &api{Store: st, url: start(t, o)}
	var made Token
	a.call(t, "POST", "/tokens", `{"name":"x","scopes":["users","mail","metrics","tokens"]}`, 201, &made,
		"Authorization: Bearer secret")
	for _, path := range []string{"/instances", "/log", "/activity", "/storage"} {
		var p Problem
		a.call(t, "GET", path, "", 403, &p, "Authorization: Bearer "+made.Token)
		if p.Code != "InsufficientScope" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}
