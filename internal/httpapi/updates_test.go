package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
)

const updatesOfAda = "/users/ada@example.com/updates"

// updateAPI is a server whose streams beat soon, with the user ada.
type updateAPI struct {
	api
	server *Server
	user   mailkey.UserID
	inbox  mailkey.Mailbox
	mails  int
}

func newUpdateServer(t *testing.T, st *storetest.Store, o Options) *Server {
	t.Helper()
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	o.Users, o.Accounts = st, accounts
	o.Ping = func(context.Context) error { return nil }
	s := New(o)
	s.heartbeat, s.retry = 50*time.Millisecond, 50*time.Millisecond
	return s
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newUpdateAPIOn is a server without users.
func newUpdateAPIOn(t *testing.T, stored storetest.Options, o Options, l net.Listener) *updateAPI {
	t.Helper()
	st := storetest.Open(t, stored)
	s := newUpdateServer(t, st, o)
	return &updateAPI{api: api{st, serve(t, s, l)}, server: s}
}

func newUpdateAPI(t *testing.T, o Options) *updateAPI {
	t.Helper()
	a := newUpdateAPIOn(t, storetest.Options{}, o, listener(t))
	a.user = a.User(t, "ada@example.com").ID
	a.inbox = a.user.Mailbox(1)
	return a
}

// deliver delivers the next mail.
func (a *updateAPI) deliver(t *testing.T) {
	t.Helper()
	a.mails++
	w := a.Contents.NewWriter(t.Context())
	_, _ = fmt.Fprintf(w, "From: Ada <ada@example.com>\r\nSubject: %d\r\n\r\nText %d\r\n", a.mails, a.mails)
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Deliver(t.Context(), stored, []mailstore.Delivery{{Mailbox: a.inbox, Magic: stored.Magics[0]}})
	if err != nil || got[0].Err != nil {
		t.Fatal(err, got)
	}
}

// sse is an event as it is sent, or a block without data.
type sse struct{ id, event, data string }

// updateReader reads a stream.
type updateReader struct {
	t    *testing.T
	req  *http.Request
	resp *http.Response
	text *bufio.Reader
	raw  bytes.Buffer // what was read
}

// open asks for a stream with lines "Name: value" of header.
func (a *updateAPI) open(t *testing.T, query string, header ...string) *updateReader {
	t.Helper()
	return a.openAt(t, updatesOfAda+query, header...)
}

// openAt is open for a stream at another path.
func (a *updateAPI) openAt(t *testing.T, path string, header ...string) *updateReader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	r := &updateReader{t: t, req: req, resp: resp}
	r.text = bufio.NewReader(io.TeeReader(resp.Body, &r.raw))
	return r
}

// block reads the next block of lines, but for comments; ok is false at the end of the stream.
func (r *updateReader) block() (e sse, ok bool) {
	begun := false
	for {
		line, err := r.text.ReadString('\n')
		if err != nil {
			return e, false
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			e.id, begun = value, true
		case "event":
			e.event, begun = value, true
		case "data":
			e.data, begun = value, true
		case "":
			if begun {
				return e, true
			}
		}
	}
}

// next reads the next event.
func (r *updateReader) next() sse {
	r.t.Helper()
	for {
		e, ok := r.block()
		if !ok {
			r.t.Fatal("the stream has ended")
		}
		if e.data != "" {
			return e
		}
	}
}

// want reads the next event and expects its kind.
func (r *updateReader) want(kind string) sse {
	r.t.Helper()
	e := r.next()
	var data struct{ Kind string }
	if err := json.Unmarshal([]byte(e.data), &data); err != nil || e.event != kind || data.Kind != kind || e.id == "" {
		r.t.Fatalf("%+v, want %s; %v", e, kind, err)
	}
	return e
}

// ended reads to the end, and compares the answer with the document.
func (r *updateReader) ended() {
	r.t.Helper()
	for {
		if _, ok := r.block(); !ok {
			break
		}
	}
	checkExchange(r.t, r.req, "", r.resp, r.raw.Bytes())
}

// valueOf returns that of a gauge or counter.
func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var shown dto.Metric
	if err := m.Write(&shown); err != nil {
		t.Fatal(err)
	}
	return shown.GetGauge().GetValue() + shown.GetCounter().GetValue()
}

func subject(t *testing.T, e sse) string {
	t.Helper()
	var ev feed.Event
	if err := json.Unmarshal([]byte(e.data), &ev); err != nil || ev.Message == nil {
		t.Fatalf("%v in %s", err, e.data)
	}
	return ev.Message.Subject
}

func TestUpdates(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := newUpdateAPI(t, Options{Updates: NewUpdateMetrics(reg)})
	a.deliver(t) // before the stream
	r := a.open(t, "", "Accept-Encoding: gzip")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no",
		"Cache-Control": "no-store, no-transform", "Content-Encoding": ""} {
		if got := r.resp.Header.Get(name); got != want || r.resp.StatusCode != 200 {
			t.Errorf("%d, %s: %q", r.resp.StatusCode, name, got)
		}
	}
	start := r.want("start")
	a.deliver(t)
	a.deliver(t)
	two := r.want("new")
	three := r.want("new")
	if subject(t, two) != "2" || subject(t, three) != "3" {
		t.Errorf("%+v, %+v", two, three)
	}
	// Going on from each place, by header and by query; the header goes before.
	for _, resumed := range []*updateReader{a.open(t, "", "Last-Event-ID: "+two.id), a.open(t, "?since="+two.id),
		a.open(t, "?since="+start.id, "Last-Event-ID: "+two.id)} {
		if got := resumed.want("new"); got != three {
			t.Errorf("%+v, want %+v", got, three)
		}
	}
	// Filtered: the position moves on all the same.
	junk := a.open(t, "?kinds=junk,not-junk&since="+start.id)
	moved, ok := junk.block()
	if !ok || moved.data != "" || moved.id == start.id || moved.id == "" {
		t.Errorf("%+v", moved)
	}
	if _, err := a.Move(t.Context(), a.inbox, uidset.FromAscending([]uint32{2}), a.user.Mailbox(4)); err != nil {
		t.Fatal(err)
	}
	if e := junk.want("junk"); !strings.Contains(e.data, `"by":"move"`) {
		t.Errorf("%+v", e)
	}
	// Where there is no way on.
	for _, since := range []string{"nonsense", strings.Repeat("x", 9000)} {
		fresh := a.open(t, "?since="+since)
		position := fresh.want("resync").id
		a.deliver(t)
		if e := fresh.want("new"); e.id == position {
			t.Errorf("%+v", e)
		}
	}
	if _, err := a.Database.Collection("journal").DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	a.open(t, "?since="+start.id).want("resync")

	status, _, header := request(t, "HEAD", a.url+updatesOfAda, "")
	if status != 200 || header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", status, header)
	}
	a.refused(t, "GET", updatesOfAda+"?kinds=new,old", "", 400, "InvalidField")
	a.refused(t, "GET", "/users/bob@example.com/updates", "", 404, "NoSuchUser")
	if n := valueOf(t, a.server.updateMetrics.resyncs); n != 3 {
		t.Errorf("%v resyncs", n)
	}
	if n := valueOf(t, a.server.updateMetrics.resumes); n < 4 {
		t.Errorf("%v resumes", n)
	}
	if n := valueOf(t, a.server.updateMetrics.events); n < 8 {
		t.Errorf("%v events", n)
	}
}

// A stream ends when its client may not read any more, and the client cannot come back.
func TestUpdatesEnd(t *testing.T) {
	a := newUpdateAPI(t, Options{Token: "operator"})
	ctx := t.Context()
	token, secret, err := a.CreateToken(ctx, mailstore.Token{Name: "mail", Scopes: []string{"mail:read"}, User: a.user})
	if err != nil {
		t.Fatal(err)
	}
	own, operator := "Authorization: Bearer "+secret, "Authorization: Bearer operator"
	r := a.open(t, "", own)
	r.want("start")
	if err := a.RevokeToken(ctx, token.ID); err != nil {
		t.Fatal(err)
	}
	r.ended()
	if again := a.open(t, "", own); again.resp.StatusCode != 401 {
		t.Errorf("%d", again.resp.StatusCode)
	}
	r = a.open(t, "", operator)
	r.want("start")
	if err := a.Suspend(ctx, a.user); err != nil {
		t.Fatal(err)
	}
	r.ended()
	if again := a.open(t, "", operator); again.resp.StatusCode != 403 {
		t.Errorf("%d", again.resp.StatusCode)
	}
	if err := a.Resume(ctx, a.user); err != nil {
		t.Fatal(err)
	}
	r = a.open(t, "", operator)
	r.want("start")
	if err := a.DeleteUser(ctx, a.user); err != nil {
		t.Fatal(err)
	}
	r.ended()
	if again := a.open(t, "", operator); again.resp.StatusCode != 404 {
		t.Errorf("%d", again.resp.StatusCode)
	}
}

// Open streams do not hold up a shutdown.
func TestUpdatesEndWithTheServer(t *testing.T) {
	a := newUpdateAPI(t, Options{})
	r := a.open(t, "")
	r.want("start")
	if err := a.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	r.ended()
}

func TestUpdateLimits(t *testing.T) {
	a := newUpdateAPI(t, Options{})
	a.server.streams.max, a.server.streams.maxPerUser = 3, 2
	other := a.User(t, "bob@example.com").ID
	one, two := a.open(t, ""), a.open(t, "")
	one.want("start")
	two.want("start")
	a.refused(t, "GET", updatesOfAda, "", 429, "TooManyStreams")
	if !a.server.streams.admit(other) || a.server.streams.admit(other) {
		t.Error("the limit of the instance")
	}
	a.server.streams.release(other)
	one.resp.Body.Close()
	two.resp.Body.Close()
	for { // until the server has noticed
		r := a.open(t, "")
		if r.resp.StatusCode == 200 {
			r.want("start")
			break
		}
		r.resp.Body.Close()
	}
	if n := valueOf(t, a.server.updateMetrics.open); n < 1 || n > 3 {
		t.Errorf("%v streams", n)
	}
}

// narrow makes connections that take little before somebody reads.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return nc, err
}

// A client that does not read is cut, and goes on where it was.
func TestSlowReaderOfUpdates(t *testing.T) {
	a := newUpdateAPIOn(t, storetest.Options{}, Options{}, narrow{listener(t)})
	s := a.server
	s.updateWait = time.Second
	a.user = a.User(t, "ada@example.com").ID
	a.inbox = a.user.Mailbox(1)
	// With the time that a slow machine needs.
	patient := newUpdateAPIOn(t, storetest.Options{Database: a.Database, Bus: a.Bus}, Options{}, listener(t))
	first := patient.open(t, "")
	since := first.want("start").id
	first.resp.Body.Close()
	const n = 300
	for range n {
		a.deliver(t)
	}
	nc, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(nc, "GET %s?since=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", updatesOfAda, since)
	turn := func() {
		t.Helper()
		if status, _, _ := request(t, "GET", a.url+"/health", ""); status != 200 {
			t.Fatal(status)
		}
	}
	for valueOf(t, s.updateMetrics.events) == 0 {
		turn()
	}
	for valueOf(t, s.updateMetrics.open) > 0 { // until the client was cut
		turn()
	}
	raw, _ := io.ReadAll(nc) // what was under way, and then the cut
	seen := 0
	for line := range strings.SplitSeq(string(raw), "\n\n") {
		if i := strings.Index(line, "id: "); i >= 0 && strings.HasSuffix(line, "}") {
			since, _, _ = strings.Cut(line[i+len("id: "):], "\n")
			seen++
		}
	}
	if seen >= n {
		t.Fatalf("all %d events came", seen)
	}
	rest := patient.open(t, "?since="+since)
	for i := seen; i < n; i++ {
		if e := rest.want("new"); subject(t, e) != fmt.Sprint(i+1) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
}

// Two instances on one database tell the same.
func TestUpdatesOfTwoInstances(t *testing.T) {
	db := dbtest.Database(t)
	one := newUpdateAPIOn(t, storetest.Options{Database: db}, Options{}, listener(t))
	two := newUpdateAPIOn(t, storetest.Options{Database: db, Bus: one.Bus}, Options{}, listener(t))
	one.user = one.User(t, "ada@example.com").ID
	one.inbox = one.user.Mailbox(1)
	r := one.open(t, "")
	since := r.want("start").id
	var ids []string
	for i := range 5 {
		one.deliver(t)
		e := two.open(t, "?since="+since).want("new")
		if subject(t, e) != fmt.Sprint(i+1) {
			t.Errorf("%+v", e)
		}
		since = e.id
		ids = append(ids, subject(t, r.want("new")))
	}
	if !slices.Equal(ids, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("%v", ids)
	}
}
