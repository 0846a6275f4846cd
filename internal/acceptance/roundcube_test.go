package acceptance

import (
	"os"
	"strings"
	"testing"
)

// roundcubeClient is where Debian's roundcube-core has its IMAP client.
const roundcubeClient = "/usr/share/roundcube/program/lib/Roundcube/rcube_imap_generic.php"

// TestRoundcube runs a session with the IMAP client of the webmail program Roundcube: LIST-EXTENDED,
// SORT, THREAD, ESEARCH, QRESYNC on a return visit, METADATA, ACL between two users, QUOTA.
func TestRoundcube(t *testing.T) {
	php := tool(t, "php")
	if _, err := os.Stat(roundcubeClient); err != nil {
		t.Skipf("no Roundcube: %v (Debian: apt-get install roundcube-core)", err)
	}
	const guest = "guest@example.com"
	s := startServer(t)
	side := &sideProcesses{server: s}
	if out, err := side.run("quota", "set", testUser, "--storage", "1024000"); err != nil {
		t.Fatalf("quota set: %v\n%s", err, out)
	}
	s.createUser(t, guest, testPassword)
	host, port := hostPort(t, s.imap)
	env := []string{"GADWALL_IMAP_HOST=" + host, "GADWALL_IMAP_PORT=" + port, "GADWALL_USER=" + testUser,
		"GADWALL_GUEST=" + guest, "GADWALL_PASSWORD=" + testPassword}
	out := command(t, env, nil, php, "testdata/roundcube/session.php")
	if !strings.Contains(out, "roundcube: all good") {
		t.Errorf("roundcube said:\n%s", out)
	}
}
