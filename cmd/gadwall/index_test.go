package main

import (
	"encoding/json"
	"fmt"
	"testing"
)

// The index of mail that came in is shown and made anew, beside a running server and without one.
func TestIndex(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	gadwall(t, "", env, "index", "status").want(t, exitUsage, "no database in "+dir)
	server := startServer(t, "--data-dir", dir)
	for _, name := range []string{"ada@example.com", "bob@example.com"} {
		gadwall(t, "", env, "user", "add", name).want(t, 0)
	}
	for i := range 3 {
		gadwall(t, fmt.Sprintf("Subject: %d\r\n\r\nSome text.\r\n", i), env,
			"deliver", "--lmtp", server.ports["LMTP"], "--to", "ada@example.com", "-").want(t, 0)
	}
	gadwall(t, "", env, "index", "rebuild", "ada@example.com").want(t, 0, "indexed 3 mails of 1 users")
	gadwall(t, "", env, "index", "status", "nobody@example.com").want(t, 1, "nobody@example.com")
	server.stop(t)
	gadwall(t, "", env, "index", "rebuild").want(t, 0, "indexed 3 mails of 2 users")
	var got indexStatus
	one := gadwall(t, "", env, "index", "status", "--json", "ada@example.com")
	if err := json.Unmarshal([]byte(one.out), &got); err != nil || got.Numbers != 3 || got.Indexed != 3 ||
		got.Rows != 3 || got.Compared != 3 || got.Damaged != 0 || got.Bytes == 0 {
		t.Errorf("%s: %+v, %v", one.out, got, err)
	}
	gadwall(t, "", env, "index", "status").want(t, 0, "indexed", "ada@example.com", "bob@example.com")
}
