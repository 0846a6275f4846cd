package imap

import (
	"bufio"
	"fmt"
	"maps"
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
//	X> text      the same in a session of another user
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
	reasons := reasonsOfDifferences(t, "## Commands")
	used := make(map[string]bool)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			user := name + "@example.com"
			if err := ours.store.SetLimits(t.Context(), ours.addUser(t, user).ID, limits); err != nil {
				t.Fatal(err)
			}
			both := newPeers(t, theirs, ours, reasons)
			both.run(file, []variant{{user: user}})
			maps.Copy(used, both.used)
		})
	}
	(&peers{T: t, reasons: reasons, used: used}).unused()
}

// unused complains about reasons of which there was no difference.
func (p *peers) unused() {
	for name := range p.reasons {
		if !p.used[name] {
			p.Errorf("docs/imap-differences.md has the difference %q, which no command shows", name)
		}
	}
}

var differenceRow = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|.*\\|$")

// reasonsOfDifferences returns the names of the differences of which docs/imap-differences.md tells
// the reason, in the table below this heading.
func reasonsOfDifferences(t *testing.T, heading string) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../docs/imap-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), heading+"\n")
	table, _, _ = strings.Cut(table, "\n## ")
	reasons := make(map[string]bool)
	for _, row := range differenceRow.FindAllStringSubmatch(table, -1) {
		reasons[row[1]] = true
	}
	if len(reasons) == 0 {
		t.Fatalf("no names of differences below %q", heading)
	}
	return reasons
}

// peers are the two servers, and the sessions that a script has on them.
type peers struct {
	*testing.T
	addrs   [2]string // of Dovecot and of Gadwall
	reasons map[string]bool
	used    map[string]bool // names of differences that there were

	at    variant
	conns map[string][2]*testClient
}

// A variant is what differs when a script is run several times: the user whose sessions it has, and
// texts for the words in braces that it has.
type variant struct {
	name  string // "" if it is the only one
	user  string
	words map[string]string
}

// found are the ways in which the answers to a command differ, and in which variants they do.
type found []struct {
	differs []string
	names   []string
}

func (f *found) add(differs []string, name string) {
	if len(differs) == 0 {
		return
	}
	for i, same := range *f {
		if slices.Equal(same.differs, differs) {
			(*f)[i].names = append(same.names, name)
			return
		}
	}
	*f = append(*f, struct{ differs, names []string }{differs, []string{name}})
}

// lines are those of a script.
func (f found) lines() (lines []string) {
	for _, way := range f {
		for _, line := range way.differs {
			if with := strings.Join(way.names, ", "); with != "" {
				line += " (with " + with + ")"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func newPeers(
	t *testing.T, theirs *dovecottest.Server, ours *testServer, reasons map[string]bool,
) *peers {
	return &peers{T: t, addrs: [2]string{theirs.Addr, ours.addr}, reasons: reasons,
		used:  make(map[string]bool),
		conns: make(map[string][2]*testClient)}
}

var scriptLine = regexp.MustCompile(`^([a-zA-Z0-9]?)> (.*)$`)

// A step of a script is a command with its texts for continuations, and how the answers differ.
type step struct {
	session string
	texts   []string
	lines   []string // as the script has them
	reason  string   // "" if the answers do not differ
	differs []string
}

// run runs a script for all variants.
func (p *peers) run(file string, variants []variant) {
	script, err := os.ReadFile(file)
	if err != nil {
		p.Fatal(err)
	}
	steps, heads := parseScript(string(script))
	all := make([]found, len(steps))
	for _, v := range variants {
		p.begin(v)
		for i, s := range steps {
			for _, line := range heads[i] {
				if names, ok := strings.CutPrefix(line, "mail: "); ok {
					p.fill(strings.Fields(names))
				}
			}
			all[i].add(p.play(s), v.name)
		}
		p.end()
	}
	var out strings.Builder
	for i, s := range steps {
		out.WriteString(strings.Join(append(heads[i], s.lines...), "\n") + "\n")
		differs := all[i].lines()
		if reason := p.judge(s, differs); reason != "" {
			out.WriteString("= " + reason + "\n" + strings.Join(differs, "\n") + "\n")
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

// judge compares how the answers to a command differ with what the script has. It returns the name
// of the difference.
func (p *peers) judge(s step, differs []string) (reason string) {
	p.Helper()
	if len(differs) > 0 {
		if reason = s.reason; reason == "" {
			reason = "?"
		}
		p.used[reason] = true
	}
	switch got := strings.Join(differs, "\n"); {
	case *update:
	case reason == "" && s.reason != "":
		p.Errorf("%s\nthe answers do not differ any more by %q", s.lines[0], s.reason)
	case reason != "" && !p.reasons[reason]:
		p.Errorf("%s\n%s\nno reason %q in docs/imap-differences.md", s.lines[0], got, reason)
	case !slices.Equal(differs, s.differs):
		p.Errorf("%s\n%s\nthe script has\n%s", s.lines[0], got, strings.Join(s.differs, "\n"))
	}
	return reason
}

// begin starts a variant.
func (p *peers) begin(v variant) {
	p.at = v
	if v.words != nil {
		return
	}
	for _, c := range p.sessions("") { // Dovecot makes these mailboxes when they are used first
		for _, name := range []string{"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"} {
			c.ok("SELECT %s", name)
			c.ok("UNSELECT")
		}
	}
}

// end ends a variant.
func (p *peers) end() {
	for name, both := range p.conns {
		if name >= "A" && name <= "Z" {
			continue
		}
		delete(p.conns, name)
		for _, c := range both {
			c.Close()
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
				p.expand(" {mail:"+name+"}"))
		}
	}
}

// sessions returns the connections of this name, on Dovecot and on Gadwall.
func (p *peers) sessions(name string) [2]*testClient {
	both, ok := p.conns[name]
	if !ok {
		for i, addr := range p.addrs {
			switch {
			case name >= "a":
				both[i] = p.dial(addr)
			case name >= "A": // for all variants
				both[i] = dialIMAP(p, addr, p.at.words["owner"], testPassword)
			default:
				both[i] = dialIMAP(p, addr, p.at.user, testPassword)
			}
		}
		p.conns[name] = both
	}
	return both
}

// dial connects without login.
func (p *peers) dial(addr string) *testClient {
	conn, err := imapconn.Dial(addr, testWait)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	return &testClient{conn, p}
}

// play sends a command to both servers and returns how the answers differ.
func (p *peers) play(s step) []string {
	var answers [2][]string
	command := p.expand(s.texts[0])
	for i, c := range p.sessions(s.session) {
		responses := exchange(p, c, s.texts)
		for j := range responses {
			responses[j] = p.unexpand(responses[j])
		}
		answers[i] = alike(command, responses)
	}
	return differing(answers[0], answers[1])
}

// exchange sends a command in its pieces and returns the responses, without the tag.
func exchange(p *peers, c *testClient, texts []string) (responses []string) {
	tag, err := c.Begin("%s", p.expand(texts[0]))
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
				next, texts = p.expand(texts[0]), texts[1:]
			}
			err = c.Send(next + "\r\n")
			continue
		}
		responses = append(responses, line)
	}
	return append(responses, "closed")
}

var scriptMacro = regexp.MustCompile(`\{(mail|text):([^}]*)\}|\{[a-z]+\}|\\x[0-9a-f]{2}|\\r\\n`)

// expand returns what a text of a script stands for.
func (p *peers) expand(text string) string {
	return scriptMacro.ReplaceAllStringFunc(text, func(m string) string {
		word := strings.Trim(m, "{}")
		if kind, name, ok := strings.Cut(word, ":"); ok {
			if kind == "mail" {
				mail, err := os.ReadFile("testdata/peers/mail/" + name + ".eml")
				if err != nil {
					p.Fatal(err)
				}
				name = crlf(string(mail))
			}
			return fmt.Sprintf("{%d+}\r\n%s", len(name), name)
		}
		if word != m {
			if value, ok := p.at.words[word]; ok {
				return value
			}
			return m
		}
		if m == `\r\n` {
			return "\r\n"
		}
		octet, err := strconv.ParseUint(m[2:], 16, 8)
		if err != nil {
			p.Fatal(err)
		}
		return string([]byte{byte(octet)})
	})
}

// unexpand puts the words for names back, so that all variants have the same lines.
func (p *peers) unexpand(response string) string {
	for _, word := range []string{"guest", "owner", "tree"} {
		if name := p.at.words[word]; name != "" {
			response = strings.ReplaceAll(response, name, "<"+word+">")
		}
	}
	return response
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
