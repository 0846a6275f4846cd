package imap

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// The cost of asking for a mailbox does not depend on how many names were given.
func TestSourcesCover(t *testing.T) {
	names := make(mailboxNames)
	for i := range 1000 {
		names.add(fmt.Sprintf("a name that is longer than thirty-two octets/%d", i))
	}
	names.add("a/b")
	for _, tt := range []struct {
		name                      string
		mailboxes, subtree, below bool
	}{
		{"a", false, false, false}, {"a/b", true, true, true}, {"a/b/c", false, true, true},
		{"a/b/c/d", false, true, false}, {"a/bc", false, false, false}, {"b/a/b", false, false, false},
	} {
		for kind, want := range map[string]bool{
			"MAILBOXES": tt.mailboxes, "SUBTREE": tt.subtree, "SUBTREE-ONE": tt.below,
		} {
			s := searchSource{kind: kind, names: names}
			if got := s.covers(tt.name, false, false); got != want {
				t.Errorf("%s a/b has %s: %v", kind, tt.name, got)
			}
			// Some of an earlier test may go on.
			if n := testing.AllocsPerRun(10, func() { s.covers(tt.name, false, false) }); n > 100 {
				t.Errorf("%s allocates %v times", kind, n)
			}
		}
	}
}

// Another user who shares mailboxes and takes them away again does not fill the session's memory.
func TestNoAccessIsBounded(t *testing.T) {
	n := &notifications{noAccess: make(map[string]bool)}
	c := &conn{srv: &Server{notifyMailboxes: 10}, notify: n}
	for round := range 50 {
		name := fmt.Sprintf("Other Users/x/%d", round)
		d := treeDiff{c: c, n: n, tree: &mailboxTree{}, index: make(map[string]*changedName)}
		d.old = map[mailkey.Mailbox]*watched{{}: {path: name, foreign: true, events: messageEvents}}
		if d.gone(); !n.noAccess[name] || !d.index[name].closed {
			t.Fatalf("%s was not told", name)
		}
	}
	if len(n.noAccess) != 10 {
		t.Errorf("%d names", len(n.noAccess))
	}
}

// The session remembers the last of the messages that it put into the selected mailbox itself, and
// those no longer that the client was told of.
func TestOwnNewMessagesAreBounded(t *testing.T) {
	c := &conn{sel: &selected{}, notify: &notifications{selected: selectedEvents{fetch: &fetchRequest{}}}}
	const last = 3 * maxOwnNew
	for uid := uint32(1); uid <= last; uid += maxOwnNew / 2 {
		var uids []uint32
		for own := uid; own < uid+maxOwnNew/2; own++ {
			uids = append(uids, own)
		}
		c.sel.put(uids)
	}
	if n := len(c.sel.own); n != maxOwnNew {
		t.Fatalf("%d own messages", n)
	}
	first := c.sel.own[0]
	c.newMessages([]uint32{1, first, first + 1, first + 3})
	if !slices.Equal(c.sel.fresh, []uint32{1}) || c.sel.own[0] != first+4 {
		t.Errorf("told are %d, the first own one is %d", c.sel.fresh, c.sel.own[0])
	}
	c.newMessages([]uint32{last * 2})
	if c.sel.own != nil || !slices.Equal(c.sel.fresh, []uint32{1, last * 2}) {
		t.Errorf("told are %d, %d own ones are left", c.sel.fresh, len(c.sel.own))
	}
}

// slowLink takes octets at a rate.
type slowLink struct {
	net.Conn
	rate int // octets a second
}

func (l slowLink) SetWriteDeadline(time.Time) error { return nil }

func (l slowLink) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(l.rate)) // by the bubble's clock
	return len(p), nil
}

// A client that reads a large message as fast as its link allows does not read too slowly.
func TestNotifyPatienceDependsOnSize(t *testing.T) {
	for _, tt := range []struct {
		rate int
		slow bool
	}{{640 << 10, false}, {leastReadRate, false}, {leastReadRate / 2, true}} {
		synctest.Test(t, func(t *testing.T) {
			c := &conn{srv: &Server{notifyPatience: notifyPatience}, betweenCommands: true,
				notify: &notifications{selected: selectedEvents{events: messageEvents}}}
			out := output{conn: slowLink{rate: tt.rate}}
			message := []byte(strings.Repeat("x", 30<<20))
			if _, err := out.Write(message); err != nil {
				t.Fatal(err)
			}
			if slow := c.readsTooSlowly(out.waited); slow != tt.slow {
				t.Errorf("%d octets a second are too slow: %v", tt.rate, slow)
			}
		})
	}
}

// Others' mailboxes that the client did not ask for do not count.
func TestOnlyWatchedMailboxesCount(t *testing.T) {
	n := &notifications{groups: []eventGroup{
		{mailboxes: searchSource{kind: "MAILBOXES", names: mailboxNames{}}, events: messageEvents},
	}}
	c := &conn{srv: &Server{notifyMailboxes: maxNotifyMailboxes}, notify: n}
	tree := &mailboxTree{}
	for i := range maxNotifyOwners + 1 {
		name := fmt.Sprintf("Other Users/%d/INBOX", i)
		box := &mailstore.Mailbox{Key: mailkey.UserID{byte(i), 1}.Mailbox(1)}
		tree.nodes = append(tree.nodes, &node{name: name, others: true, box: box})
		if !c.mayWatch(tree) {
			t.Fatalf("too many with %d users who share, of whom none is watched", i)
		}
	}
	for i, node := range tree.nodes {
		n.groups[0].mailboxes.names.add(node.name)
		if may := c.mayWatch(tree); may != (i < maxNotifyOwners) {
			t.Errorf("with %d watched users: %v", i+1, may)
		}
	}
}

// Another user cannot end what a client hears of one mailbox by sharing more. What happens in those
// costs the client nothing, until one of them comes to the name that is watched.
func TestNotifyOfOneSharedMailbox(t *testing.T) {
	t.Parallel()
	s := publicServer(t)
	s.notifyMailboxes = 8
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	share := func(name string) {
		alice.ok("CREATE %s", name)
		alice.ok("SETACL %s %s lr", name, other)
	}
	share("Team")
	share("a")
	team := account.OthersPrefix + testUser + "/Team"
	bob.ok("NOTIFY SET (MAILBOXES %q (MessageNew MessageExpunge))", team)
	for _, name := range []string{"b", "c", "d", "e"} {
		share(name)
	}
	alice.append("a", "", message("not watched"))
	alice.append("Team", "", message("watched"))
	bob.expect(fmt.Sprintf("* STATUS %q (MESSAGES 1 UIDNEXT 2 UNSEEN 1)", team))
	alice.append("a", "", message("not watched"))
	alice.append("a", "", message("not watched"))
	if told, _ := bob.ok("NOOP"); told != nil {
		t.Errorf("told %q", told)
	}
	alice.ok("RENAME Team gone")
	alice.ok("RENAME a Team")
	want := fmt.Sprintf("* STATUS %q (MESSAGES 3 UIDNEXT 4 UIDVALIDITY ", team)
	if line := bob.line(); !strings.HasPrefix(line, want) {
		t.Errorf("told %q", line)
	}
	alice.append("gone", "", message("not watched any more"))
	alice.append("Team", "", message("watched now"))
	bob.expect(fmt.Sprintf("* STATUS %q (MESSAGES 4 UIDNEXT 5 UNSEEN 4)", team))
}

// A client that subscribes to a mailbox of another user hears of it from then on.
func TestNotifyOfNewSubscription(t *testing.T) {
	t.Parallel()
	s := publicServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.ok("CREATE Team")
	alice.ok("SETACL Team %s lr", other)
	team := account.OthersPrefix + testUser + "/Team"
	bob.ok("NOTIFY SET (SUBSCRIBED (MessageNew MessageExpunge))")
	bob.ok("SUBSCRIBE %q", team)
	bob.ok("NOOP")
	alice.append("Team", "", message("watched"))
	line := bob.line()
	if !strings.HasPrefix(line, fmt.Sprintf("* STATUS %q (MESSAGES 1 UIDNEXT 2 ", team)) {
		t.Errorf("told %q", line)
	}
}
