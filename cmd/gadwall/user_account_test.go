package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gadwall/internal/signature"
)

// TestUserCommands: an operator's way with one user.
func TestUserCommands(t *testing.T) {
	dir := dataDir(t)
	run := func(stdin string, args ...string) outcome {
		t.Helper()
		return gadwall(t, stdin, nil, append(append([]string{"user"}, args...), "--data-dir", dir)...)
	}
	const ada = "ada@example.com"
	run("{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd", "add", ada, "--password-stdin", "--hashed", "--name", "Ada").
		want(t, 0, "created "+ada, "SSHA is weak")
	run("no hash", "add", "bob@example.com", "--password-stdin", "--hashed").want(t, exitFailure, "not a password hash")
	run("correct horse", "add", "bob@example.org", "--password-stdin").want(t, 0, "created")
	run("", "set", ada, "--metadata", `{"plan":"gold"}`, "--quota", "1GB").want(t, 0, "changed "+ada)
	run("", "set", ada, "--sent-messages", "20", "--sent-recipients", "unlimited").want(t, 0)
	run("", "show", ada).want(t, 0, `"sentMessages": "20"`, `"sentRecipients": "unlimited"`)
	run("", "set", ada, "--sent-messages", "default").want(t, 0)
	run("", "show", ada).want(t, 0, `"sentMessages": "default"`, `"sentRecipients": "unlimited"`)
	run("", "set", ada, "--metadata", `{`).want(t, exitFailure, "not JSON")
	run("", "alias", "add", ada, "info@example.com").want(t, 0, "added info@example.com")
	run("", "alias", "add", ada, "bob@example.org").want(t, exitFailure, "exists")
	run("", "show", ada).want(t, 0, `"displayName": "Ada"`, `"info@example.com"`, `"plan": "gold"`, `"limit": 1000000000`)
	run("", "alias", "remove", ada, "info@example.com").want(t, 0, "removed info@example.com")

	run("", "expire", ada, "Trash", "30d").want(t, 0, "messages of ada@example.com in Trash expire after 30 days")
	run("", "expire", ada, "Trash", "never").want(t, 0, "expire never")
	run("", "expire", ada, "Trash", "default").want(t, 0, "expire as the settings of the server say")
	run("", "expire", ada, "Trash", "soon").want(t, exitUsage, "neither a number of days")
	run("", "expire", ada, "Nowhere", "3").want(t, exitFailure, "no such mailbox")

	made := run("", "app-password", "add", ada, "phone", "--scopes", "imap")
	made.want(t, 0, "shown this once")
	if password := strings.TrimSpace(made.out); len(password) != 24 {
		t.Errorf("the password is %q", password)
	}
	list := run("", "app-password", "list", ada)
	list.want(t, 0, "phone", "imap", "never")
	id := strings.Fields(strings.Split(list.out, "\n")[1])[0]
	run("", "app-password", "revoke", ada, id).want(t, 0, "revoked")
	run("", "app-password", "revoke", ada, id).want(t, exitFailure, "no such application password")
	run("", "app-password", "add", ada, "phone", "--scopes", "fax").want(t, exitUsage, "unknown scope")

	run("", "groups", ada, "Team", "$office").want(t, 0, "changed the groups of "+ada)
	run("", "show", ada).want(t, 0, `"office"`, `"team"`)
	run("", "groups", ada, "a b").want(t, exitFailure, "space")
	run("", "groups", ada).want(t, exitUsage, "--none")
	run("", "groups", ada, "--none").want(t, 0, "changed the groups of "+ada)
	if shown := run("", "show", ada).out; strings.Contains(shown, "groups") {
		t.Errorf("groups of a user who left them: %s", shown)
	}

	run("", "suspend", ada).want(t, 0, "suspended "+ada)
	run("", "list", "--domain", "example.com").want(t, 0, ada, "suspended")
	if out := run("", "list", "--prefix", "bob", "--json").out; !strings.Contains(out, "bob@example.org") ||
		strings.Contains(out, ada) {
		t.Errorf("users that begin with bob: %s", out)
	}
	run("", "resume", ada).want(t, 0, "resumed "+ada)
	run("", "rename", ada, "countess@example.com", "--keep-alias").want(t, 0, "renamed")
	run("", "delete", "countess@example.com", "--yes", "--grace", "1h").want(t, 0, "will be deleted after")
	run("", "show", "countess@example.com").want(t, 0, `"state": "deleted"`, "deleteAfter")
	run("", "undelete", "countess@example.com").want(t, 0, "brought back")
	run("", "delete", "countess@example.com", "--yes").want(t, 0, "deleted countess@example.com")
	run("", "show", ada).want(t, exitFailure, "no such user")
}

// TestTokenCommands: tokens are made, listed and revoked.
func TestTokenCommands(t *testing.T) {
	dir := dataDir(t)
	run := func(args ...string) outcome {
		t.Helper()
		return gadwall(t, "", nil, append(append([]string{"token"}, args...), "--data-dir", dir)...)
	}
	gadwall(t, "correct horse", nil, "user", "add", "ada@example.com", "--password-stdin", "--data-dir", dir).want(t, 0)
	made := run("create", "webmail", "--scopes", "mail:read", "--user", "ada@example.com", "--expires", "1h")
	made.want(t, 0, "shown this once")
	if token := strings.TrimSpace(made.out); !strings.HasPrefix(token, "gdw_") {
		t.Errorf("the token is %q", token)
	}
	run("create", "x", "--scopes", "users", "--user", "ada@example.com").want(t, exitFailure, "a user's token")
	run("create", "x", "--scopes", "root").want(t, exitFailure, "no scope")
	run("create", "x", "--scopes", "all", "--expires=-1h").want(t, exitFailure, "over already")
	run("create", "x", "--scopes", "mail", "--user", "bob@example.com").want(t, exitFailure, "no such user")
	list := run("list")
	list.want(t, 0, "webmail", "mail:read")
	id := strings.Fields(strings.Split(list.out, "\n")[1])[0]
	run("revoke", id).want(t, 0, "revoked "+id)
	run("revoke", id).want(t, exitFailure, "no such token")
}

// TestWebhookCommands: webhooks are made, changed, tried and removed.
func TestWebhookCommands(t *testing.T) {
	dir := dataDir(t)
	run := func(args ...string) outcome {
		t.Helper()
		return gadwall(t, "", nil, append(append([]string{"webhooks"}, args...), "--data-dir", dir)...)
	}
	requests := make(chan string, 10)
	url := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests <- r.Header.Get(signature.HeaderSignature)
	}))
	t.Cleanup(url.Close)
	gadwall(t, "correct horse", nil, "user", "add", "ada@example.com", "--password-stdin", "--data-dir", dir).want(t, 0)
	made := run("add", "filter", url.URL, "--kinds", "junk,not-junk", "--user", "ada@example.com")
	made.want(t, 0, "shown this once")
	if secret := strings.TrimSpace(made.out); !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the key is %q", secret)
	}
	run("add", "filter", "file:///etc/passwd").want(t, exitFailure, "must begin with https://")
	run("add", "filter", url.URL, "--user", "bob@example.com").want(t, exitFailure, "no such user")
	list := run("list")
	list.want(t, 0, "filter", url.URL, "junk not-junk", "active")
	id := strings.Fields(strings.Split(list.out, "\n")[1])[0]
	run("test", id).want(t, 0, "delivered")
	if got := <-requests; !strings.HasPrefix(got, signature.Version) {
		t.Errorf("the signature is %q", got)
	}
	run("set", id, "--kinds", "all", "--name", "all").want(t, 0)
	run("pause", id).want(t, 0)
	run("list").want(t, 0, "paused by an operator")
	run("resume", id).want(t, 0)
	if secret := run("set", id, "--new-secret").out; secret == made.out || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the other key is %q", secret)
	}
	run("failed", id).want(t, 0, "GIVEN UP")
	run("resend", id).want(t, 0, "delivered 0 of 0")
	run("resend", id, "abc").want(t, exitFailure, "no such delivery")
	run("remove", id).want(t, 0, "removed "+id)
	run("test", id).want(t, exitFailure, "no such webhook")
	run("remove", id).want(t, exitFailure, "no such webhook")
}
