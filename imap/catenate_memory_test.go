//go:build !race

package imap

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/heaptest"
	"gadwall/internal/mailgen"
)

// TestCatenateMemory: a message with a large attachment by URL, or with a whole message, takes no more
// memory than a small one.
func TestCatenateMemory(t *testing.T) {
	const size = 48 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // little of the heap is garbage
	srv := newTestServerOn(t, dbtest.OnDisk(t), func(o *Options) { o.MaxMessageSize = 4 * size })
	c := srv.login(t)
	var mail bytes.Buffer
	if _, err := mailgen.Large(&mail, 1, size); err != nil {
		t.Fatal(err)
	}
	c.send(fmt.Sprintf("a APPEND INBOX {%d+}\r\n", mail.Len()))
	if _, err := c.Write(append(mail.Bytes(), '\r', '\n')); err != nil {
		t.Fatal(err)
	}
	if _, status := c.until("a"); !strings.HasPrefix(status, "OK") {
		t.Fatal(status)
	}
	mail = bytes.Buffer{}
	c.ok("APPEND INBOX CATENATE (%s URL /INBOX/;UID=1)", text("X-Small: 1\r\n")) // pools and caches grow
	before := heaptest.Settled()
	peak := heaptest.Watch()
	c.ok("APPEND INBOX CATENATE (%s URL /INBOX/;UID=1)", text("X-More: 2\r\n"))
	c.ok("APPEND INBOX CATENATE (%s URL /INBOX/;UID=1 URL /INBOX/;UID=1)", text("X-More: 3\r\n"))
	grown := peak().Objects - before.Objects
	t.Logf("%d KiB for a message of %d MiB", grown>>10, size>>20)
	if grown > 32<<20 {
		t.Errorf("%d KiB are held for a message of %d MiB", grown>>10, size>>20)
	}
}
