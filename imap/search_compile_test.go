package imap

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailview"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// checkGolden compares got with a file of testdata; -update writes it.
func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s", path, i+1, line,
				strings.Join(wantLines[min(i, len(wantLines)):min(i+1, len(wantLines))], ""))
		}
	}
	t.Fatalf("%s: the file has more than was got", path)
}

// testView is a view of the UIDs 10, 20, ..., 10n.
func testView(n int) *mailview.View {
	uids := make([]uint32, n)
	for i := range uids {
		uids[i] = uint32(10 * (i + 1))
	}
	v := mailview.New(mailview.State{UIDs: uids})
	return &v
}

var testNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// parsedSearch is a search of the messages of a view.
type parsedSearch struct {
	*searchParser
	key *search.Key
}

// parseSearchLine parses the arguments of SEARCH, or of another command that parse reads.
func parseSearchLine(
	t testing.TB, line string, v *mailview.View, parse func(*searchParser) error,
) (parsedSearch, error) {
	p := &searchParser{dec: decoderOf(t, " "+line), now: testNow}
	if err := parse(p); err != nil {
		return parsedSearch{}, err
	}
	key := p.keyIn("", func(set imap.NumSet) uidset.Set {
		if imap.IsSearchRes(set) {
			return uidset.Set{{First: 20, Last: 30}}
		}
		return searchableIn(&v.Numbering, set)
	})
	return parsedSearch{p, key}, p.dec.CRLF()
}

// TestCompileSearch: what each search asks of the database and what is left to
// decide. The filters are MongoDB's extended JSON.
func TestCompileSearch(t *testing.T) {
	lines := []string{
		"ALL", "NEW", "OLD", "RECENT", "NOT ALL", "NOT NEW",
		"SEEN", "UNSEEN", "NOT SEEN", "NOT UNSEEN", "ANSWERED UNFLAGGED", "DELETED", "UNDELETED", "DRAFT UNDRAFT",
		"UNSEEN UNDELETED FLAGGED", "OR SEEN FLAGGED", "NOT OR SEEN FLAGGED", "NOT (SEEN FLAGGED)",
		"KEYWORD $Label.1", "UNKEYWORD Junk",
		"1", "1:3", "*", "2,4:*", "UID 15:35", "UID 99", "NOT 2", "NOT UID 20:30", "1:4 NOT 3", "UID 10 UID 20",
		"OR 1 UID 40", "OR 1:2 NOT 3 SEEN",
		"BEFORE 1-Feb-2026", "ON \"24-Nov-2026\"", "SINCE 1-Jan-2026 BEFORE 1-Feb-2026", "NOT ON 1-Feb-2026",
		"SENTBEFORE 1-Feb-2026", "SENTON 29-Feb-2024", "SENTSINCE 1-Feb-2026",
		"LARGER 1000", "SMALLER 1000", "SMALLER 0", "LARGER 0 SMALLER 5", "NOT LARGER 10",
		"YOUNGER 3600", "OLDER 86400",
		"SAVEDBEFORE 1-Feb-2026", "SAVEDON 1-Feb-2026", "SAVEDSINCE 1-Feb-2026", "SAVEDATESUPPORTED",
		"$", "UID $ SEEN", "NOT $", "OR $ 5", "UID 100:200", "OR UID 60:* SEEN",
		"MODSEQ 77", "MODSEQ \"/flags/\\\\draft\" all 5",
		"SUBJECT Hello", "FROM \"a.b+c@x\"", "TO x CC y BCC z", "NOT SUBJECT hello", "SUBJECT \"two  words\"",
		"HEADER Subject x", "HEADER Message-ID <1@x>", "HEADER X-Spam \"\"", "SUBJECT \"\"", "OR SUBJECT a SEEN",
		"BODY hello", "TEXT {4+}\r\nÄÖ", "BODY \"\"", "NOT BODY x", "UNSEEN TEXT x",
		"OR UNSEEN TEXT x", "NOT OR SEEN BODY x",
		"OR (SEEN TEXT a) (FLAGGED BODY b)", "CHARSET utf-8 SUBJECT {2+}\r\né", "CHARSET \"us-ascii\" ALL",
		"RETURN () ALL", "RETURN (MIN COUNT) CHARSET UTF-8 UNSEEN",
		"((((SEEN))))", "NOT NOT NOT SEEN", "(SEEN (FLAGGED (DRAFT)))",
	}
	v := testView(5)
	scope := uidset.Set{{First: 10, Last: 50}}
	var out bytes.Buffer
	for _, line := range lines {
		r, err := parseSearchLine(t, line, v, (*searchParser).search)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		plan, err := search.Compile(r.key, mailkey.Mailbox{11: 1}, scope)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		fmt.Fprintf(&out, "%q\n\tkey    %s\n\tuids   %s\n", line, r.key, plan.UIDs)
		if plan.Filter != nil {
			js, err := bson.MarshalExtJSON(plan.Filter, false, false)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "\tfilter %s\n", js)
		}
		if plan.Residual != nil {
			fmt.Fprintf(&out, "\trest   %s\n", plan.Residual)
		}
	}
	checkGolden(t, "search/compile.golden", out.Bytes())
}

func TestParseSearchErrors(t *testing.T) {
	v := testView(5)
	deep := strings.Repeat("NOT ", search.MaxDepth+1) + "SEEN"
	for _, line := range []string{"", "FOO", "SEEN FOO", "()", "(SEEN", "(SEEN)X", "OR SEEN", "NOT",
		"0", "UID 0", "UID a", "KEYWORD",
		"KEYWORD \"x\"", "BEFORE", "BEFORE 32-Jan-2026", "ON yesterday", "LARGER", "LARGER x",
		"LARGER -1", "HEADER a", "BODY",
		"SUBJECT \xff", "SUBJECT {1+}\r\n\xff", "RETURN ALL", "RETURN (FOO) ALL", "RETURN (MIN)",
		"SEEN RETURN (MIN) ALL", "SEEN CHARSET UTF-8",
		"RETURN (PARTIAL) ALL", "RETURN (PARTIAL 1) ALL", "RETURN (PARTIAL 0:1) ALL", "RETURN (PARTIAL 1:0) ALL",
		"RETURN (PARTIAL -1:2) ALL", "RETURN (PARTIAL 1:*) ALL", "RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
		"RETURN (ALL PARTIAL 1:2) ALL", "RETURN (PARTIAL 1:4294967296) ALL", "$,1", "1,$", "UID 1:$",
		"SAVEDON", "SAVEDATESUPPORTED x",
		"CHARSET UTF-8", "YOUNGER 0", "MODSEQ", "MODSEQ \"/flags/x\" foo 5", "SEEN  FLAGGED", deep,
		"SEEN" + strings.Repeat(" SEEN", search.MaxKeys),
		strings.Repeat("(", search.MaxDepth+1) + "ALL" + strings.Repeat(")", search.MaxDepth+1),
	} {
		if r, err := parseSearchLine(t, line, v, (*searchParser).search); err == nil {
			t.Errorf("%.60q is accepted as %s", line, r.key)
		}
	}
	for _, line := range []string{"CHARSET X-UNKNOWN ALL", "RETURN (MIN) CHARSET x BODY y"} {
		_, err := parseSearchLine(t, line, v, (*searchParser).search)
		if no, ok := err.(*imap.Error); !ok || !strings.HasPrefix(string(no.Code), "BADCHARSET") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// FuzzParseSearch: the parsers of all commands that search take any line, and what they accept
// compiles to a filter that can be sent, within the bounds.
func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{"OR (1:* NOT UID 5) (SUBJECT {1+}\r\na HEADER x \"\")",
		"RETURN (MIN) CHARSET UTF-8 TEXT x",
		"SENTON 1-Feb-2026 MODSEQ \"a\" all 5 OLDER 5",
		"RETURN (PARTIAL -1:-5 COUNT SAVE) OR $ UID *:5 SAVEDON 1-Feb-2026",
		"RETURN (UPDATE) (REVERSE SUBJECT DISPLAYTO) UTF-8 ALL", "REFERENCES UTF-8 1:5",
		"IN (subtree-one (a \"b\") mailboxes c selected personal) RETURN (CONTEXT) UNSEEN"} {
		f.Add(s)
	}
	v := testView(5)
	f.Fuzz(func(t *testing.T, line string) {
		for _, parse := range []func(*searchParser) error{(*searchParser).search, (*searchParser).sort,
			(*searchParser).threads, (*searchParser).esearch} {
			r, err := parseSearchLine(t, line, v, parse)
			if err != nil {
				continue
			}
			if lo, hi := r.returns.partial.of(3); r.returns.items.has(returnPartial) && (lo < 0 || lo > hi || hi > 3) {
				t.Fatalf("%q: results %d to %d of 3", line, lo, hi)
			}
			plan, err := search.Compile(r.key, mailkey.Mailbox{}, uidset.Set{{First: 10, Last: 50}})
			if err != nil || plan.Filter == nil {
				continue
			}
			if _, err := bson.Marshal(plan.Filter); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}
