package sasl

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/authcall"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// askedProgram knows the passwords of users: each is "of " and the name.
type askedProgram struct {
	mu        sync.Mutex
	attribute map[string]string // what else it says of a user, as members of JSON
	down      bool
	questions int
}

func (p *askedProgram) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.questions++
	var q authcall.Question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || p.down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if q.Password != "of "+q.Username {
		_, _ = io.WriteString(w, `{"allow":false}`)
		return
	}
	_, _ = io.WriteString(w, `{"allow":true`+p.attribute[q.Username]+`}`)
}

func (p *askedProgram) set(user, attribute string, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attribute[user], p.down = attribute, down
}

// newExternalEnv makes an env whose passwords another program knows.
func newExternalEnv(t testing.TB, create bool, opts ...func(*Options)) (*env, *askedProgram) {
	p := &askedProgram{attribute: make(map[string]string)}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	c := authcall.New(authcall.Options{URL: s.URL, Secret: "0123456789abcdef", Timeout: time.Minute})
	t.Cleanup(c.Close)
	return newEnv(t, append(opts, func(o *Options) { o.External, o.CreateUsers = c, create })...), p
}

func (e *env) login(t *testing.T, username, password, as string, want error) {
	t.Helper()
	who, err := e.Password(t.Context(), private, "test", username, password)
	switch {
	case want != nil:
		if !errors.Is(err, want) {
			t.Errorf("%s, %q: %v, want %v", username, password, err, want)
		}
	case err != nil || who.Username() != as:
		t.Errorf("%s, %q: %v, %v, want %s", username, password, who, err, as)
	}
	if err != nil && strings.Contains(err.Error(), password) {
		t.Errorf("the password is in %q", err)
	}
}

// TestExternal: the other program decides about passwords, in every mechanism; application passwords
// are the store's.
func TestExternal(t *testing.T) {
	e, p := newExternalEnv(t, false)
	e.login(t, testUser, "of "+testUser, testUser, nil)
	e.login(t, testUser, testPassword, "", mailstore.ErrAuthFailed)
	e.login(t, "eve@example.com", "of eve@example.com", "", mailstore.ErrAuthFailed) // no such user here
	talk(t, e.begin(t, "PLAIN"), message{[]byte("\x00" + testUser + "\x00of " + testUser), "", true, nil})
	talk(t, e.begin(t, "PLAIN"),
		message{[]byte("\x00" + testUser + "\x00" + testPassword), "", false, mailstore.ErrAuthFailed})
	talk(t, e.begin(t, "LOGIN"), message{[]byte(testUser), "Password:", false, nil},
		message{[]byte("of " + testUser), "", true, nil})

	_, app, err := e.store.AddAppPassword(t.Context(), e.user.ID, "phone", mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := e.store.AddAppPassword(t.Context(), e.user.ID, "relay", mailstore.ScopeSMTP)
	if err != nil {
		t.Fatal(err)
	}
	before := p.questions
	e.login(t, testUser, app, testUser, nil)
	if p.questions != before {
		t.Error("it was asked about an application password")
	}
	e.login(t, testUser, other, "", mailstore.ErrAuthFailed)

	p.set("ada", `,"username":"Alice@Example.com"`, false)
	e.login(t, "ada", "of ada", testUser, nil)
	for _, as := range []string{"", "ada", testUser} {
		talk(t, e.begin(t, "PLAIN"), message{[]byte(as + "\x00ada\x00of ada"), "", true, nil})
	}
	talk(t, e.begin(t, "PLAIN"),
		message{[]byte("bob@example.com\x00ada\x00of ada"), "", false, account.ErrNotAuthorized})
	p.set("", "", true)
	e.login(t, testUser, "of "+testUser, "", ErrUnavailable)
	e.login(t, testUser, testPassword, "", ErrUnavailable)
	e.login(t, testUser, app, testUser, nil)
	p.set("", "", false)
	e.login(t, testUser, strings.Repeat("x", mailstore.MaxPasswordLength+1), "", mailstore.ErrAuthFailed)
	p.set("short", `,"username":"no address"`, false)
	e.login(t, "short", "of short", "", ErrUnavailable)
}

// TestExternalAttributes: the store follows what the program says of a user.
func TestExternalAttributes(t *testing.T) {
	e, p := newExternalEnv(t, true)
	const bob = "bob@example.com"
	expect := func(name string, own quota.Limits, state mailstore.UserState) {
		t.Helper()
		u, err := e.store.UserByName(t.Context(), bob)
		if err != nil {
			t.Fatal(err)
		}
		if u.DisplayName != name || u.Own != own || u.State != state {
			t.Errorf("%q, %+v, %q; want %q, %+v, %q", u.DisplayName, u.Own, u.State, name, own, state)
		}
	}
	e.login(t, bob, "not right", "", mailstore.ErrAuthFailed)
	if _, err := e.store.UserByName(t.Context(), bob); !errors.Is(err, mailstore.ErrNoSuchUser) {
		t.Errorf("a wrong password made a user: %v", err)
	}
	p.set(bob, `,"name":"Bob","quota":{"storage":4096,"messages":7}`, false)
	e.login(t, bob, "of "+bob, bob, nil)
	expect("Bob", quota.Limits{Bytes: 4096, Messages: 7}, mailstore.UserActive)
	// Nobody knows a password of the store for him.
	if _, err := e.store.Authenticate(t.Context(), bob, "of "+bob, mailstore.ScopeIMAP); !errors.Is(err,
		mailstore.ErrAuthFailed) {
		t.Errorf("by the store: %v", err)
	}
	p.set(bob, "", false)
	e.login(t, bob, "of "+bob, bob, nil)
	expect("Bob", quota.Limits{Bytes: 4096, Messages: 7}, mailstore.UserActive)
	p.set(bob, `,"name":"","quota":0,"state":"suspended"`, false)
	e.login(t, bob, "of "+bob, "", mailstore.ErrSuspended)
	expect("", quota.Limits{}, mailstore.UserSuspended)
	p.set(bob, "", false)
	e.login(t, bob, "of "+bob, "", mailstore.ErrSuspended)
	p.set(bob, `,"state":"active"`, false)
	e.login(t, bob, "of "+bob, bob, nil)

	p.set(bob, `,"name":"`+strings.Repeat("x", mailstore.MaxDisplayName+1)+`"`, false)
	e.login(t, bob, "of "+bob, "", ErrUnavailable)
	p.set("no address", "", false)
	e.login(t, "no address", "of no address", "", ErrUnavailable)

	// A user who is being deleted comes back by no login.
	u, err := e.store.UserByName(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	p.set(bob, `,"state":"active"`, false)
	if err := e.store.DeleteUserAfter(t.Context(), u.ID, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	e.login(t, bob, "of "+bob, "", mailstore.ErrAuthFailed)

	// The first logins of a user at once make one.
	const carol = "carol@example.com"
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { e.login(t, carol, "of "+carol, carol, nil) })
	}
	all.Wait()
}
