package ingest

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
)

// While the disk is full, mail is put off, and what is there can be read. References taken for mail
// that was then put off cannot be given back meanwhile; the collector finds them.
func TestDiskFull(t *testing.T) {
	disk := vfs.NewMem()
	st := realStoreOn(t, dbtest.OnFS(t, disk))
	c := startServer(t, mailStore{st}, Options{LMTP: true}).dial(t)
	c.want("220 ")
	c.cmd("LHLO client.example", "250 ")
	large := strings.Repeat("A line of an attachment that goes into chunks\r\n", 20_000)
	for _, step := range []struct {
		free  uint64
		reply string
	}{{1 << 30, "250 2.1.5 "}, {docstore.DefaultReserve - 1, "452 4.3.1 "}, {1 << 30, "250 2.1.5 "}} {
		disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: step.free, TotalBytes: 1 << 40})
		for _, body := range []string{"small\r\n", large} {
			// Whether there is space is looked at now and then.
			for try := 0; ; try++ {
				c.cmd("MAIL FROM:<grace@example.net>", "250 ")
				c.cmd("RCPT TO:<ada@example.com>", "250 ")
				c.cmd("DATA", "354 ")
				c.send("Subject: x\r\n\r\n" + body + ".\r\n")
				got := c.reply()
				if strings.HasPrefix(got, step.reply) {
					break
				}
				if try > 1000 || !strings.HasPrefix(got, "250 ") && !strings.HasPrefix(got, "452 4.3.1 ") {
					t.Fatalf("with %d bytes free: %s", step.free, got)
				}
			}
		}
		if list := inboxOf(t, st, "ada"); len(list) < 2 {
			t.Errorf("with %d bytes free %d messages can be read", step.free, len(list))
		}
	}
}
