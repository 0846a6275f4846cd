package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
	"gadwall/internal/storetest"
)

// allOf asks for the stream of what happens to all users.
func (a *updateAPI) allOf(t *testing.T, query string, header ...string) *updateReader {
	t.Helper()
	return a.openAt(t, "/updates"+query, header...)
}

// wantOf reads events of the stream of all users until one of the kind, and checks its form.
func (r *updateReader) wantOf(kind string) (e feed.WatchedEvent) {
	r.t.Helper()
	for {
		got := r.next()
		if got.event != kind {
			continue
		}
		var data struct{ Kind string }
		if err := json.Unmarshal([]byte(got.data), &data); err != nil || data.Kind != kind || got.id != "" {
			r.t.Fatalf("%+v, want %s; %v", got, kind, err)
		}
		if err := json.Unmarshal([]byte(got.data), &e); err != nil {
			r.t.Fatal(err)
		}
		return e
	}
}

// redisAt starts Debian's redis-server and returns a bus for each instance.
func redisAt(t *testing.T, n int) (buses []events.Bus) {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(server, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		os.RemoveAll(dir)
	})
	for range n {
		client := events.SocketClient(socket)
		bus := events.NewRedis(client, nil)
		t.Cleanup(func() {
			bus.Close()
			client.Close()
		})
		buses = append(buses, bus)
	}
	return buses
}

// What happens at either of two instances is told by both.
func TestAllUpdatesOfTwoInstances(t *testing.T) {
	db, buses := dbtest.Database(t), redisAt(t, 2)
	one := newUpdateAPIOn(t, storetest.Options{Database: db, Bus: buses[0]}, Options{}, listener(t))
	two := newUpdateAPIOn(t, storetest.Options{Database: db, Bus: buses[1]}, Options{}, listener(t))
	ada, bob := one.User(t, "ada@example.com").ID, one.User(t, "bob@example.net").ID
	one.inbox, two.inbox = ada.Mailbox(1), bob.Mailbox(1)
	streams := []*updateReader{one.allOf(t, ""), two.allOf(t, "")}
	for _, r := range streams {
		r.wantOf("start")
		if e := r.next(); e.event != "reach" || !strings.Contains(e.data, `"all"`) {
			t.Errorf("%+v", e)
		}
	}
	one.deliver(t)
	for i, r := range streams {
		if e := r.wantOf("new"); e.User.Username != "ada@example.com" || e.Message.Subject != "1" ||
			e.Mailbox.Path != "INBOX" || e.User.ID != ada.String() {
			t.Errorf("stream %d: %+v", i, e)
		}
	}
	two.deliver(t)
	for i, r := range streams {
		if e := r.wantOf("new"); e.User.Username != "bob@example.net" {
			t.Errorf("stream %d: %+v", i, e)
		}
	}
	if _, err := two.CreateMailbox(t.Context(), bob, "Plans", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, r := range streams {
		if e := r.wantOf("mailbox-created"); e.Mailbox.Path != "Plans" {
			t.Errorf("stream %d: %+v", i, e)
		}
	}
	if n := valueOf(t, one.server.updateMetrics.watches); n != 1 {
		t.Errorf("%v streams", n)
	}
	if n := valueOf(t, one.server.updateMetrics.watched); n < 3 {
		t.Errorf("%v events", n)
	}
}

func TestAllUpdatesFilters(t *testing.T) {
	a := newUpdateAPI(t, Options{})
	bob := a.User(t, "bob@example.net").ID
	a.refused(t, "GET", "/updates?kinds=lunch", "", 400, "InvalidField")
	a.refused(t, "GET", "/updates?domain=@", "", 400, "InvalidField")
	a.refused(t, "GET", "/updates?user=nobody@example.com", "", 404, "NoSuchUser")
	streams := []*updateReader{a.allOf(t, "?user=bob@example.net"), a.allOf(t, "?domain=Example.NET"),
		a.allOf(t, "?kinds=mailbox-created")}
	for _, r := range streams {
		r.wantOf("start")
	}
	a.deliver(t)
	if _, err := a.CreateMailbox(t.Context(), bob, "Plans", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, r := range streams {
		if e := r.next(); e.event != "mailbox-created" {
			t.Errorf("stream %d: %+v", i, e)
		}
	}
	if status, _, header := request(t, "HEAD", a.url+"/updates", ""); status != 200 ||
		header.Get("Content-Type") != typeEvents {
		t.Errorf("%d %v", status, header)
	}
}

// refusedAs asks for the stream with a header that is not enough.
func refusedAs(t *testing.T, url, header string, status int, want string) {
	t.Helper()
	if got, body, _ := request(t, "GET", url+"/updates", "", header); got != status || code(t, body) != want {
		t.Errorf("%d %s, want %d %s", got, body, status, want)
	}
}

// Operators alone hear of all users, and what mail says those of them who may read it. The stream of a token
// that is revoked ends.
func TestAllUpdatesNeedAToken(t *testing.T) {
	a := newUpdateAPI(t, Options{Token: "operator", Registry: sessions.NewRegistry()})
	ctx := t.Context()
	header := func(token mailstore.Token) (id, header string) {
		t.Helper()
		token.Name = "test"
		made, secret, err := a.CreateToken(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID, "Authorization: Bearer " + secret
	}
	a.refused(t, "GET", "/updates", "", 401, "Unauthorized")
	for _, token := range []mailstore.Token{
		{Scopes: []string{"mail", "self"}, User: a.user}, {Scopes: []string{"mail"}},
		{Scopes: []string{"metrics", "tokens"}},
	} {
		_, h := header(token)
		refusedAs(t, a.url, h, 403, "InsufficientScope")
	}
	id, little := header(mailstore.Token{Scopes: []string{"users:read"}})
	_, reads := header(mailstore.Token{Scopes: []string{"users:read", "mail:read"}})
	few, all := a.allOf(t, "", little), a.allOf(t, "", reads)
	few.wantOf("start")
	all.wantOf("start")
	secret, err := a.CreateMailbox(ctx, a.user, "Secret", mailstore.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := few.wantOf("mailbox-created"); e.Mailbox.Path != "" || e.Mailbox.ID == "" {
		t.Errorf("%+v", e.Mailbox)
	}
	if e := all.wantOf("mailbox-created"); e.Mailbox.Path != "Secret" {
		t.Errorf("%+v", e.Mailbox)
	}
	a.inbox = secret.Key
	a.deliver(t)
	if e := all.wantOf("new"); e.Message.Subject != "1" || len(e.Message.From) == 0 || e.Message.Preview == "" {
		t.Errorf("%+v", e.Message)
	}
	seen := few.wantOf("new")
	if m := seen.Message; m.Subject != "" || m.From != nil || m.Preview != "" || m.MessageID != "" || m.UID != 1 ||
		seen.User.Username != "ada@example.com" {
		t.Errorf("%+v", seen)
	}
	if text := few.raw.String(); strings.Contains(text, "Secret") || strings.Contains(text, "Ada") {
		t.Errorf("a token that may not read mail got %s", text)
	}
	if err := a.RevokeToken(ctx, id); err != nil {
		t.Fatal(err)
	}
	few.ended()
	refusedAs(t, a.url, little, 401, "Unauthorized")
}

// What is too much is counted, a client that does not read is cut, and neither holds up a delivery.
func TestAllUpdatesAreBounded(t *testing.T) {
	a := newUpdateAPIOn(t, storetest.Options{}, Options{}, narrow{listener(t)})
	s := a.server
	s.updateWait = time.Second
	a.user = a.User(t, "ada@example.com").ID
	r := a.allOf(t, "?kinds=new")
	r.wantOf("start")
	const boxes = 40
	for n := range boxes {
		box, err := a.CreateMailbox(t.Context(), a.user, fmt.Sprint("box", n), mailstore.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a.inbox = box.Key
		a.deliver(t)
	}
	told, leftOut := 0, 0
	for told+leftOut < boxes {
		e := r.next()
		var left struct{ Changes int }
		switch e.event {
		case "new":
			told++
		case "left-out":
			if err := json.Unmarshal([]byte(e.data), &left); err != nil || left.Changes < 1 {
				t.Fatalf("%+v %v", e, err)
			}
			leftOut += left.Changes
		default:
			t.Fatalf("%+v", e)
		}
	}
	if told+leftOut != boxes || told < 10 {
		t.Errorf("%d told, %d left out", told, leftOut)
	}
	if n := valueOf(t, s.updateMetrics.leftOut); n != float64(leftOut) {
		t.Errorf("%v left out, %d as told", n, leftOut)
	}
	r.resp.Body.Close()

	nc, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(nc, "GET /updates HTTP/1.1\r\nHost: localhost\r\n\r\n")
	begin, err := bufio.NewReader(nc).ReadString('\n')
	if err != nil || !strings.Contains(begin, "200") {
		t.Fatal(begin, err)
	}
	path := strings.Repeat("x", mailstore.MaxPathLength-2)
	const notes = 20
	for n := range notes {
		if err := a.Subscribe(t.Context(), a.user, fmt.Sprint(path, n), true); err != nil {
			t.Fatal(err)
		}
	}
	last, err := a.LastNote(t.Context(), a.user)
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); valueOf(t, s.updateMetrics.watches) > 0; { // until the client was cut
		if time.Since(begun) > 2*time.Minute {
			t.Fatal("a client that reads nothing was not cut")
		}
		for n := range uint64(notes) { // that it happened again
			_ = a.Bus.Publish(t.Context(), events.Event{User: a.user, Kind: events.MailboxList, ModSeq: last - n})
		}
		if status, _, _ := request(t, "GET", a.url+"/health", ""); status != 200 {
			t.Fatal(status)
		}
	}
	_, _ = io.Copy(io.Discard, nc)
}

func TestAllUpdatesLimit(t *testing.T) {
	a := newUpdateAPI(t, Options{})
	a.server.watches.max = 1
	r := a.allOf(t, "")
	r.wantOf("start")
	a.refused(t, "GET", "/updates", "", 429, "TooManyStreams")
	if err := a.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	r.ended()
}

// curl follows the stream, as a script of an operator does.
func TestAllUpdatesByCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	a := newUpdateAPI(t, Options{Token: "operator"})
	cmd := exec.CommandContext(t.Context(), curl, "-sN", "--max-time", "60", "-H", "Authorization: Bearer operator",
		a.url+"/updates?kinds=new")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &updateReader{t: t, text: bufio.NewReader(out)}
	r.wantOf("start")
	a.deliver(t)
	if e := r.wantOf("new"); e.Message.Subject != "1" {
		t.Errorf("%+v", e)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// A delivery asks the database for the same while somebody listens, and while nobody does.
func TestAllUpdatesAreNotPaidByDeliveries(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	a := newUpdateAPIOn(t, storetest.Options{Database: db}, Options{}, listener(t))
	a.user = a.User(t, "ada@example.com").ID
	a.inbox = a.user.Mailbox(1)
	a.deliver(t) // fills caches
	cost := func() int {
		t.Helper()
		commands.Reset()
		a.deliver(t)
		return commands.Total()
	}
	before := cost()
	w := a.server.opts.Accounts.Watch(feed.WatchOptions{}) // that does not read meanwhile
	defer w.Close()
	if after := cost(); after != before || before == 0 {
		t.Errorf("%d commands with a watch, %d without", after, before)
	}
}
