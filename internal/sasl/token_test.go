package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/bearer"
	"gadwall/internal/mailstore"
	"gadwall/internal/oidctest"
)

// newTokenEnv makes an env with a provider. Tokens need the scope mail.
func newTokenEnv(t testing.TB) (*env, *oidctest.Provider) {
	p := oidctest.New(t)
	v := bearer.New(bearer.Options{Issuer: p.Issuer, ClientID: oidctest.ClientID, Scope: "mail"})
	t.Cleanup(v.Close)
	return newEnv(t, func(o *Options) { o.Tokens = v }), p
}

func TestOAuthBearer(t *testing.T) {
	e, p := newTokenEnv(t)
	e.store.User(t, "bob@example.com")
	good := p.Token(testUser, nil)
	initial := func(as, token string) []byte {
		return []byte("n," + as + ",\x01host=mail.example.com\x01port=143\x01auth=Bearer " + token + "\x01\x01")
	}
	problem := func(status string) string {
		return fmt.Sprintf(`{"status":%q,"scope":"mail","openid-configuration":"%s/.well-known/openid-configuration"}`,
			status, p.Issuer)
	}
	// refused is the exchange of a token that is not good enough (RFC 7628 section 3.2.3).
	refused := func(response []byte, status string, err error) []message {
		return []message{{response, problem(status), false, nil}, {[]byte{1}, "", false, err}}
	}
	for name, tt := range map[string][]message{
		"initial":   {{initial("a="+testUser, good), "", true, nil}},
		"asked":     {{nil, "", false, nil}, {initial("a="+testUser, good), "", true, nil}},
		"no user":   {{initial("", good), "", true, nil}},
		"any case":  {{[]byte("y,,\x01auth=bEARER " + good + "\x01\x01"), "", true, nil}},
		"more keys": {{[]byte("n,,\x01mthd=POST\x01auth=Bearer " + good + "\x01qs=x=y\x01\x01"), "", true, nil}},

		"as bob": refused(initial("a=bob@example.com", good), "invalid_token", account.ErrNotAuthorized),
		"no such user": refused(initial("", p.Token("eve@example.com", nil)), "invalid_token",
			mailstore.ErrAuthFailed),
		"expired": refused(initial("", p.Token(testUser, oidctest.Claims{"exp": time.Now().Unix() - 1})),
			"invalid_token", mailstore.ErrAuthFailed),
		"no scope": refused(initial("", p.Token(testUser, oidctest.Claims{"scope": "openid"})),
			"insufficient_scope", bearer.ErrScope),
		"where?": refused([]byte("n,,\x01auth=\x01\x01"), "invalid_token", mailstore.ErrAuthFailed),

		"with binding": {{[]byte("p=tls-exporter,,\x01auth=Bearer " + good + "\x01\x01"), "", false, ErrMalformed}},
		"no auth":      {{[]byte("n,,\x01host=x\x01\x01"), "", false, ErrMalformed}},
		"basic":        {{[]byte("n,,\x01auth=Basic " + good + "\x01\x01"), "", false, ErrMalformed}},
		"twice":        {{[]byte("n,,\x01auth=Bearer a\x01auth=Bearer " + good + "\x01\x01"), "", false, ErrMalformed}},
		"no end":       {{[]byte("n,,\x01auth=Bearer " + good + "\x01"), "", false, ErrMalformed}},
		"no header":    {{[]byte("\x01auth=Bearer " + good + "\x01\x01"), "", false, ErrMalformed}},
		"bad name":     {{initial("a=a=b", good), "", false, ErrMalformed}},
		"empty":        {{[]byte{}, "", false, ErrMalformed}},
	} {
		t.Run(name, func(t *testing.T) {
			x := e.begin(t, "OAUTHBEARER")
			talk(t, x, tt...)
			if a := x.Account(); a != nil && a.Username() != testUser {
				t.Errorf("account of %s", a.Username())
			}
		})
	}
}

func TestXOAuth2(t *testing.T) {
	e, p := newTokenEnv(t)
	e.store.User(t, "bob@example.com")
	initial := func(user, token string) []byte {
		return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
	}
	const problem = `{"status":"401","schemes":"bearer","scope":"mail"}`
	good := p.Token(testUser, nil)
	for name, tt := range map[string][]message{
		"initial": {{initial(testUser, good), "", true, nil}},
		"asked":   {{nil, "", false, nil}, {initial(testUser, good), "", true, nil}},
		"as bob": {{initial("bob@example.com", good), problem, false, nil},
			{[]byte{}, "", false, account.ErrNotAuthorized}},
		"wrong":  {{initial(testUser, "wrong"), problem, false, nil}, {[]byte{}, "", false, mailstore.ErrAuthFailed}},
		"nobody": {{initial("", good), "", false, ErrMalformed}},
		"plain":  {{[]byte("\x00" + testUser + "\x00" + testPassword), "", false, ErrMalformed}},
	} {
		t.Run(name, func(t *testing.T) { talk(t, e.begin(t, "XOAUTH2"), tt...) })
	}
}

// TestTokenErrors: a client that gives up after it was refused is refused; a provider that is away
// says nothing of a token; users who may not log in may not with tokens.
func TestTokenErrors(t *testing.T) {
	e, p := newTokenEnv(t)
	x := e.begin(t, "XOAUTH2")
	if err := x.Cancel(); !errors.Is(err, ErrCancelled) {
		t.Errorf("cancelled before: %v", err)
	}
	x = e.begin(t, "XOAUTH2")
	talk(t, x, message{[]byte("user=" + testUser + "\x01auth=Bearer x\x01\x01"),
		`{"status":"401","schemes":"bearer","scope":"mail"}`, false, nil})
	if err := x.Cancel(); !errors.Is(err, mailstore.ErrAuthFailed) {
		t.Errorf("cancelled after: %v", err)
	}
	if err := e.store.Suspend(t.Context(), e.user.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Bearer(t.Context(), private, p.Token(testUser, nil)); !errors.Is(err, mailstore.ErrSuspended) {
		t.Errorf("suspended: %v", err)
	}
	if err := e.store.Resume(t.Context(), e.user.ID); err != nil {
		t.Fatal(err)
	}
	if a, err := e.Bearer(t.Context(), private, p.Token(testUser, nil)); err != nil || a.Username() != testUser {
		t.Errorf("resumed: %v, %v", a, err)
	}
	away, p := newTokenEnv(t)
	p.SetDown(true)
	secret := p.Token(testUser, nil)
	_, err := away.Bearer(t.Context(), private, secret)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, mailstore.ErrAuthFailed) ||
		strings.Contains(err.Error(), secret) {
		t.Errorf("provider away: %v", err)
	}
}

// TestTokensAreOffered: with a provider, and to clients whose connection nobody can read.
func TestTokensAreOffered(t *testing.T) {
	e, _ := newTokenEnv(t)
	if got := e.Mechanisms(private); !slices.Equal(got, []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}) {
		t.Errorf("offered: %q", got)
	}
	if got := e.Mechanisms(open); len(got) != 0 {
		t.Errorf("offered without TLS: %q", got)
	}
	if _, err := e.Bearer(t.Context(), open, "x"); !errors.Is(err, ErrNotOffered) {
		t.Errorf("without TLS: %v", err)
	}
	if _, err := newEnv(t).Bearer(t.Context(), private, "x"); !errors.Is(err, ErrNotOffered) {
		t.Errorf("without a provider: %v", err)
	}
}

func TestGS2(t *testing.T) {
	for in, want := range map[string]struct {
		gs2Header
		rest string
	}{
		"n,,rest":              {gs2Header{flag: 'n'}, "rest"},
		"y,,":                  {gs2Header{flag: 'y'}, ""},
		"p=tls-exporter,a=b,x": {gs2Header{'p', "tls-exporter", "b"}, "x"},
		"n,a=a=2Cb=3D,x,y":     {gs2Header{flag: 'n', authzid: "a,b="}, "x,y"},
	} {
		if h, rest, ok := cutGS2(in); !ok || h != want.gs2Header || rest != want.rest {
			t.Errorf("%q: %+v, %q, %t", in, h, rest, ok)
		}
	}
	for _, in := range []string{
		"", "n", "n,", "x,,", "F,n,,", "p=,,", "p,,", "p=a b,,", "n,b,", "n,a=,", "n,a==2c,", "n,a=\x00,",
	} {
		if h, _, ok := cutGS2(in); ok {
			t.Errorf("%q: %+v", in, h)
		}
	}
}

// FuzzOAuthBearer: whatever is taken can be written again, and says the same then.
func FuzzOAuthBearer(f *testing.F) {
	f.Add("n,a=alice=2Cx,\x01host=h\x01auth=Bearer abc\x01\x01")
	f.Add("n,,\x01auth=\x01\x01")
	f.Add("y,a==3D,\x01\x01")
	f.Fuzz(func(t *testing.T, in string) {
		as, token, ok := parseOAuthBearer(in)
		if !ok {
			return
		}
		header := ""
		if as != "" {
			header = "a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(as)
		}
		auth := ""
		if token != "" {
			auth = "Bearer " + token
		}
		as2, token2, ok := parseOAuthBearer("n," + header + ",\x01auth=" + auth + "\x01\x01")
		if !ok || as2 != as || token2 != token {
			t.Errorf("%q: %q, %q became %q, %q, %t", in, as, token, as2, token2, ok)
		}
	})
}
