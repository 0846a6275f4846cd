package imap

import (
	"encoding/base64"
	"strings"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// A master user logs in for another one in both ways, and the log of that user has both. Others do not.
func TestMasterUser(t *testing.T) {
	t.Parallel()
	base := newTestServer(t)
	recorder := logins.NewRecorder(logins.RecorderOptions{Write: base.store.WriteLogins, Logger: base.log})
	t.Cleanup(func() {
		if err := recorder.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts, err := account.New(account.Options{Store: base.store, Bus: base.bus, Logger: base.log, Recorder: recorder,
		Masters: []string{"root@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := base.serve(t, Options{Authenticator: testAuthenticator(accounts), Logger: base.log}, base.store)
	for _, name := range []string{"root@example.com", "bob@example.com"} {
		_, err := base.store.CreateUser(t.Context(), mailstore.NewUser{Username: name, Password: testPassword})
		if err != nil {
			t.Fatal(err)
		}
	}
	c := srv.login(t)
	c.ok("CREATE Private")

	star := srv.dial(t)
	star.ok(`LOGIN "%s*root@example.com" %q`, testUser, testPassword)
	star.ok("SELECT Private")
	setQuotas(t, star)
	plain := srv.dial(t)
	plain.ok("AUTHENTICATE PLAIN %s",
		base64.StdEncoding.EncodeToString([]byte(testUser+"\x00root@example.com\x00"+testPassword)))
	plain.ok("SELECT Private")
	srv.dial(t).refused("NO [AUTHENTICATIONFAILED]", `LOGIN "%s*bob@example.com" %q`, testUser, testPassword)
	srv.dial(t).refused("NO [AUTHORIZATIONFAILED]", "AUTHENTICATE PLAIN %s",
		base64.StdEncoding.EncodeToString([]byte(testUser+"\x00bob@example.com\x00"+testPassword)))

	if err := recorder.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, _, err := base.store.LoginPage(t.Context(), mailstore.LoginQuery{User: &base.user.ID})
	if err != nil {
		t.Fatal(err)
	}
	mechanisms := make(map[string]string)
	for _, e := range list {
		mechanisms[e.Actor+" by "+e.Mechanism] = string(e.Result)
	}
	if len(list) != 3 || mechanisms["root@example.com by LOGIN command"] != "ok" ||
		mechanisms["root@example.com by PLAIN"] != "ok" || mechanisms[" by LOGIN command"] != "ok" {
		t.Errorf("the log is %+v", list)
	}
}

// setQuotas sets limits as a master user may (RFC 9208 section 4.1.3).
func setQuotas(t *testing.T, c *testClient) {
	t.Helper()
	if untagged, _ := c.ok("CAPABILITY"); !strings.Contains(untagged[0]+" ", " QUOTASET ") {
		t.Errorf("capabilities: %s", untagged[0])
	}
	for _, tt := range []struct{ command, want string }{
		{`SETQUOTA "User quota" (STORAGE 512 MESSAGE 7)`,
			`* QUOTA "User quota" (STORAGE 0 512 MESSAGE 0 7)|OK SETQUOTA completed`},
		{`SETQUOTA "User quota" (message 5)`, `* QUOTA "User quota" (MESSAGE 0 5)|OK SETQUOTA completed`},
		{`SETQUOTA "User quota" (STORAGE 0)`, `NO [CANNOT] *`},
		{`SETQUOTA "User quota" (MAILBOX 5)`, `NO [CANNOT] *`},
		{`SETQUOTA "User quota" (STORAGE 9223372036854775807)`, `NO [CANNOT] *`},
		{`SETQUOTA "User quota" (STORAGE 1 STORAGE 2)`, `BAD *`},
		{`SETQUOTA "User quota" (STORAGE)`, `BAD *`},
		{`SETQUOTA "nothing" (STORAGE 1)`, `NO [NONEXISTENT] *`},
		{`GETQUOTA "User quota"`, `* QUOTA "User quota" (MESSAGE 0 5)|OK GETQUOTA completed`},
		{`SETQUOTA "User quota" ()`, `* QUOTA "User quota" ()|OK SETQUOTA completed`},
	} {
		untagged, status := c.do("%s", tt.command)
		if got := strings.Join(append(untagged, status), "|"); !matches(tt.want, got) {
			t.Errorf("%s: %s, want %s", tt.command, got, tt.want)
		}
	}
}
