package costs

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailgen"
	"gadwall/internal/storetest"
)

// noRoll is the visit before which nobody has opened the mailbox since it became large.
const noRoll = "the first of all"

// returnedTo is a mailbox with what a client knew when it left.
type returnedTo struct {
	name             string
	messages         int
	validity, modseq string
	gone             []string // UIDs that were expunged since
	changed          int      // messages that have other flags, or are new
}

// coldInstance is a session of an instance that has seen nothing yet.
func coldInstance(t *testing.T, db *mongo.Database) *imapconn.Conn {
	t.Helper()
	c := dial(t, serveIMAP(t, storetest.Open(t, storetest.Options{Database: db})))
	must(t, c, "LOGIN %s %q", user, storetest.Password)
	return c
}

func must(t *testing.T, c *imapconn.Conn, format string, args ...any) []string {
	t.Helper()
	lines, err := c.Must(format, args...)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// fillCold makes a mailbox of copies of the messages in the mailbox Seed, of which there are a thousand,
// and expunges one in ten: as in real mailboxes, UIDs have gaps.
func fillCold(t *testing.T, c *imapconn.Conn, box *returnedTo) {
	t.Helper()
	must(t, c, "CREATE %s", box.name)
	must(t, c, "SELECT Seed")
	for range box.messages / 1000 {
		must(t, c, "COPY 1:1000 %s", box.name)
	}
	lines := must(t, c, "SELECT %s", box.name)
	var tenth []string
	for seq := 5; seq <= box.messages; seq += 10 {
		tenth = append(tenth, strconv.Itoa(seq))
	}
	must(t, c, `STORE %s +FLAGS.SILENT (\Deleted)`, strings.Join(tenth, ","))
	must(t, c, "EXPUNGE")
	box.messages -= len(tenth)
	box.validity = regexp.MustCompile(`UIDVALIDITY (\d+)`).FindStringSubmatch(strings.Join(lines, "\n"))[1]
}

// changeCold makes ten changes: other flags of four messages, three new ones, and three fewer.
func changeCold(t *testing.T, c *imapconn.Conn, box *returnedTo) {
	t.Helper()
	text := strings.Join(must(t, c, "SELECT %s (CONDSTORE)", box.name), "\n")
	box.modseq = regexp.MustCompile(`HIGHESTMODSEQ (\d+)`).FindStringSubmatch(text)[1]
	must(t, c, `UID STORE 101,301,701,1001 +FLAGS.SILENT (\Flagged)`)
	must(t, c, "UID COPY 1:3 %s", box.name)
	must(t, c, `UID STORE 111,311,711 +FLAGS.SILENT (\Deleted)`)
	must(t, c, "EXPUNGE")
	box.gone, box.changed = []string{"111", "311", "711"}, 7
}

// TestColdVisits: a client comes back to an instance that has never seen its mailbox, after ten
// changes. What the instance reads of the database does not depend on how many messages there are, but
// for the octets of the roll.
func TestColdVisits(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	st := storetest.Open(t, storetest.Options{Database: db})
	st.User(t, user)
	c := dial(t, serveIMAP(t, st))
	must(t, c, "LOGIN %s %q", user, storetest.Password)
	must(t, c, "CREATE Seed")
	if _, err := c.Append("Seed", "", mailgen.Simple("seed")); err != nil {
		t.Fatal(err)
	}
	must(t, c, "SELECT Seed")
	for range 10 {
		must(t, c, "COPY 1:* Seed")
	}
	boxes := []*returnedTo{{name: "Small", messages: 2000}, {name: "Large", messages: 20_000}}
	for _, box := range boxes {
		fillCold(t, c, box)
	}

	var table bytes.Buffer
	table.WriteString("commands  documents  octets  visit: commands in their order\n")
	type cost struct{ commands, documents, octets, roll int }
	costs := make(map[string][]cost)
	measure := func(visit string, box *returnedTo, f func()) {
		t.Helper()
		commands.Reset()
		f()
		n := cost{commands.Total(), commands.Documents(""), commands.Bytes(""), commands.Bytes("rolls")}
		costs[visit] = append(costs[visit], n)
		fmt.Fprintf(&table, "%8d  %9d  %6d  %s, %d messages: %s\n", n.commands, n.documents, n.octets, visit,
			box.messages, commands.Sequence())
	}
	for _, box := range boxes {
		if _, err := db.Collection("rolls").DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		first := coldInstance(t, db)
		measure(noRoll, box, func() { box.checkExists(t, must(t, first, "SELECT %s", box.name)) })
		changeCold(t, c, box)
		visit := coldInstance(t, db)
		must(t, visit, "ENABLE QRESYNC")
		measure("QRESYNC", box, func() {
			lines := must(t, visit, "SELECT %s (QRESYNC (%s %s))", box.name, box.validity, box.modseq)
			box.check(t, lines)
			if !slices.Contains(lines, "* VANISHED (EARLIER) "+strings.Join(box.gone, ",")) {
				t.Errorf("what has vanished: %q", lines)
			}
		})
		visit = coldInstance(t, db)
		measure("CONDSTORE", box, func() {
			lines := must(t, visit, "SELECT %s (CONDSTORE)", box.name)
			box.check(t, append(lines, must(t, visit, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %s)", box.modseq)...))
			lines = must(t, visit, "UID SEARCH ALL")
			if n := len(strings.Fields(lines[0])) - 2; n != box.messages { // behind "* SEARCH"
				t.Errorf("UID SEARCH ALL finds %d messages of %d", n, box.messages)
			}
		})
		visit = coldInstance(t, db)
		measure("rev1, and the messages that are shown", box, func() {
			box.checkExists(t, must(t, visit, "SELECT %s", box.name))
			must(t, visit, "FETCH %d:%d (UID FLAGS)", box.messages-20, box.messages)
		})
	}
	for visit, n := range costs {
		if small, large := n[0], n[1]; visit != noRoll &&
			(small.commands != large.commands || small.documents != large.documents ||
				small.octets-small.roll != large.octets-large.roll || large.roll > 10*small.roll) {
			t.Errorf("%s costs %+v in a small mailbox, %+v in a large one", visit, small, large)
		}
	}
	compare(t, "cold.txt", table.String())
}

func (b *returnedTo) checkExists(t *testing.T, lines []string) {
	t.Helper()
	if !slices.Contains(lines, fmt.Sprintf("* %d EXISTS", b.messages)) {
		t.Errorf("%d messages: %q", b.messages, lines)
	}
}

// check checks how many messages there are, and of how many the client was told.
func (b *returnedTo) check(t *testing.T, lines []string) {
	t.Helper()
	b.checkExists(t, lines)
	fetched := 0
	for _, line := range lines {
		if strings.Contains(line, " FETCH (") {
			fetched++
		}
	}
	if fetched != b.changed {
		t.Errorf("%d messages of %d were told: %q", fetched, b.changed, lines)
	}
}
