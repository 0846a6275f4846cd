package imap

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/dovecottest"
	"gadwall/quota"
)

// TestQuotaLikeDovecot runs the same commands on Dovecot and on Gadwall, and compares untagged data
// and the kind of the tagged answers.
func TestQuotaLikeDovecot(t *testing.T) {
	for _, l := range []quota.Limits{{Bytes: 3 << 10, Messages: 3}, {Bytes: 1 << 10}, {Messages: 3}} {
		d := dovecottest.Start(t, dovecottest.Quota(l.Bytes>>10, l.Messages))
		s := newTestServer(t)
		if err := s.store.SetLimits(t.Context(), s.user.ID, l); err != nil {
			t.Fatal(err)
		}
		theirs, ours := dialIMAP(t, d.Addr, d.User, d.Password), s.login(t)
		for _, command := range []string{
			"GETQUOTAROOT INBOX", "APPEND INBOX {14+}\r\nSubject: x\r\n\r\n",
			`GETQUOTA "User quota"`, `GETQUOTA ""`, "GETQUOTA",
			"GETQUOTAROOT nowhere", `SETQUOTA "User quota" (STORAGE 100)`, "CREATE a",
			"APPEND INBOX {1010+}\r\n" + strings.Repeat("x\r\n", 336) + "\r\n", `GETQUOTA "User quota"`,
			"APPEND INBOX {1010+}\r\n" + strings.Repeat("x\r\n", 336) + "\r\n", `GETQUOTA "User quota"`,
			"EXAMINE INBOX", "COPY 1 a", "COPY 1 a", `GETQUOTA "User quota"`, "SELECT INBOX",
			"MOVE 1 a", `GETQUOTAROOT a`,
			`STORE 1 +FLAGS.SILENT (\Deleted)`, "EXPUNGE", `GETQUOTA "User quota"`, "UNSELECT",
			"DELETE a", `GETQUOTA "User quota"`,
		} {
			answer := func(c *testClient) []string {
				untagged, status := c.do("%s", command)
				var lines []string
				for _, line := range untagged {
					if strings.HasPrefix(line, "* QUOTA") {
						lines = append(lines, line)
					}
				}
				kind, rest, _ := strings.Cut(status, " ")
				if strings.HasPrefix(rest, "[OVERQUOTA]") {
					kind += " [OVERQUOTA]"
				}
				return append(lines, kind)
			}
			if diff := cmp.Diff(answer(theirs), answer(ours)); diff != "" {
				t.Errorf("%+v: %.40q (-Dovecot +Gadwall)\n%s", l, command, diff)
			}
		}
	}
}
