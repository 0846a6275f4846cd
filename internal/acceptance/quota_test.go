package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/internal/imapconn"
)

// TestQuotaByEveryDoor fills a mailbox to the last octet by LMTP, APPEND and COPY at the same time,
// while others expunge. The usage is never above the limit. In the end it is the size of the
// messages, and every acknowledged message exists.
func TestQuotaByEveryDoor(t *testing.T) {
	const limit = 300_000
	s := startServer(t)
	side := &sideProcesses{server: s}
	if out, err := side.run("quota", "set", testUser, "--storage", fmt.Sprint(limit)); err != nil {
		t.Fatalf("quota set: %v\n%s", err, out)
	}
	message := func(n int) []byte { // of a size of its own
		return fmt.Appendf(nil, "Subject: %d\r\n\r\n%s\r\n", n, strings.Repeat("x", 1000+n*37%3000))
	}
	s.deliver(t, message(0))
	var n, stored, expunged atomic.Int64
	session := func() *imapconn.Conn {
		c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
		if err != nil {
			t.Error(err)
			return nil
		}
		if _, err := c.Must("SELECT INBOX"); err != nil {
			t.Error(err)
		}
		return c
	}
	// door stores until it was told so often that there is no room.
	door := func(f func() (full bool, err error)) {
		for refused := 0; refused < 20; {
			full, err := f()
			if err != nil {
				t.Error(err)
				return
			}
			if full {
				refused++
			} else {
				stored.Add(1)
			}
		}
	}
	answer := func(status string, err error) (full bool, _ error) {
		switch {
		case err != nil:
			return false, err
		case strings.HasPrefix(status, "OK"):
			return false, nil
		case strings.HasPrefix(status, "NO [OVERQUOTA]"):
			return true, nil
		}
		return false, fmt.Errorf("answered %s", status)
	}
	var doors, watchers sync.WaitGroup
	for range 3 {
		doors.Go(func() {
			c, err := dialLMTP(s.lmtp)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			door(func() (bool, error) {
				err := c.send("grace@example.net", []string{testUser}, bytes.NewReader(message(int(n.Add(1)))))
				var refused *textproto.Error
				if errors.As(err, &refused) && refused.Code == 452 {
					return true, c.command(250, "RSET") // RCPT refuses, too, when nothing fits
				}
				return false, err
			})
		})
		doors.Go(func() {
			c := session()
			defer c.Close()
			door(func() (bool, error) {
				m := message(int(n.Add(1)))
				_, status, err := c.Do("APPEND Archive {%d+}\r\n%s", len(m), m)
				return answer(status, err)
			})
		})
		doors.Go(func() {
			c := session()
			defer c.Close()
			door(func() (bool, error) {
				_, status, err := c.Do("COPY 1 Sent")
				return answer(status, err)
			})
		})
	}
	done := make(chan struct{})
	watchers.Go(func() { // makes room in Sent
		c := session()
		defer c.Close()
		if _, err := c.Must("SELECT Sent"); err != nil {
			t.Error(err)
		}
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, _, err := c.Do("STORE 1 +FLAGS.SILENT (\\Deleted)"); err != nil {
				t.Error(err)
				return
			}
			gone, err := c.Must("EXPUNGE")
			if err != nil {
				t.Error(err)
				return
			}
			for _, line := range gone {
				if strings.HasSuffix(line, " EXPUNGE") {
					expunged.Add(1)
				}
			}
		}
	})
	watchers.Go(func() {
		db := s.database(t)
		for {
			select {
			case <-done:
				return
			default:
			}
			var u struct {
				Quota struct{ Bytes, FreeBytes int64 }
			}
			if err := db.Collection("users").FindOne(t.Context(), map[string]any{"name": testUser}).
				Decode(&u); err != nil {
				t.Error(err)
				return
			}
			if u.Quota.FreeBytes < 0 {
				t.Errorf("%d octets too many", -u.Quota.FreeBytes)
			}
		}
	})
	doors.Wait()
	close(done)
	watchers.Wait()

	c := session()
	defer c.Close()
	var messages, size int64
	for _, box := range []string{"INBOX", "Archive", "Sent"} {
		lines, err := c.Must("STATUS %s (MESSAGES SIZE)", box)
		if err != nil {
			t.Fatal(err)
		}
		var m, z int64
		if _, err := fmt.Sscanf(lines[0], "* STATUS "+box+" (MESSAGES %d SIZE %d)", &m, &z); err != nil {
			t.Fatalf("%q: %v", lines, err)
		}
		messages, size = messages+m, size+z
	}
	if want := 1 + stored.Load() - expunged.Load(); messages != want {
		t.Errorf("%d messages, want %d: %d stored, %d expunged", messages, want, stored.Load()+1, expunged.Load())
	}
	if size > limit {
		t.Errorf("%d octets, the limit is %d", size, limit)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d on SIGTERM", code)
	}
	if found := s.checkOffline(t); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	t.Logf("%d messages, %d of %d octets; %d were expunged", messages, size, limit, expunged.Load())
}
