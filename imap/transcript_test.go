package imap

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the server says")

// TestTranscripts plays the sessions of testdata/*.txt and compares every line
// of the server. Lines of a transcript:
//
//	C: text   sends a line and reads up to the tagged answer or a continuation
//	          (not after a non-synchronising literal's mark)
//	D: text   sends a line that nothing answers (data of a literal)
//	R: text   reads up to a line that contains text (in IDLE)
//	S: text   is what the server said
//	C2: ...   the same on a second connection
//
// There is the user alice, and bob where a transcript names him.
//
// <uidvalidity> in a C line is the UIDVALIDITY that the server said last. Everything else is
// commentary. $ at the end of a D line sends no line end.
// Values that differ from run to run are written as <n>, the capabilities in the answer to LOGIN
// as <all>.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

var (
	transcriptLine = regexp.MustCompile(`^([CDRS])(\d?)[:!] ?(.*)$`)
	variable       = regexp.MustCompile(`(UIDVALIDITY|APPENDUID|COPYUID|SAVEDATE) (?:\d+|"[^"]*")`)
	capabilities   = regexp.MustCompile(`\[CAPABILITY [^]]*\] Logged in`)
	otherUser      = regexp.MustCompile(`_[0-9a-f]{16}\b`) // in ids of another user's mail
	uidValidity    = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
)

// player is one connection of a transcript.
type player struct {
	*testClient
	name      string
	tag       string
	continued bool
}

func play(t *testing.T, script string) string {
	srv := newTestServer(t)
	if strings.Contains(script, other) {
		srv.addUser(t, other)
	}
	players := make(map[string]*player)
	validity := "0"
	var out strings.Builder
	for _, line := range strings.SplitAfter(script, "\n") {
		m := transcriptLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			out.WriteString(line)
			continue
		}
		kind, name, text := m[1], m[2], m[3]
		if kind == "S" {
			continue
		}
		out.WriteString(line)
		p := players[name]
		if p == nil {
			p = &player{testClient: srv.dial(t), name: name}
			players[name] = p
		}
		if kind == "D" {
			if strings.HasSuffix(text, "$") {
				p.send(strings.TrimSuffix(text, "$"))
			} else {
				p.send(text + "\r\n")
			}
			continue
		}
		if kind == "C" {
			p.send(strings.ReplaceAll(text, "<uidvalidity>", validity) + "\r\n")
			if !p.continued {
				p.tag, _, _ = strings.Cut(text, " ")
			}
			if p.continued = strings.HasSuffix(text, "+}"); p.continued {
				continue // nothing is answered before the end of the command
			}
		}
		for {
			said, err := p.Response()
			if err != nil {
				fmt.Fprintf(&out, "S%s! %v\n", p.name, err)
				break
			}
			if m := uidValidity.FindStringSubmatch(said); m != nil {
				validity = m[1]
			}
			for _, l := range strings.Split(said, "\r\n") {
				l = variable.ReplaceAllString(l, "$1 <n>")
				l = otherUser.ReplaceAllString(l, "_<user>")
				l = capabilities.ReplaceAllString(l, "[CAPABILITY <all>] Logged in")
				out.WriteString(strings.TrimRight("S"+p.name+": "+l, " ") + "\n")
			}
			if kind == "R" {
				if strings.Contains(said, text) {
					break
				}
				continue
			}
			p.continued = strings.HasPrefix(said, "+ ")
			if p.continued || strings.HasPrefix(said, p.tag+" ") || said == "* BAD No valid tag" {
				break
			}
		}
	}
	return out.String()
}
