package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCheckDatabase(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	gadwall(t, "", env, "check").want(t, exitUsage, "no database in "+dir)
	gadwall(t, "", env, "check", "--database").want(t, exitUsage, "no database in "+dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("checking nothing made something: %v", err)
	}

	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	var body strings.Builder
	for i := range 1600 { // too large for the document of the content, and does not compress well
		fmt.Fprintf(&body, "%x\r\n", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	gadwall(t, "Subject: large\r\nContent-Type: application/octet-stream\r\n\r\n"+body.String(), env,
		"deliver", "--lmtp", server.ports["LMTP"], "--to", "ada@example.com", "-").want(t, 0)
	beside := gadwall(t, "", env, "check", "--database")
	beside.want(t, 0, "gadwall.users: 1 document, ", "clean: ")
	if strings.Contains(beside.out, "checking") || !strings.Contains(beside.err, "checking gadwall.users\n") {
		t.Errorf("progress belongs on standard error:\n%s%s", beside.out, beside.err)
	}
	server.stop(t)
	alone := gadwall(t, "", env, "check", "--database")
	alone.want(t, 0)
	// The server notes that it runs, and makes the text index while it does.
	own := regexp.MustCompile(`(?m)^(gadwall\.(instances|leases|sessions|search[a-z]+)|clean): .*\n`)
	if own.ReplaceAllString(alone.out, "") != own.ReplaceAllString(beside.out, "") {
		t.Errorf("beside the server:\n%swithout it:\n%s", beside.out, alone.out)
	}
	var report databaseReport
	if err := json.Unmarshal([]byte(gadwall(t, "", env, "check", "--database", "--json").out),
		&report); err != nil ||
		!report.Clean {
		t.Errorf("as JSON: %+v, %v", report, err)
	}

	// Damage on the disk, where the attachment is.
	files, err := filepath.Glob(filepath.Join(dir, "*.blob"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no blob files: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] ^= 0xff
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gadwall(t, "", env, "check",
		"--database").want(t, exitDamaged, "gadwall.blobs.chunks: 1 document, 1 index entry",
		"  unreadable, _id ", "is damaged", "damaged: 1 problem\n")
}
