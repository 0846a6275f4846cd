package imap

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gadwall/internal/dbtest"
)

// While the disk is full, mail can be read; what would change something says that it may work later.
func TestDiskFull(t *testing.T) {
	disk := vfs.NewMem()
	s := newTestServerOn(t, dbtest.OnFS(t, disk))
	c := s.selectMails(t, message("a"), message("b"))
	s.errs.allow = true

	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1, TotalBytes: 1 << 40})
	status := "OK"
	// The database looks now and then whether there is space.
	deadline := time.Now().Add(testWait)
	for try := 0; strings.HasPrefix(status, "OK") && time.Now().Before(deadline); try++ {
		_, status = c.do("STORE 1 %cFLAGS (\\Flagged)", "+-"[try%2])
	}
	if !strings.HasPrefix(status, "NO [UNAVAILABLE]") {
		t.Errorf("STORE on a full disk: %s", status)
	}
	for _, item := range []string{"BODY[]", "BODY.PEEK[]", "(FLAGS ENVELOPE)"} {
		if lines, status := c.do("FETCH 1:* %s", item); len(lines) != 2 || !strings.HasPrefix(status, "OK") {
			t.Errorf("FETCH %s on a full disk: %q, %s", item, lines, status)
		}
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40})
	c.ok("STORE 1 +FLAGS (\\Answered)")
}
