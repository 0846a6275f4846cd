package sasl

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/xdg-go/scram"

	"gadwall/internal/account"
	"gadwall/internal/bearer"
	"gadwall/internal/mailstore"
	"gadwall/internal/oidctest"
	"gadwall/internal/storetest"
)

const rootUser = "root@example.com" // a master user

// newNamesEnv is an env with everything by which a client can log in: alice, root, who is a master user,
// and the domain alias.example, which is an alias of theirs.
func newNamesEnv(t *testing.T) (*env, *oidctest.Provider) {
	t.Helper()
	p := oidctest.New(t)
	v := bearer.New(bearer.Options{Issuer: p.Issuer, ClientID: oidctest.ClientID})
	t.Cleanup(v.Close)
	st := storetest.Open(t, storetest.Options{Scram: true})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Masters: []string{rootUser}})
	if err != nil {
		t.Fatal(err)
	}
	e := newEnvOn(t, st, func(o *Options) {
		o.Accounts, o.Tokens, o.Certificate = accounts, v, CertificateEmail
	})
	e.store.User(t, rootUser)
	target := "example.com"
	err = e.store.ChangeDomain(t.Context(), "alias.example", mailstore.DomainChange{AliasOf: &target})
	if err != nil {
		t.Fatal(err)
	}
	return e, p
}

// step sends one message, and the empty one that an exchange may end with.
func step(x *Exchange, message string) error {
	challenge, done, err := x.Next([]byte(message))
	if err == nil && !done {
		_, _, err = x.Next([]byte{1})
	}
	if err == nil && !done {
		err = errors.New("the exchange goes on: " + string(challenge))
	}
	return err
}

// All mechanisms know a user by the same names, and master users by user*master and as an authorization
// identity.
func TestNamesOfLogins(t *testing.T) {
	e, p := newNamesEnv(t)
	begin := func(t *testing.T, mechanism string, c Client) *Exchange {
		x, err := e.Begin(t.Context(), mechanism, c)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// Each way logs in: who is the name in the credential, as what else the client names, "" for nothing.
	ways := map[string]func(t *testing.T, who, as string) (*Exchange, error){
		"PLAIN": func(t *testing.T, who, as string) (*Exchange, error) {
			x := begin(t, "PLAIN", private)
			return x, step(x, as+"\x00"+who+"\x00"+testPassword)
		},
		"SCRAM-SHA-256": func(t *testing.T, who, as string) (*Exchange, error) {
			client, err := scram.SHA256.NewClient(who, testPassword, as)
			if err != nil {
				t.Fatal(err)
			}
			return e.authenticate(t, "SCRAM-SHA-256", private, client.NewConversation())
		},
		"OAUTHBEARER": func(t *testing.T, who, as string) (*Exchange, error) {
			x := begin(t, "OAUTHBEARER", private)
			if as != "" {
				as = "a=" + as
			}
			return x, step(x, "n,"+as+",\x01auth=Bearer "+p.Token(who, nil)+"\x01\x01")
		},
		"XOAUTH2": func(t *testing.T, who, as string) (*Exchange, error) {
			if as == "" {
				as = who
			}
			x := begin(t, "XOAUTH2", private)
			return x, step(x, "user="+as+"\x01auth=Bearer "+p.Token(who, nil)+"\x01\x01")
		},
		"EXTERNAL": func(t *testing.T, who, as string) (*Exchange, error) {
			x := begin(t, "EXTERNAL", withCertificate(true, "", who, "other@example.com"))
			if as == "" {
				as = who
			}
			return x, step(x, as)
		},
	}
	const alias, root = "alice@alias.example", "root@alias.example"
	for _, tt := range []struct {
		who, as     string
		user, actor string // "" if it is refused
	}{
		{testUser, "", testUser, testUser},
		{alias, "", testUser, testUser},
		{"ALICE@Alias.Example", "", testUser, testUser},
		{testUser, alias, testUser, testUser},
		{alias, testUser, testUser, testUser},
		{rootUser, testUser, testUser, rootUser},
		{root, alias, testUser, rootUser},
		{rootUser, testUser + "*" + rootUser, testUser, rootUser},
		{root, alias + "*" + rootUser, testUser, rootUser},
		{rootUser, alias + "*" + root, testUser, rootUser},
		{alias, root, "", ""},
		{testUser, rootUser + "*" + testUser, "", ""},
		{testUser, testUser + "*" + rootUser, "", ""},
		{"nobody@alias.example", "", "", ""},
	} {
		for mechanism, login := range ways {
			x, err := login(t, tt.who, tt.as)
			if tt.user == "" {
				if err == nil {
					t.Errorf("%s: %q for %q is let in", mechanism, tt.who, tt.as)
				}
				continue
			}
			if err != nil || x.Account().Username() != tt.user || x.Account().Actor() != tt.actor {
				t.Errorf("%s: %q for %q: %v, %v", mechanism, tt.who, tt.as, x.Account(), err)
			}
		}
	}
	x := begin(t, "EXTERNAL", withCertificate(true, "", rootUser, alias))
	if err := step(x, testUser); err != nil || x.Account().Actor() != testUser {
		t.Errorf("the second name of a certificate: %v, %v", x.Account(), err)
	}
	// user*master where a name is.
	for _, name := range []string{testUser + "*" + rootUser, alias + "*" + root} {
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256"} {
			x, err := ways[mechanism](t, name, "")
			if err != nil || x.Account().Username() != testUser || x.Account().Actor() != rootUser {
				t.Errorf("%s: %q: %v, %v", mechanism, name, x.Account(), err)
			}
		}
	}
}

// A user whose name looks like user*master logs in with the own password alone: in no mechanism with
// that of the user whom the end of the name seems to be.
func TestNamesThatLookLikeMasters(t *testing.T) {
	e, _ := newNamesEnv(t)
	const (
		theirs  = "the password of root@alias.example"
		looking = "x*root@alias.example"
		own     = "the password of x*root"
	)
	// root@alias.example is a user of its own, and no master user.
	for name, password := range map[string]string{"root@alias.example": theirs, looking: own} {
		if err := e.store.SetPassword(t.Context(), e.store.User(t, name).ID, password); err != nil {
			t.Fatal(err)
		}
	}
	for _, as := range []string{"z@example.com", "X*root@alias.example", "x*ROOT@alias.example"} {
		for _, password := range []string{theirs, testPassword, own} {
			x := e.begin(t, "PLAIN")
			plain := step(x, as+"\x00"+looking+"\x00"+password)
			client := newClient(t, looking, password, as).NewConversation()
			y, scrams := e.authenticate(t, "SCRAM-SHA-256", private, client)
			want := password == own && as != "z@example.com"
			if (plain == nil) != want || (scrams == nil) != want {
				t.Errorf("%q with %q: PLAIN %v, SCRAM %v", as, password, plain, scrams)
			}
			if y.Username() != looking {
				t.Errorf("it was %q", y.Username())
			}
		}
	}
}

// The user who logs in is the one whose password was checked, even if the name is another's meanwhile.
func TestScramKeepsItsUser(t *testing.T) {
	e, _ := newNamesEnv(t)
	const name = "alice@alias.example" // as yet of alice
	client := newClient(t, name, testPassword, "").NewConversation()
	x := e.begin(t, "SCRAM-SHA-256")
	first, err := client.Step("")
	if err != nil {
		t.Fatal(err)
	}
	challenge, _, err := x.Next([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	final, err := client.Step(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	e.store.User(t, name)
	if _, _, err := x.Next([]byte(final)); !errors.Is(err, mailstore.ErrAuthFailed) {
		t.Errorf("%v, %v", x.Account(), err)
	}
}

// The names of a user have one salt, whether or not there is such a user.
func TestSaltsTellNothingOfNames(t *testing.T) {
	e, _ := newNamesEnv(t)
	for _, user := range []string{"alice", "nobody"} {
		salts := make(map[string]bool)
		for _, domain := range []string{"example.com", "alias.example", "Alias.Example"} {
			v, err := e.accounts.ScramVerifier(t.Context(), &account.Attempt{Username: user + "@" + domain})
			if err != nil {
				t.Fatal(err)
			}
			salts[base64.StdEncoding.EncodeToString(v.Salt)] = true
		}
		if len(salts) != 1 {
			t.Errorf("%s has %d salts", user, len(salts))
		}
	}
}

// Application passwords, and the other program that knows the others, know the names, too.
func TestExternalKnowsNames(t *testing.T) {
	e, _ := newExternalEnv(t, true)
	target := "example.com"
	err := e.store.ChangeDomain(t.Context(), "alias.example", mailstore.DomainChange{AliasOf: &target})
	if err != nil {
		t.Fatal(err)
	}
	_, app, err := e.store.AddAppPassword(t.Context(), e.user.ID, "phone", mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	own := e.store.User(t, "own@alias.example")
	e.login(t, "alice@alias.example", app, testUser, nil)
	e.login(t, "alice@alias.example", "of "+testUser, testUser, nil)
	e.login(t, "own@alias.example", "of own@alias.example", own.Username, nil)
	e.login(t, "new@alias.example", "of new@example.com", "new@example.com", nil)
}
