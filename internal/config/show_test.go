package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

func parser(t *testing.T, opts ...kong.Option) *kong.Kong {
	t.Helper()
	p, err := kong.New(new(app), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEnvironment(t *testing.T) {
	p := parser(t)
	for _, ok := range []string{"HOME=/", "GADWALL_DATA_DIR=x", "GADWALL_OTHER=x", "GADWALL_TEST_X=1",
		"GADWALL_LOG_LEVEL=",
		"GADWALL_SERVICE_HOST=10.0.0.1", "GADWALL_SERVICE_PORT_IMAP=143", "GADWALL_PORT=tcp://10.0.0.1:143",
		"GADWALL_PORT_143_TCP_ADDR=10.0.0.1", "GADWALL_IMAP_PORT_143_TCP=tcp://10.0.0.1:143"} {
		if err := CheckEnvironment(p.Model, []string{ok}, "GADWALL_OTHER"); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for variable, want := range map[string]string{
		"GADWALL_LMTP_LISN=off":      "GADWALL_LMTP_LISN is not a setting; did you mean GADWALL_LMTP_LISTEN?",
		"GADWALL_DATADIR=secret":     "GADWALL_DATADIR is not a setting; did you mean GADWALL_DATA_DIR?",
		"GADWALL_ANYTHING_ELSE=x":    "GADWALL_ANYTHING_ELSE is not a setting",
		"GADWALL_OTHER=x":            "GADWALL_OTHER is not a setting",
		"GADWALL_IMAP_PORT_LISTEN=x": "GADWALL_IMAP_PORT_LISTEN is not a setting",
	} {
		err := CheckEnvironment(p.Model, []string{variable})
		if err == nil || !strings.HasSuffix(err.Error(), want) && !strings.Contains(err.Error(), want+";") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %s", variable, err, want)
		}
	}
}

// Each value is shown with where it comes from, and no secret is.
func TestShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gadwall.toml")
	file := "lmtp-listen = 'off'\nsmtp-listen = 'off'\ntls-cert = ['a','b']\nhttp-token = 'secret-secret-secret'\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GADWALL_SMTP_LISTEN", "127.0.0.1:2")
	t.Setenv("GADWALL_MONGODB_URI", "mongodb://ada:secret@h1,h2:3/?replicaSet=r")
	p := parser(t, kong.Resolvers(f))
	ctx, err := p.Parse([]string{"serve", "--hostname", "mx.example.com", "--trusted-proxies", "10.0.0.1,unix"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Value)
	for _, v := range Show(ctx, path) {
		got[v.Name] = v
		if strings.Contains(v.Value, "secret-") || strings.Contains(v.Value, ":secret") {
			t.Errorf("%s is told", v.Name)
		}
	}
	for _, want := range []Value{
		{"imap-listen", "127.0.0.1:1143", "default"},
		{"lmtp-listen", "off", "file: " + path},
		{"smtp-listen", "127.0.0.1:2", "environment: GADWALL_SMTP_LISTEN"},
		{"mongodb-uri", "mongodb://ada:xxxxx@h1,h2:3/?replicaSet=r", "environment: GADWALL_MONGODB_URI"},
		{"hostname", "mx.example.com", "command line"},
		{"http-token", "(secret)", "file: " + path},
		{"tls-cert", "a,b", "file: " + path},
		{"trusted-proxies", "10.0.0.1/32,unix", "command line"},
		{"plaintext-login-from", "127.0.0.0/8,::1/128", "default"},
		{"check-interval", "7d", "default"},
		{"max-message-size", "512MiB", "default"},
		{"quota-warn", "80,95", "default"},
	} {
		if got[want.Name] != want {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
}

// The example has every setting, and is a file with the defaults when nothing in it is a comment.
func TestExample(t *testing.T) {
	p := parser(t)
	i := slices.IndexFunc(p.Model.Children, func(n *kong.Node) bool { return n.Name == "serve" })
	example := Example(p.Model.Children[i])
	var file strings.Builder
	n := 0
	for line := range strings.Lines(example) {
		if len(line) > exampleWidth+1 {
			t.Errorf("a long line: %s", line)
		}
		if setting, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(setting, " ") {
			n++
			if !strings.HasSuffix(setting, " = \"\"\n") { // that have no default
				file.WriteString(setting)
			}
		}
	}
	if want := len(settings(p.Model.Children[i])); n != want {
		t.Errorf("%d settings, want %d", n, want)
	}
	got, err := parse(t, file.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, &file)
	}
	want, err := parse(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, samePrefix); diff != "" {
		t.Error(diff)
	}
}
