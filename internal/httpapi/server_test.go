package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

const within = 2 * time.Minute

func start(t *testing.T, o Options) (url string) {
	t.Helper()
	if o.Ping == nil {
		o.Ping = func(context.Context) error { return nil }
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, New(o), l)
}

// serve has a server answer requests on l until the test ends.
func serve(t *testing.T, srv *Server, l net.Listener) (url string) {
	t.Helper()
	checkAgainst(t, l.Addr().String(), srv.document)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// request sends a request with lines "Name: value" of header.
func request(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	var req *http.Request
	resp := answered(t, func(ctx context.Context) *http.Request {
		var err error
		if req, err = http.NewRequestWithContext(ctx, method, url, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			if name == "Host" {
				req.Host = value
			}
			req.Header.Set(name, value)
		}
		return req
	})
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	checkExchange(t, req, body, resp, raw)
	return resp.StatusCode, string(raw), resp.Header
}

// answered sends a request and returns its answer. A server that refuses a body closes the connection
// while the client still sends, and a client that comes to read too late has lost the answer: it asks
// again.
func answered(t *testing.T, ask func(context.Context) *http.Request) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	for {
		resp, err := http.DefaultClient.Do(ask(ctx))
		if err == nil {
			return resp
		}
		if ctx.Err() != nil || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		t.Log(err)
	}
}

const isJSON = "Content-Type: application/json"

func TestCreateUser(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	url := start(t, Options{Users: st}) + "/user/create"
	status, body, header := request(t, "POST", url, `{"username":"Ada@Example.com","password":"correct horse"}`, isJSON)
	var answer struct {
		Success      bool
		ID, Username string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if status != 200 || !answer.Success || len(answer.ID) != 16 ||
		answer.Username != "ada@example.com" || header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", status, body)
	}
	if _, err := st.Authenticate(t.Context(), "ada@example.com", "correct horse", mailstore.ScopeIMAP); err != nil {
		t.Errorf("the new user cannot log in: %v", err)
	}

	for i, tt := range []struct {
		quota string
		want  quota.Limits
	}{
		{`{"storage":1048576,"messages":"unlimited"}`, quota.Limits{Bytes: 1 << 20, Messages: quota.Unlimited}},
		{`{"storage":"1GiB"}`, quota.Limits{Bytes: 1 << 30}},
		{`{"storage":"default","messages":null}`, quota.Limits{}},
		{`{}`, quota.Limits{}},
	} {
		name := fmt.Sprintf("limited%d@example.com", i)
		status, body, _ := request(t, "POST", url, `{"username":"`+name+
			`","password":"correct horse","quota":`+tt.quota+`}`, isJSON)
		user, err := st.UserByName(t.Context(), name)
		if status != 200 || err != nil || user.Own != tt.want {
			t.Errorf("%s: %d %s; %+v, %v", tt.quota, status, body, user, err)
		}
		if err := st.DeleteUser(t.Context(), user.ID); err != nil {
			t.Fatal(err)
		}
	}

	for _, tt := range []struct {
		name, body string
		header     string
		status     int
		code       string
	}{
		{"duplicate", `{"username":"ada@example.com","password":"correct horse"}`, isJSON, 409, "UserExists"},
		{"no address", `{"username":"ada","password":"correct horse"}`, isJSON, 400, "InvalidAddress"},
		{"missing fields", `{}`, isJSON, 400, "InvalidAddress"},
		{"null", `null`, isJSON, 400, "InvalidAddress"},
		{"short password", `{"username":"bob@example.com","password":"short"}`, isJSON, 400, "WeakPassword"},
		{"long password", `{"username":"bob@example.com","password":"` +
			strings.Repeat("x", mailstore.MaxPasswordLength+1) + `"}`, isJSON, 400, "WeakPassword"},
		{"password of NUL octets",
			`{"username":"bob@example.com","password":"\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000"}`, isJSON, 400, "WeakPassword"},
		{"unknown field", `{"username":"bob@example.com","password":"correct horse","admin":true}`,
			isJSON, 400, "UnknownField"},
		{"wrong type", `{"username":7,"password":"correct horse"}`, isJSON, 400, "InvalidField"},
		{"quota of nothing", `{"username":"bob@example.com","password":"correct horse","quota":{"storage":0}}`, isJSON, 400, "InvalidField"},
		{"quota of half a message",
			`{"username":"bob@example.com","password":"correct horse","quota":{"messages":0.5}}`,
			isJSON, 400, "InvalidField"},
		{"quota is no object",
			`{"username":"bob@example.com","password":"correct horse","quota":true}`, isJSON, 400, "InvalidField"},
		{"array", `[]`, isJSON, 400, "InvalidField"},
		{"not JSON", `username=bob`, isJSON, 400, "InvalidJSON"},
		{"empty", ``, isJSON, 400, "InvalidJSON"},
		{"cut off", `{"username":"bob`, isJSON, 400, "InvalidJSON"},
		{"two values", `{"username":"bob@example.com","password":"correct horse"}{}`, isJSON, 400, "InvalidJSON"},
		{"too large", `{"username":"` + strings.Repeat("x", maxUserBody) + `"}`, isJSON, 413, "TooLarge"},
		{"a form, as a page of another origin may send", `{"username":"bob@example.com","password":"correct horse"}`, "Origin: http://evil.example", 403, "CrossOrigin"},
		{"a page, as browsers mark it", `{"username":"bob@example.com","password":"correct horse"}`,
			"Sec-Fetch-Site: cross-site", 403, "CrossOrigin"},
		{"charset is fine", `{"username":"x","password":"correct horse"}`, isJSON +
			"; charset=utf-8", 400, "InvalidAddress"},
		{"rebound DNS name", `{"username":"bob@example.com","password":"correct horse"}`,
			"Host: evil.example:8080", 403, "Forbidden"},
	} {
		header := []string{tt.header}
		if strings.HasPrefix(tt.header, "Host") {
			header = append(header, isJSON)
		}
		status, body, _ := request(t, "POST", url, tt.body, header...)
		if status != tt.status || code(t, body) != tt.code {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
	}
	var names []string
	for u, err := range st.Users(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, u.Username)
	}
	if diff := cmp.Diff([]string{"ada@example.com"}, names); diff != "" {
		t.Errorf("users after refused requests: %s", diff)
	}
}

// code checks that a failure has its form, and returns its code.
func code(t *testing.T, body string) string {
	t.Helper()
	var f struct {
		Success *bool
		Error   string
		Code    string
	}
	if strings.Contains(body, "struct {") {
		t.Errorf("%q names what is of the program, not of the request", body)
	}
	if err := json.Unmarshal([]byte(body), &f); err != nil || f.Success == nil || *f.Success || f.Error == "" {
		t.Errorf("not a failure as documented: %q", body)
	}
	return f.Code
}

// failingUsers cannot reach the database.
type failingUsers struct{ Users }

func (failingUsers) CreateUser(context.Context, mailstore.NewUser) (*mailstore.User, error) {
	return nil, errors.New("injected: mongodb://user:secret@host")
}

func TestTroubleIsNotTold(t *testing.T) {
	url := start(t, Options{Users: failingUsers{}})
	status, body, _ := request(t, "POST", url+"/user/create",
		`{"username":"bob@example.com","password":"correct horse"}`, isJSON)
	if status != 500 || code(t, body) != "Internal" || strings.Contains(body, "injected") {
		t.Errorf("%d %s", status, body)
	}
}

func TestToken(t *testing.T) {
	const token = "0123456789abcdef"
	url := start(t, Options{Users: failingUsers{}, Token: token})
	for header, want := range map[string]int{
		"X: y": 401, "Authorization: Bearer wrong": 401, "Authorization: Basic " + token: 401,
		"Authorization: Bearer ": 401, "Authorization: Bearer " + token: 200, "Authorization: bearer " + token: 200,
	} {
		if status, body, _ := request(t, "GET", url+"/metrics", "", header); status != want {
			t.Errorf("%s: %d %s", header, status, body)
		}
	}
	// With a token the host's name does not matter; health is for everybody.
	if status, _, _ := request(t, "GET", url+"/metrics", "", "Host: mail.example.com",
		"Authorization: Bearer "+token); status != 200 {
		t.Errorf("metrics by another name: %d", status)
	}
	if status, _, _ := request(t, "GET", url+"/health", ""); status != 200 {
		t.Errorf("health: %d", status)
	}
}

func TestRoutes(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gadwall_test", Help: "x"})
	g.Set(7)
	reg.MustRegister(g)
	down := false
	url := start(t, Options{Users: failingUsers{}, Gatherer: reg, Ping: func(context.Context) error {
		if down {
			return errors.New("injected")
		}
		return nil
	}})
	if status, body, _ := request(t, "GET", url+"/metrics", ""); status != 200 ||
		!strings.Contains(body, "gadwall_test 7") {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, body, _ := request(t, "GET", url+"/health", ""); status != 200 ||
		body != "{\"success\":true,\"status\":\"ok\"}\n" {
		t.Errorf("health: %d %s", status, body)
	}
	down = true
	if status, body, _ := request(t, "GET", url+"/health", ""); status != 503 ||
		code(t, body) != "DatabaseUnavailable" {
		t.Errorf("health without a database: %d %s", status, body)
	}
	status, body, header := request(t, "GET", url+"/user/create", "")
	if status != 405 || code(t, body) != "MethodNotAllowed" || header.Get("Allow") != "POST" {
		t.Errorf("GET /user/create: %d %s", status, body)
	}
	for _, path := range []string{"/index.html", "/nothing", "/health/x", "/user/create/"} {
		if status, body, _ := request(t, "GET", url+path, ""); status != 404 || code(t, body) != "NotFound" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestIsLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "127.0.0.1:8080": true, "127.1.2.3": true,
		"[::1]:80": true, "[::1]": true,
		"example.com": false, "localhost.example.com": false, "10.0.0.1": false, "": false, "0.0.0.0:80": false,
	} {
		if isLoopbackHost(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}
