package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	gadwall(t, "", nil, "--version").want(t, 0, "gadwall ")
	all := gadwall(t, "", nil, "help")
	all.want(t, 0, "Usage: gadwall <command>", "user add", "completion")
	if flag := gadwall(t, "", nil, "--help"); flag.out != all.out {
		t.Errorf("--help:\n%s\nhelp:\n%s", flag.out, all.out)
	}
	gadwall(t, "", nil, "help", "user", "add").want(t, 0, "Usage: gadwall user add <username>")
	gadwall(t, "", nil, "help", "frobnicate").want(t, exitUsage)
	// Flags without an effect are not shown, and are no error: the environment may set them for
	// other commands.
	backup := gadwall(t, "", nil, "backup", "--help")
	backup.want(t, 0, "--data-dir")
	for _, flag := range []string{"--redis-url", "--quota-warn", "--mongodb-database"} {
		if strings.Contains(backup.out, flag) {
			t.Errorf("backup has no use for %s", flag)
		}
	}
	gadwall(t, "", nil, "serve", "--help").want(t, 0, "--redis-url", "--quota-warn", "--mongodb-uri")
	gadwall(t, "", []string{"GADWALL_LMTP_LISN=off"}, "version").want(t, exitUsage, "GADWALL_LMTP_LISTEN?")
	gadwall(t, "", nil, "man").
		want(t, 0, ".SH COMMANDS", ".SS gadwall user add", "GADWALL_LMTP_LISTEN", ".SH EXIT STATUS")
}

func TestCompletion(t *testing.T) {
	gadwall(t, "", nil, "completion", "bash").want(t, 0, "complete -o default -F _gadwall gadwall")
	gadwall(t, "", nil, "completion", "zsh").want(t, 0, "#compdef gadwall")
	gadwall(t, "", nil, "completion", "fish").want(t, 0, "complete -c gadwall")
	gadwall(t, "", nil, "completion", "ksh").want(t, exitUsage, "ksh")
	for words, want := range map[string]string{
		"user |": "add\nalias\napp-password\nauthlog\ndelete\nexpire\ngroups\nlist\npasswd\n" +
			"rename\nresume\nset\nshow\nsuspend\nundelete\n", "serve --log-f|": "--log-format\n",
		"serve --log-format |": "json\ntext\n",
	} {
		got := gadwall(
			t,
			"",
			nil,
			append([]string{"__complete"}, strings.Split(strings.TrimSuffix(words, "|"), " ")...)...)
		if got.status != 0 || got.out != want {
			t.Errorf("%q: %+v, want %q", words, got, want)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gadwall.toml")
	example := gadwall(t, "", nil, "config", "example")
	example.want(t, 0, "#imap-listen = \"127.0.0.1:1143\"\n")
	if err := os.WriteFile(file, []byte(example.out+"smtp-listen = 'off'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"GADWALL_LMTP_LISTEN=127.0.0.1:1", "GADWALL_HTTP_TOKEN=0123456789abcdef"}
	got := gadwall(t, "", env, "config", "show", "--config", file, "--check-interval", "1d", "--json")
	got.want(t, 0)
	values := make(map[string][2]string)
	for line := range bytes.Lines([]byte(got.out)) {
		var v struct{ Name, Value, Source string }
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values[v.Name] = [2]string{v.Value, v.Source}
	}
	for name, want := range map[string][2]string{
		"smtp-listen": {"off", "file: " + file}, "lmtp-listen": {"127.0.0.1:1", "environment: GADWALL_LMTP_LISTEN"},
		"check-interval": {"1d", "command line"}, "imap-listen": {"127.0.0.1:1143", "default"},
		"http-token": {"(secret)", "environment: GADWALL_HTTP_TOKEN"},
	} {
		if values[name] != want {
			t.Errorf("%s: %q, want %q", name, values[name], want)
		}
	}
	if strings.Contains(got.out, "0123456789abcdef") {
		t.Error("the token is told")
	}
	// What cannot work is shown nevertheless, and refused.
	gadwall(t, "", nil, "config", "show", "--imap-listen", "nonsense").
		want(t, exitUsage, "imap-listen", "nonsense ", "gadwall: --imap-listen")
}

// The unit for systemd names a command and settings that there are, and is installed with them.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "contrib", "gadwall.service"))
	if err != nil {
		t.Fatal(err)
	}
	var env, args []string
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Environment":
			env = append(env, value)
		case "ExecStart":
			args = strings.Fields(value)[1:]
		}
	}
	if len(env) != 2 || len(args) != 1 || args[0] != "serve" {
		t.Fatalf("environment %q, arguments %q", env, args)
	}
	env = append(env, "GADWALL_CONFIG=") // the file of this machine does not matter
	gadwall(t, "", env, "config", "show").want(t, 0, "/var/lib/gadwall", "environment: GADWALL_DATA_DIR")
}
