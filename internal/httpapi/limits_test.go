package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// dial opens a connection to a server's URL; it is closed at cleanup.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// exchange sends text as it is and reads one answer.
func exchange(t *testing.T, nc net.Conn, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// A client that announces a body and never sends it gets its refusal, and the end of the
// connection, while the server's own time limits are far away.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	url := start(t, Options{Users: failingUsers{}, Token: "0123456789abcdef"})
	for _, tt := range []struct {
		name, head string
		status     int
	}{
		{"no token", "POST /user/create HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", 401},
		{"no token, chunked", "POST /user/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 401},
		{"no such resource", "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{", 404},
		{"other method", "PUT /user/create HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", 405},
		{"body where none belongs", "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", 413},
		{"not JSON", "POST /user/create HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef\r\n" +
			"Content-Length: 50\r\n\r\nhello", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nc := dial(t, url)
			begun := time.Now()
			resp, body := exchange(t, nc, tt.head)
			if resp.StatusCode != tt.status || !resp.Close {
				t.Errorf("%d, closes %v: %s", resp.StatusCode, resp.Close, body)
			}
			if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the connection goes on: %v", err)
			}
			// The server must not have run into a time limit of its own: the least is healthTimeout.
			if took := time.Since(begun); took >= healthTimeout {
				t.Errorf("the refusal waited for %v", took)
			}
		})
	}
}

// Clients that hold all connections do not keep others from /health.
func TestHealthHasRoomOfItsOwn(t *testing.T) {
	const limit = 3
	url := start(t, Options{Users: failingUsers{}, MaxConnections: limit})
	for range limit {
		nc := dial(t, url)
		// The answer says that the server has counted the connection, which stays open.
		if resp, body := exchange(t, nc, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"); resp.Close {
			t.Fatalf("within the limit: %s", body)
		}
	}
	resp, body := exchange(t, dial(t, url), "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != 200 || !resp.Close {
		t.Errorf("health past the limit: %d, closes %v: %s", resp.StatusCode, resp.Close, body)
	}
	resp, body = exchange(t, dial(t, url), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != 503 || code(t, body) != "TooManyConnections" {
		t.Errorf("metrics past the limit: %d %s", resp.StatusCode, body)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	c := newConnections(5, 2)
	var held []admission
	for i, want := range []admission{admitted, admitted, admittedOnce} {
		a := c.admit("192.0.2.1")
		if held = append(held, a); a != want {
			t.Errorf("connection %d of one address: %v, want %v", i, a, want)
		}
	}
	for range reservedPerAddress - 1 {
		held = append(held, c.admit("192.0.2.1"))
	}
	if a := c.admit("192.0.2.1"); a != refused {
		t.Errorf("an address past its room: %v", a)
	}
	for i := range 3 {
		if a := c.admit(fmt.Sprintf("192.0.2.%d", 10+i)); a != admitted {
			t.Errorf("another address: %v", a)
		}
	}
	if a := c.admit("192.0.2.20"); a != admittedOnce {
		t.Errorf("past the limit of all: %v", a)
	}
	for _, a := range held {
		c.release("192.0.2.1", a)
	}
	if a := c.admit("192.0.2.1"); a != admitted {
		t.Errorf("after all were closed: %v", a)
	}
	if c.open != 4 || c.reserved != 1 || len(c.addresses) != 5 {
		t.Errorf("%d open, %d reserved, %d addresses", c.open, c.reserved, len(c.addresses))
	}
}

// A route without a time limit streams for as long as its handler likes, and the next request of
// the connection has its own limits again.
func TestRouteWithoutTimeout(t *testing.T) {
	s := New(Options{Users: failingUsers{}, Ping: func(context.Context) error { return nil }})
	next := make(chan struct{})
	seen := make(chan bool, 1)
	s.http.Handler = s.handler(append(s.routes(), route{
		method: http.MethodGet, path: "/stream", who: everybody,
		handle: func(w http.ResponseWriter, r *http.Request) {
			_, limited := r.Context().Deadline()
			seen <- limited
			control := http.NewResponseController(w)
			for range 2 {
				if _, err := io.WriteString(w, "event\n"); err != nil {
					t.Error(err)
				}
				if err := control.Flush(); err != nil {
					t.Error(err)
				}
				<-next
			}
		},
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	}()
	resp, err := http.Get("http://" + l.Addr().String() + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if <-seen {
		t.Error("the handler has a deadline")
	}
	lines := bufio.NewReader(resp.Body)
	for range 2 {
		if line, err := lines.ReadString('\n'); err != nil || line != "event\n" {
			t.Fatalf("%q, %v", line, err)
		}
		next <- struct{}{}
	}
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Errorf("end of the stream: %v", err)
	}
}

// fullUsers is a store whose database has no room.
type fullUsers struct{ Users }

func (fullUsers) CreateUser(context.Context, mailstore.NewUser) (*mailstore.User, error) {
	return nil, fmt.Errorf("create user: %w", mongo.CommandError{Code: 14031, Name: "OutOfDiskSpace"})
}

func TestFullDisk(t *testing.T) {
	disk := Disk{FreeBytes: 4096}
	url := start(t, Options{Users: fullUsers{}, Disk: func() (Disk, error) { return disk, nil }})
	status, body, _ := request(t, "POST", url+"/user/create", `{"username":"bob@example.com","password":"correct horse"}`, isJSON)
	if status != 507 || code(t, body) != "StorageFull" {
		t.Errorf("create: %d %s", status, body)
	}
	const ok = `{"success":true,"status":"ok","disk":{"freeBytes":4096,"writesRefused":false}}` + "\n"
	if status, body, _ := request(t, "GET", url+"/health", ""); status != 200 || body != ok {
		t.Errorf("health: %d %s", status, body)
	}
	disk.WritesRefused = true
	const full = `{"success":true,"status":"disk full","disk":{"freeBytes":4096,"writesRefused":true}}` + "\n"
	if status, body, _ := request(t, "GET", url+"/health", ""); status != 200 || body != full {
		t.Errorf("health on a full disk: %d %s", status, body)
	}
}

func TestTextsSayWhatIsWrong(t *testing.T) {
	url := start(t, Options{Users: storetest.Open(t, storetest.Options{})}) + "/user/create"
	for body, want := range map[string]string{
		`{"username":"ada","password":"correct horse"}`:               "has no @",
		`{"username":"@example.com","password":"correct horse"}`:      "nothing stands before the @",
		`{"username":"ada@","password":"correct horse"}`:              "nothing stands behind the @",
		`{"username":"a@b@example.com","password":"correct horse"}`:   "more than one @",
		`{"username":"a b@example.com","password":"correct horse"}`:   `' ' is not allowed before the @`,
		`{"username":"a@x..com","password":"correct horse"}`:          `\"x..com\" is not a domain`,
		`{"username":"ada@example.com","password":"short"}`:           "it has 5 octets; 8 to 1024 are possible",
		`{"username":"ada@example.com","password":"\u0000 00000000"}`: "it has a control character",
		`username=ada`: `expected a JSON object such as`,
		``:             "the body is empty",
		`{"username":`: "ends in the middle",
	} {
		status, answer, _ := request(t, "POST", url, body, isJSON)
		if status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
