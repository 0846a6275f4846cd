package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuotaCommands(t *testing.T) {
	dir := dataDir(t)
	config := filepath.Join(t.TempDir(), "gadwall.toml")
	if err := os.WriteFile(config, []byte("quota-default-storage = '1MiB'\nquota-warn = '50'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_CONFIG=" + config, "GADWALL_PASSWORD=correct horse"}
	s := startServer(t, "--data-dir", dir, "--config", config)
	run := func(args ...string) outcome { return gadwall(t, "", env, args...) }
	run("user", "add", "ada@example.com").want(t, 0)
	run("user", "add", "bob@example.com", "--quota", "64KiB", "--quota-messages", "unlimited").want(t, 0)
	run("user", "add", "eve@example.com", "--quota", "unlimited").want(t, 0)

	mail := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(mail, []byte("Subject: x\r\n\r\n"+strings.Repeat("A line of mail.\r\n", 3500)),
		0o600); err != nil {
		t.Fatal(err)
	}
	deliver := func(to string) outcome {
		return gadwall(t, "", nil, "deliver", "--lmtp", s.ports["LMTP"], "--to", to, mail)
	}
	deliver("bob@example.com").want(t, 0, "250 2.1.5")
	deliver("bob@example.com").want(t, exitTemp, "452 4.2.2")

	run("quota", "show").want(t, 0, "ada@example.com", " 1MiB* ", "64KiB", "unlimited ", "3 users, 1 message, ")
	run("quota", "show", "--space").want(t, 0, "  DECODED ", "  SAVED\n", "deduplication saves 0.0%")
	var bob struct {
		Space struct {
			LogicalBytes, DecodedBytes, UniqueBytes int64
			SavedByDeduplication                    float64
		}
	}
	if err := json.Unmarshal([]byte(run("quota", "show", "bob@example.com", "--space", "--json").out),
		&bob); err != nil ||
		bob.Space.LogicalBytes < 56_000 || bob.Space.DecodedBytes != bob.Space.LogicalBytes ||
		bob.Space.UniqueBytes != bob.Space.LogicalBytes {
		t.Errorf("%+v, %v", bob, err)
	}
	run("quota", "show", "nobody@example.com").want(t, exitFailure, "no such user: nobody@example.com")
	lines := strings.Split(strings.TrimSpace(run("quota", "show", "--json").out), "\n")
	type limited struct {
		Usage int64
		Limit *int64
		Own   any
	}
	var ada, eve struct {
		User             string
		Storage, Message limited
	}
	var end struct {
		Total struct{ Users, Messages int64 }
	}
	if len(lines) != 4 || json.Unmarshal([]byte(lines[0]), &ada) != nil ||
		json.Unmarshal([]byte(lines[2]), &eve) != nil ||
		json.Unmarshal([]byte(lines[3]), &end) != nil {
		t.Fatalf("%q", lines)
	}
	if ada.User != "ada@example.com" || *ada.Storage.Limit != 1<<20 || ada.Storage.Own != "default" ||
		ada.Message.Limit != nil ||
		eve.Storage.Limit != nil || eve.Storage.Own != "unlimited" ||
		end.Total.Users != 3 ||
		end.Total.Messages != 1 {
		t.Errorf("%+v, %+v, %+v", ada, eve, end)
	}

	// One limit does not touch the other, and what is set holds at once.
	run("quota", "set", "bob@example.com", "--storage", "200KB").
		want(t, 0, "bob@example.com may store 200KB in unlimited messages")
	deliver("bob@example.com").want(t, 0, "250 2.1.5")
	run("quota", "set", "bob@example.com", "--storage", "default", "--messages", "2").
		want(t, 0, "may store 1MiB* in 2 messages")
	deliver("bob@example.com").want(t, exitTemp, "452 4.2.2")
	run("quota", "set", "bob@example.com").want(t, exitUsage, "--storage or --messages")
	run("quota", "set", "bob@example.com", "--storage", "0").want(t, exitUsage, "is not a size")

	run("quota", "recalc").want(t, exitUsage, "--all")
	run("quota", "recalc", "--all").want(t, 0, "3 users compared, 0 corrected")
	run("quota", "recalc", "--all", "--json").want(t, 0, `{"total":{"users":3,"wrong":0,"corrected":true}}`)
	run("quota", "recalc", "bob@example.com", "--dry-run").want(t, 0, "1 user compared, 0 to correct")

	s.stop(t)
	if n := strings.Count(s.log.String(), "usage has reached a level"); n != 2 {
		t.Errorf("%d warnings, want one for each limit", n)
	}

	// Another default holds for those who have no limit of their own.
	s = startServer(t, "--data-dir", dir, "--quota-default-storage", "32KiB", "--reject-over-quota")
	deliver("ada@example.com").want(t, exitFailure, "552 5.2.2")
	deliver("eve@example.com").want(t, 0, "250 2.1.5")
	s.stop(t)
}
