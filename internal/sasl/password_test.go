package sasl

import (
	"errors"
	"slices"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/bearer"
	"gadwall/internal/mailstore"
	"gadwall/internal/oidctest"
)

func TestPlain(t *testing.T) {
	e := newEnv(t)
	for name, tt := range map[string][]message{
		"asked":     {{nil, "", false, nil}, {[]byte("\x00" + testUser + "\x00" + testPassword), "", true, nil}},
		"initial":   {{[]byte("\x00" + testUser + "\x00" + testPassword), "", true, nil}},
		"as itself": {{[]byte("ALICE@Example.com\x00" + testUser + "\x00" + testPassword), "", true, nil}},
		"as other": {{[]byte("bob@example.com\x00" + testUser + "\x00" + testPassword), "", false,
			account.ErrNotAuthorized}},
		"as other with a wrong password": {{[]byte("bob@example.com\x00" + testUser + "\x00wrong"), "", false,
			mailstore.ErrAuthFailed}},
		"wrong":     {{[]byte("\x00" + testUser + "\x00wrong horse"), "", false, mailstore.ErrAuthFailed}},
		"no such":   {{[]byte("\x00bob@example.com\x00" + testPassword), "", false, mailstore.ErrAuthFailed}},
		"no NUL":    {{[]byte("alice"), "", false, ErrMalformed}},
		"three NUL": {{[]byte("\x00" + testUser + "\x00a\x00b"), "", false, ErrMalformed}},
		"empty":     {{[]byte{}, "", false, ErrMalformed}},
		"nobody":    {{[]byte("\x00\x00" + testPassword), "", false, ErrMalformed}},
		"too long":  {{make([]byte, maxResponse+1), "", false, ErrMalformed}},
		"after error": {{[]byte("x"), "", false, ErrMalformed},
			{[]byte("\x00" + testUser + "\x00" + testPassword), "", false, errEnded}},
	} {
		t.Run(name, func(t *testing.T) {
			x := e.begin(t, "PLAIN")
			talk(t, x, tt...)
			if a := x.Account(); a != nil && a.Username() != testUser {
				t.Errorf("account of %s", a.Username())
			}
		})
	}
}

func TestLogin(t *testing.T) {
	e := newEnv(t)
	for name, tt := range map[string][]message{
		"asked": {{nil, "Username:", false, nil}, {[]byte(testUser), "Password:", false, nil},
			{[]byte(testPassword), "", true, nil}},
		"initial": {{[]byte(testUser), "Password:", false, nil}, {[]byte(testPassword), "", true, nil}},
		"wrong": {{[]byte(testUser), "Password:", false, nil},
			{[]byte("wrong horse"), "", false, mailstore.ErrAuthFailed}},
		"nobody": {{nil, "Username:", false, nil}, {[]byte{}, "", false, ErrMalformed}},
	} {
		t.Run(name, func(t *testing.T) { talk(t, e.begin(t, "LOGIN"), tt...) })
	}
}

// TestPasswordsNeedPrivacy: no password is asked of a client whose connection anybody can read.
func TestPasswordsNeedPrivacy(t *testing.T) {
	e := newEnv(t)
	if got := e.Mechanisms(private); !slices.Equal(got, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("offered with TLS: %q", got)
	}
	if got := e.Mechanisms(open); len(got) != 0 {
		t.Errorf("offered without: %q", got)
	}
	for _, name := range []string{"PLAIN", "LOGIN", "GSSAPI"} {
		if _, err := e.Begin(t.Context(), name, open); !errors.Is(err, ErrNotOffered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := e.Password(t.Context(), open, "LOGIN command", testUser, testPassword)
	if !errors.Is(err, ErrNotOffered) {
		t.Errorf("password: %v", err)
	}
	who, err := e.Password(t.Context(), private, "LOGIN command", testUser, testPassword)
	if err != nil || who.Username() != testUser {
		t.Errorf("password with TLS: %v, %v", who, err)
	}
}

// FuzzExchange: an exchange ends, without an account for those who do not know the password.
func FuzzExchange(f *testing.F) {
	// Another program denies passwords faster than the store does.
	e, _ := newExternalEnv(f, false, undelayed, func(o *Options) {
		p := oidctest.New(f)
		o.Tokens = bearer.New(bearer.Options{Issuer: p.Issuer, ClientID: oidctest.ClientID})
		f.Cleanup(o.Tokens.Close)
		o.Certificate = CertificateEmail
	})
	stranger := withCertificate(true, "", "eve@example.com")
	for i := range mechanisms {
		f.Add(uint8(i), []byte("\x00"+testUser+"\x00wrong"), []byte("wrong"), []byte(""))
		f.Add(uint8(i), []byte("n,a="+testUser+",\x01auth=Bearer a.b.c\x01\x01"), []byte{1}, []byte(""))
		f.Add(uint8(i), []byte("user="+testUser+"*root\x01auth=Bearer x\x01\x01"), []byte{1}, []byte(""))
	}
	f.Fuzz(func(t *testing.T, which uint8, first, second, third []byte) {
		m := mechanisms[int(which)%len(mechanisms)]
		x, err := e.Begin(t.Context(), m.name, stranger)
		if err != nil {
			return
		}
		for _, response := range [][]byte{first, second, third} {
			_, done, err := x.Next(response)
			if done {
				t.Fatalf("%s: logged in with %q, %q, %q", m.name, first, second, third)
			}
			if err != nil {
				return
			}
		}
	})
}
