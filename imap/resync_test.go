package imap

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/uidset"
)

// returningClient is a client with QRESYNC that keeps what it knows of a mailbox while it is away
// (RFC 7162 section 6).
type returningClient struct {
	*testClient
	box      string
	validity string
	modseq   uint64
	flags    map[uint32]string // by UID
	seqs     []uint32          // UIDs by sequence number while selected; 0: not known yet
}

var (
	fetchedLine  = regexp.MustCompile(`^\* (\d+) (UID)?FETCH \((.*)\)$`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED (\(EARLIER\) )?([0-9,:]+)$`)
	uidItem      = regexp.MustCompile(`UID (\d+)`)
	flagsItem    = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	modseqItem   = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	highestCode  = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
)

func atoi(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// run sends a command and takes in what the answer says.
func (c *returningClient) run(format string, args ...any) {
	c.t.Helper()
	untagged, status := c.do(format, args...)
	if !strings.HasPrefix(status, "OK") && !strings.Contains(status, "EXPUNGEISSUED") &&
		!strings.Contains(status, "UIDREQUIRED") {
		c.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), status)
	}
	modseq := c.modseq
	for _, line := range append(untagged, status) {
		if m := highestCode.FindStringSubmatch(line); m != nil {
			modseq = atoi(m[1])
		}
		if m := fetchedLine.FindStringSubmatch(line); m != nil {
			modseq = max(modseq, c.fetched(m))
		}
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			c.vanished(m[2], m[1] != "")
		}
		if m := uidValidity.FindStringSubmatch(line); m != nil {
			c.validity = m[1]
		}
		if n, ok := strings.CutSuffix(line, " EXISTS"); ok {
			n := int(atoi(strings.TrimPrefix(n, "* ")))
			if n < len(c.seqs) {
				c.t.Errorf("%d messages after %d", n, len(c.seqs))
			}
			c.seqs = append(c.seqs, make([]uint32, n-len(c.seqs))...)
		}
		if strings.Contains(line, " EXPUNGE") && strings.HasPrefix(line, "*") {
			c.t.Errorf("%s: with QRESYNC", line)
		}
	}
	for _, line := range untagged { // a lower one is a warning, and counts whatever else is there
		if m := highestCode.FindStringSubmatch(line); m != nil {
			modseq = min(modseq, atoi(m[1]))
		}
	}
	c.modseq = modseq
}

// fetched takes in a FETCH or UIDFETCH response, and returns its mod-sequence.
func (c *returningClient) fetched(m []string) uint64 {
	uid := uint32(atoi(m[1]))
	if m[2] == "" {
		seq := int(uid)
		if seq == 0 || seq > len(c.seqs) {
			c.t.Errorf("%s: of %d messages", m[0], len(c.seqs))
			return 0
		}
		if u := uidItem.FindStringSubmatch(m[3]); u != nil {
			c.seqs[seq-1] = uint32(atoi(u[1]))
		}
		uid = c.seqs[seq-1]
	}
	if f := flagsItem.FindStringSubmatch(m[3]); f != nil && uid != 0 {
		c.flags[uid] = f[1]
	}
	if n := modseqItem.FindStringSubmatch(m[3]); n != nil {
		return atoi(n[1])
	}
	return 0
}

func (c *returningClient) vanished(set string, earlier bool) {
	for _, part := range strings.Split(set, ",") {
		first, last, isRange := strings.Cut(part, ":")
		if !isRange {
			last = first
		}
		for uid := uint32(atoi(first)); uid <= uint32(atoi(last)); uid++ {
			delete(c.flags, uid)
			i := slices.Index(c.seqs, uid)
			switch {
			case earlier && i >= 0:
				c.t.Errorf("UID %d vanished earlier and has a number", uid)
			case earlier:
			case i >= 0:
				c.seqs = slices.Delete(c.seqs, i, i+1)
			default: // a message whose UID the client did not learn
				if i := slices.Index(c.seqs, 0); i < 0 {
					c.t.Errorf("UID %d vanished, and no message has it", uid)
				} else {
					c.seqs = slices.Delete(c.seqs, i, i+1)
				}
			}
		}
	}
}

// uids returns what the client knows, ascending.
func (c *returningClient) uids() []uint32 { return slices.Sorted(maps.Keys(c.flags)) }

// visit selects the mailbox again, as a client that has lost its connection.
func (c *returningClient) visit(s *testServer, r *rand.Rand) {
	c.t.Helper()
	c.testClient = s.login(c.t)
	enable := "ENABLE QRESYNC"
	if numbers := r.IntN(3) > 0; !numbers {
		enable += " UIDONLY"
	}
	c.ok("%s", enable)
	params := ""
	known := c.uids()
	if c.modseq > 0 {
		params = fmt.Sprintf(" (QRESYNC (%s %d", c.validity, c.modseq)
		if len(known) > 0 && r.IntN(2) == 0 {
			params += " " + uidset.Format(known)
		}
		if len(known) > 0 && r.IntN(2) == 0 && !strings.Contains(enable, "UIDONLY") {
			var seqs, uids []uint32
			for i, uid := range known {
				if r.IntN(3) == 0 || i == len(known)-1 {
					seqs, uids = append(seqs, uint32(i+1)), append(uids, uid)
				}
			}
			params += fmt.Sprintf(" (%s %s)", uidset.Format(seqs), uidset.Format(uids))
		}
		params += "))"
	}
	c.seqs = nil
	c.run("SELECT %s%s", c.box, params)
	if strings.Contains(params, uidset.Format(known)) || params == "" {
		// Only what was named is told; new messages are for the client to ask for.
		c.run("UID FETCH 1:* FLAGS")
	}
	c.number()
}

// number learns the UIDs that belong to the numbers.
func (c *returningClient) number() {
	if slices.Contains(c.seqs, 0) {
		c.run("UID FETCH 1:* (FLAGS MODSEQ)")
	}
}

// fresh starts another instance on the database.
func (s *testServer) fresh(t *testing.T) *testServer {
	other := &testServer{db: s.db, contents: s.contents, bus: s.bus, user: s.user, errs: s.errs}
	return other.serve(t, Options{
		Authenticator: testAuthenticator(testAccounts(t, s.otherInstance(t), s.bus, s.log)), Logger: s.log,
		MaxMessageSize: 1 << 20,
	}, s.store)
}

// TestReturningClients: a client that loses its connection at any moment, and comes back with
// QRESYNC, knows afterwards what there is, whether or not the journal has it all.
func TestReturningClients(t *testing.T) {
	s := newTestServer(t)
	steps := 60
	if testing.Short() {
		steps = 20
	}
	for seed := range 12 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			box := fmt.Sprintf("box%d", seed)
			other := s.login(t)
			other.ok("CREATE %s", box)
			other.ok("SELECT %s", box)
			other.append(box, "", message("first"))
			c := &returningClient{box: box, flags: make(map[uint32]string)}
			c.testClient = &testClient{t: t}
			c.visit(s, r)
			for range steps {
				c.number()
				switch r.IntN(10) {
				case 0, 1:
					other.append(box, "", message("more"))
				case 2, 3:
					other.ok("UID STORE %d:%d %sFLAGS (%s)", r.IntN(20)+1, r.IntN(20)+1,
						[]string{"+", "-", ""}[r.IntN(3)], []string{`\Seen`, `\Flagged`, "a"}[r.IntN(3)])
				case 4:
					other.ok(`UID STORE %d +FLAGS.SILENT (\Deleted)`, r.IntN(20)+1)
					other.ok("EXPUNGE")
				case 5:
					c.run("NOOP")
				case 6:
					c.run("UID FETCH %d FLAGS", r.IntN(20)+1)
				case 7:
					c.run(`UID STORE %d +FLAGS (\Answered)`, r.IntN(20)+1)
				case 8:
					if n := len(c.seqs); n > 0 {
						c.run("STORE %d -FLAGS (\\Seen)", r.IntN(n)+1)
					}
				case 9:
					if n := len(c.seqs); n > 1 && !slices.Contains(c.seqs, 0) && r.IntN(2) == 0 {
						// The answer may not tell the expunge, and tells a later change.
						gone := r.IntN(n)
						other.ok(`UID STORE %d +FLAGS.SILENT (\Deleted)`, c.seqs[gone])
						other.ok("EXPUNGE")
						other.ok(`UID STORE %d FLAGS (b)`, c.seqs[(gone+1)%n])
						c.run("FETCH %d FLAGS", (gone+1)%n+1)
					}
					c.Close()
					if r.IntN(3) == 0 {
						// Nor does an instance that was not there remember what is no longer in it.
						if _, err := s.db.Collection("journal").DeleteMany(context.Background(), bson.D{}); err != nil {
							t.Fatal(err)
						}
						c.visit(s.fresh(t), r)
						continue
					}
					c.visit(s, r)
				}
			}
			c.run("NOOP")
			c.number()
			want := make(map[uint32]string)
			lines, _ := other.ok("UID FETCH 1:* FLAGS")
			for _, line := range lines {
				m := fetchedLine.FindStringSubmatch(line)
				uid := uint32(atoi(uidItem.FindStringSubmatch(m[3])[1]))
				want[uid] = flagsItem.FindStringSubmatch(m[3])[1]
			}
			if diff := cmp.Diff(want, c.flags); diff != "" {
				t.Errorf("(-is +known)\n%s", diff)
			}
			if len(c.seqs) != len(want) {
				t.Errorf("%d numbers for %d messages", len(c.seqs), len(want))
			}
		})
	}
}
