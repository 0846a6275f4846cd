package imap

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// A large part with NULs comes decoded, whole or by ranges, whether the store keeps it decoded or not;
// and so does one that came by a literal8 without an encoding.
func TestFetchBinaryLarge(t *testing.T) {
	var data strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&data, "%d\x00\xff", i)
	}
	want := data.String()
	var lines, odd strings.Builder
	for rest := want; rest != ""; {
		n := min(57, len(rest))
		line := base64.StdEncoding.EncodeToString([]byte(rest[:n]))
		lines.WriteString(line + "\r\n")
		odd.WriteString(line[:3] + " \r\n" + line[3:] + "\r\n\r\n")
		rest = rest[n:]
	}
	s := newTestServer(t)
	c := s.login(t)
	head := "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: %s\r\n\r\n"
	for _, mail := range []string{
		fmt.Sprintf(head, "base64") + lines.String(), fmt.Sprintf(head, "base64") + odd.String(),
		fmt.Sprintf(head, "binary") + want,
	} {
		c.ok("APPEND INBOX ~{%d+}\r\n%s", len(mail), mail)
	}
	c.ok("SELECT INBOX")
	for n := 1; n <= 3; n++ {
		for _, r := range [][2]int{{0, len(want)}, {0, 10}, {100_001, 70_000}, {len(want) - 5, 5}} {
			got, _ := c.ok("FETCH %d BINARY.PEEK[1]<%d.%d>", n, r[0], r[1])
			answer := fmt.Sprintf("* %d FETCH (BINARY[1]<%d> ~{%d}\r\n%s)",
				n, r[0], r[1], want[r[0]:r[0]+r[1]])
			if len(got) != 1 || got[0] != answer {
				t.Errorf("message %d, %d octets at %d: %.60q", n, r[1], r[0], got)
			}
		}
		got, _ := c.ok("FETCH %d (BINARY[1] BINARY.SIZE[1])", n)
		answer := fmt.Sprintf("* %d FETCH (FLAGS (\\Seen) BINARY[1] ~{%d}\r\n%s BINARY.SIZE[1] %[2]d)",
			n, len(want), want)
		if len(got) != 1 || got[0] != answer {
			t.Errorf("message %d: %.60q", n, got)
		}
	}
}
