package acceptance

import (
	_ "embed"
	"strings"
	"testing"

	"gadwall/internal/nodetest"
)

var (
	//go:embed testdata/imapflow/package.json
	imapflowPackages []byte
	//go:embed testdata/imapflow/package-lock.json
	imapflowLock []byte
)

var imapflowModules = &nodetest.Modules{
	Name:     "gadwall-imapflow",
	Packages: imapflowPackages,
	Lock:     imapflowLock,
}

// TestImapflow runs sessions with imapflow, which uses more extensions than other clients: COMPRESS,
// ENABLE, QRESYNC on a return visit and in IDLE, OBJECTID, BINARY, ESEARCH, LIST-STATUS, MOVE, QUOTA.
func TestImapflow(t *testing.T) {
	s := startServer(t)
	side := &sideProcesses{server: s}
	if out, err := side.run("quota", "set", testUser, "--storage", "1024000"); err != nil {
		t.Fatalf("quota set: %v\n%s", err, out)
	}
	host, port := hostPort(t, s.imap)
	out := imapflowModules.Run(t, "testdata/imapflow/session.cjs", "GADWALL_IMAP_HOST="+host, "GADWALL_IMAP_PORT="+port,
		"GADWALL_USER="+testUser, "GADWALL_PASSWORD="+testPassword)
	if !strings.Contains(out, "imapflow: all good") {
		t.Errorf("imapflow said:\n%s", out)
	}
}
