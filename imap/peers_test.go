package imap

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gadwall/internal/dovecottest"
	"gadwall/internal/imapconn"
	"gadwall/quota"
)

// TestCommandsLikeDovecot sends the commands of testdata/peers/*.txt to Dovecot and to Gadwall and
// compares the answers, as alike has them. Each script has a user of its own on both servers. Lines
// of a script:
//
//	mail: a b    puts the messages testdata/peers/mail/a.eml and b.eml into INBOX, in the beginning
//	> text       sends a command in a session that is logged in
//	2> text      the same in another session of the user, 3> in one more
//	x> text      the same on a connection without login; any small letter names one
//	+ text       sends text when the server asks for it (after a synchronizing literal, AUTHENTICATE
//	             or IDLE); it belongs to the command above
//	= name       the answers differ: name is that of the reason in docs/imap-differences.md
//	D: text      a line that only Dovecot answers
//	G: text      a line that only Gadwall answers
//
// In a text, \r\n is a line end, \x00 an octet, {mail:a} a message as a non-synchronizing literal,
// {text:a b} such a literal of the text. Everything else is commentary.
//
// With -update the test writes the differences down; those that are new have the name "?", for which
// there is no reason.
func TestCommandsLikeDovecot(t *testing.T) {
	limits := quota.Limits{Bytes: 1 << 30, Messages: 10_000}
	theirs := dovecottest.Start(t, dovecottest.LikeGadwall(), dovecottest.Metadata(),
		dovecottest.Quota(limits.Bytes>>10, limits.Messages))
	ours := newTestServer(t, func(o *Options) { o.Comment, o.AdminURI = "", "" })
	files, err := filepath.Glob("testdata/peers/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	reasons := reasonsOfDifferences(t)
	used := make(map[string]bool)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			user := name + "@example.com"
			if err := ours.store.SetLimits(t.Context(), ours.addUser(t, user).ID, limits); err != nil {
				t.Fatal(err)
			}
			both := &peers{T: t, user: user, addrs: [2]string{theirs.Addr, ours.addr}}
			both.run(file, reasons, used)
		})
	}
	for name := range reasons {
		if !used[name] {
			t.Errorf("docs/imap-differences.md has the difference %q, which no command shows", name)
		}
	}
}

// differencesHeading begins the table of docs/imap-differences.md that has the names of differences.
const differencesHeading = "## Commands"

// reasonsOfDifferences returns the names of the differences of which docs/imap-differences.md tells
// the reason.
func reasonsOfDifferences(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../docs/imap-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), differencesHeading+"\n")
	table, _, _ = strings.Cut(table, "\n## ")
	reasons := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|.*\\|$").FindAllStringSubmatch(table, -1) {
		reasons[row[1]] = true
	}
	if len(reasons) == 0 {
		t.Fatalf("no names of differences below %q", differencesHeading)
	}
	return reasons
}

// peers are the sessions of one script.
type peers struct {
	*testing.T
	user  string
	addrs [2]string // of Dovecot and of Gadwall
	conns map[string][2]*testClient
}

var scriptLine = regexp.MustCompile(`^([a-z0-9]?)> (.*)$`)

// A step of a script is a command with its texts for continuations, and how the answers differ.
type step struct {
	session string
	texts   []string
	lines   []string // as the script has them
	reason  string   // "" if the answers do not differ
	differs []string
}

func (p *peers) run(file string, reasons, used map[string]bool) {
	script, err := os.ReadFile(file)
	if err != nil {
		p.Fatal(err)
	}
	p.conns = make(map[string][2]*testClient)
	for _, c := range p.sessions("") { // Dovecot makes these mailboxes when they are used first
		for _, name := range []string{"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"} {
			c.ok("SELECT %s", name)
			c.ok("UNSELECT")
		}
	}
	var out strings.Builder
	steps, heads := parseScript(string(script))
	for i, s := range steps {
		for _, line := range heads[i] {
			out.WriteString(line + "\n")
			if names, ok := strings.CutPrefix(line, "mail: "); ok {
				p.fill(strings.Fields(names))
			}
		}
		out.WriteString(strings.Join(s.lines, "\n") + "\n")
		got := p.play(s)
		reason := s.reason
		switch {
		case len(got) > 0 && reason == "":
			reason = "?"
		case len(got) == 0:
			reason = ""
		}
		if reason != "" {
			out.WriteString("= " + reason + "\n" + strings.Join(got, "\n") + "\n")
		}
		used[reason] = true
		switch {
		case *update:
		case reason != s.reason && reason == "":
			p.Errorf("%s\nthe answers do not differ any more by %q", s.lines[0], s.reason)
		case reason != "" && !reasons[reason]:
			p.Errorf("%s\n%s\nno reason %q in docs/imap-differences.md", s.lines[0], strings.Join(got, "\n"), reason)
		case !slices.Equal(got, s.differs):
			p.Errorf("%s\n%s\nthe script has\n%s", s.lines[0], strings.Join(got, "\n"), strings.Join(s.differs, "\n"))
		}
	}
	for _, line := range heads[len(steps)] {
		out.WriteString(line + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			p.Fatal(err)
		}
	}
}

// parseScript returns the steps of a script, and what stands before each and after the last.
func parseScript(script string) (steps []step, heads [][]string) {
	heads = [][]string{nil}
	in := bufio.NewScanner(strings.NewReader(script))
	in.Buffer(nil, len(script)+1)
	for in.Scan() {
		line := in.Text()
		m := scriptLine.FindStringSubmatch(line)
		if m != nil {
			steps = append(steps, step{session: m[1], texts: []string{m[2]}, lines: []string{line}})
			heads = append(heads, nil)
			continue
		}
		last := len(steps) - 1
		ofStep := last >= 0 && len(heads[last+1]) == 0
		switch kind, text, _ := strings.Cut(line, " "); {
		case ofStep && kind == "+":
			steps[last].texts = append(steps[last].texts, text)
			steps[last].lines = append(steps[last].lines, line)
		case ofStep && kind == "=":
			steps[last].reason = text
		case ofStep && (kind == "D:" || kind == "G:"):
			steps[last].differs = append(steps[last].differs, line)
		default:
			heads[last+1] = append(heads[last+1], line)
		}
	}
	return steps, heads
}

// fill puts messages into INBOX, whose flags and dates differ.
func (p *peers) fill(names []string) {
	for _, c := range p.sessions("") {
		for i, name := range names {
			flags := []string{"", `\Seen`, `\Flagged`, `\Answered $Label1`, `\Draft`, `\Deleted Junk`}[i%6]
			c.ok(`APPEND INBOX (%s) "%02d-Jul-2020 12:00:00 +0%d00"%s`, flags, 1+i*3%28, i%10,
				expandScript(p, " {mail:"+name+"}"))
		}
	}
}

// sessions returns the connections of this name, on Dovecot and on Gadwall.
func (p *peers) sessions(name string) [2]*testClient {
	both, ok := p.conns[name]
	if !ok {
		for i, addr := range p.addrs {
			if name != "" && name >= "a" {
				conn, err := imapconn.Dial(addr, testWait)
				if err != nil {
					p.Fatal(err)
				}
				p.Cleanup(func() { conn.Close() })
				both[i] = &testClient{conn, p}
				continue
			}
			both[i] = dialIMAP(p, addr, p.user, testPassword)
		}
		p.conns[name] = both
	}
	return both
}

// play sends a command to both servers and returns how the answers differ.
func (p *peers) play(s step) []string {
	var answers [2][]string
	command := expandScript(p, s.texts[0])
	for i, c := range p.sessions(s.session) {
		answers[i] = alike(command, exchange(p, c, s.texts))
	}
	return differing(answers[0], answers[1])
}

// exchange sends a command in its pieces and returns the responses, without the tag.
func exchange(p *peers, c *testClient, texts []string) (responses []string) {
	tag, err := c.Begin("%s", expandScript(p, texts[0]))
	texts = texts[1:]
	for err == nil {
		var line string
		if line, err = c.Response(); err != nil {
			break
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			return append(responses, status)
		}
		if strings.HasPrefix(line, "+") {
			responses = append(responses, "+")
			next := "" // an empty line ends what the script did not expect
			if len(texts) > 0 {
				next, texts = expandScript(p, texts[0]), texts[1:]
			}
			err = c.Send(next + "\r\n")
			continue
		}
		responses = append(responses, line)
	}
	return append(responses, "closed")
}

var scriptMacro = regexp.MustCompile(`\{(mail|text):([^}]*)\}|\\x[0-9a-f]{2}|\\r\\n`)

// expandScript returns what a text of a script stands for.
func expandScript(t testing.TB, text string) string {
	return scriptMacro.ReplaceAllStringFunc(text, func(m string) string {
		if kind, name, ok := strings.Cut(strings.Trim(m, "{}"), ":"); ok {
			if kind == "mail" {
				mail, err := os.ReadFile("testdata/peers/mail/" + name + ".eml")
				if err != nil {
					t.Fatal(err)
				}
				name = crlf(string(mail))
			}
			return fmt.Sprintf("{%d+}\r\n%s", len(name), name)
		}
		if m == `\r\n` {
			return "\r\n"
		}
		octet, err := strconv.ParseUint(m[2:], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		return string([]byte{byte(octet)})
	})
}

// differing returns the lines that only one of two has, those of theirs first.
func differing(theirs, ours []string) (lines []string) {
	const longest = 300
	add := func(mark string, these, others []string) {
		left := slices.Clone(others)
		for _, line := range these {
			if i := slices.Index(left, line); i >= 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			if len(line) > longest {
				line = line[:longest] + "..."
			}
			lines = append(lines, mark+" "+line)
		}
	}
	add("D:", theirs, ours)
	add("G:", ours, theirs)
	return lines
}
