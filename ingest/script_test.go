package ingest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/mailstore"
	"gadwall/quota"
)

var update = flag.Bool("update", false, "rewrite the expected lines of the scripts in testdata")

// A script is a conversation:
//
//	! word...   set-up: smtp, lmtp, max OCTETS, reject-over-quota, postmaster ADDRESS,
//	            limit USER OCTETS, fail STEP, full USER, gone USER
//	C: text     the client sends the line and CRLF
//	C| "text"   the client sends the quoted octets
//	S: text     the server answers with this line; ids and dates are masked
//	S.          the server closes the connection
//	D: user "body"      what was delivered, in the end
//
// Other lines are comments. The users are ada, bob and eve at example.com.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, strings.Split(strings.TrimRight(string(raw), "\n"), "\n"))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(raw), got); diff != "" {
				t.Errorf("conversation (-want +got):\n%s", diff)
			}
		})
	}
}

func runScript(t *testing.T, lines []string) string {
	st := newFakeStore("ada@example.com", "bob@example.com", "eve@example.com")
	opts := Options{LMTP: true}
	var out []string
	var c *client
	var ts *testServer
	closed := false
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "! "):
			setUp(t, strings.Fields(line[2:]), st, &opts)
			out = append(out, line)
			continue
		case strings.HasPrefix(line, "S") || strings.HasPrefix(line, "D: "):
			continue // written anew
		}
		out = append(out, line)
		if c == nil && strings.HasPrefix(line, "C") {
			ts = startServer(t, st, opts)
			c = ts.dial(t)
			// The greeting stands above the first command.
			out = append(out[:len(out)-1], "S: "+masked(c.line()), line)
		}
		switch {
		case strings.HasPrefix(line, "C: "):
			c.send(line[3:] + "\r\n")
		case strings.HasPrefix(line, "C| "):
			s, err := strconv.Unquote(line[3:])
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			c.send(s)
		default:
			continue
		}
		// Answers are collected where the script expects them; a sentinel at the
		// end finds those that it does not.
		answers := 0
		for _, next := range lines[i+1:] {
			if !strings.HasPrefix(next, "S") {
				break
			}
			answers++
		}
		if *update {
			answers = 1 << 10
			c.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // only to record
		}
		for range answers {
			s, err := c.r.ReadString('\n')
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.conn.SetReadDeadline(time.Now().Add(within))
				break
			}
			if err != nil {
				out = append(out, "S.")
				closed = true
				break
			}
			out = append(out, "S: "+masked(strings.TrimRight(s, "\r\n")))
		}
	}
	if !closed {
		c.send("VRFY nobody\r\n")
		if s := c.line(); !strings.HasPrefix(s, "252 ") {
			t.Errorf("a reply nobody expected: %q", s)
		}
	}
	c.conn.Close()
	ts.stop(t)
	st.check(t)
	var delivered []string
	for _, m := range st.messages() {
		name, _, _ := strings.Cut(m.user, "@")
		delivered = append(delivered, fmt.Sprintf("D: %s %q", name, m.body))
	}
	slices.Sort(delivered)
	return strings.Join(append(out, delivered...), "\n") + "\n"
}

func setUp(t *testing.T, words []string, st *fakeStore, o *Options) {
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	switch words[0] {
	case "smtp":
		o.LMTP = false
	case "lmtp":
	case "postmaster":
		o.Postmaster = words[1]
	case "max":
		o.MaxMessageSize = number(words[1])
	case "reject-over-quota":
		o.RejectOverQuota = true
	case "reject-suspended":
		o.RejectSuspended = true
	case "suspended":
		st.users[words[1]+"@example.com"].State = mailstore.UserSuspended
	case "limit":
		st.limited(words[1]+"@example.com", number(words[2]))
	case "full":
		st.fail[words[1]+"@example.com"] = quota.ErrOverQuota
	case "gone":
		st.fail[words[1]+"@example.com"] = mailstore.ErrNoSuchMailbox
	case "fail":
		st.fail[words[1]] = errors.New("injected")
	default:
		t.Fatalf("unknown set-up %q", words)
	}
}
