package imap

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
)

// expect reads responses, which must be these.
func (c *testClient) expect(want ...string) {
	c.t.Helper()
	var got []string
	for range want {
		got = append(got, c.line())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("(-want +got)\n%s", diff)
	}
}

// silent fails if the server tells anything before it answers a command that tells nothing itself.
func (c *testClient) silent() {
	c.t.Helper()
	if told, _ := c.ok("UNSELECT"); told != nil {
		c.t.Errorf("told %q", told)
	}
}

const watchAll = "NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))"

// What happens in a burst is told by one STATUS, and costs one query, however many messages it is.
func TestNotifyAsksOnceForABurst(t *testing.T) {
	t.Parallel()
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db, func(o *Options) { o.PollInterval = time.Hour })
	s.notifyPause = time.Hour
	watcher, c := s.login(t), s.login(t)
	watcher.ok("NOTIFY SET (INBOXES (MessageNew MessageExpunge))")
	c.ok("SELECT Archive")
	for range 5 {
		c.append("Archive", "", message("not watched"))
		c.append("INBOX", "", message("watched"))
	}
	commands.Reset()
	told, _ := watcher.ok("CAPABILITY")
	if n := commands.Total(); n != 1 || commands.Count("find", "mailboxes") != 1 {
		t.Errorf("%d commands: %s", n, commands.Sequence())
	}
	if len(told) != 2 || told[1] != "* STATUS INBOX (MESSAGES 5 UIDNEXT 6 UNSEEN 5)" {
		t.Errorf("told %q", told)
	}
	commands.Reset()
	watcher.ok("CAPABILITY")
	if n := commands.Total(); n != 0 {
		t.Errorf("%d commands without a change: %s", n, commands.Sequence())
	}
}

// SELECTED-DELAYED tells everything at once but expunges, which wait for a command that may tell them.
func TestNotifyDelaysExpunges(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	watcher, c := s.login(t), s.login(t)
	c.append("INBOX", "", message("1"))
	c.append("INBOX", "", message("2"))
	c.ok("SELECT INBOX")
	watcher.ok("SELECT INBOX")
	watcher.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew (UID) MessageExpunge FlagChange))")
	c.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
	watcher.expect(`* 1 FETCH (UID 1 FLAGS (\Deleted))`)
	c.ok("EXPUNGE")
	c.append("INBOX", "", message("3"))
	watcher.expect("* 3 EXISTS", "* 3 FETCH (UID 3)")
	if told, _ := watcher.ok("FETCH 2 UID"); !slices.Equal(told, []string{"* 2 FETCH (UID 2)"}) {
		t.Errorf("FETCH: %q", told)
	}
	if told, _ := watcher.ok("NOOP"); !slices.Equal(told, []string{"* 1 EXPUNGE"}) {
		t.Errorf("NOOP: %q", told)
	}
	watcher.ok("ENABLE QRESYNC")
	c.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)")
	watcher.expect(`* 1 FETCH (UID 2 FLAGS (\Deleted) MODSEQ (7))`)
	c.ok("EXPUNGE")
	c.append("INBOX", "", message("4"))
	// A client that loses the connection now begins before the expunge when it is back.
	watcher.expect("* 3 EXISTS", "* 3 FETCH (UID 4)", "* OK [HIGHESTMODSEQ 7] Expunges are delayed")
	watcher.send("i IDLE\r\n")
	watcher.expect("+ idling", "* VANISHED 2")
	watcher.send("DONE\r\n")
	watcher.until("i")
	watcher.ok("ENABLE UIDONLY")
	watcher.ok("NOTIFY SET (SELECTED (MessageNew (FLAGS) MessageExpunge FlagChange))")
	c.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)")
	watcher.expect(`* 3 UIDFETCH (FLAGS (\Deleted) MODSEQ (10))`)
	c.ok("EXPUNGE")
	watcher.expect("* VANISHED 3")
	c.append("INBOX", "", message("5"))
	watcher.expect("* 2 EXISTS", "* 5 UIDFETCH (FLAGS () MODSEQ (12))")
}

// IDLE tells what NOTIFY asks for and nothing else, compressed, with names in UTF-8.
func TestNotifyInOtherStates(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	watcher, c := s.login(t), s.login(t)
	watcher.ok("ENABLE UTF8=ACCEPT")
	watcher.ok("SELECT INBOX")
	watcher.ok(watchAll)
	watcher.send("i IDLE\r\n")
	watcher.expect("+ idling")
	c.append("INBOX", "", message("not told"))
	c.ok("CREATE &AOk-")
	watcher.expect(`* LIST (\HasNoChildren) "/" "é"`)
	watcher.send("DONE\r\n")
	watcher.until("i")
	watcher.compress()
	c.append("&AOk-", "", message("new"))
	watcher.expect(`* STATUS "é" (MESSAGES 1 UIDNEXT 2 UNSEEN 1)`)
	watcher.silent()
	// Now INBOX is not selected any more, and the client knows nothing of the message there.
	watcher.expect("* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UNSEEN 1)")
	watcher.unauthenticate()
	watcher.ok("LOGIN %s %q", testUser, testPassword)
	c.append("INBOX", "", message("nobody hears"))
	if told, _ := watcher.ok("NOOP"); told != nil {
		t.Errorf("a new session was told %q", told)
	}
	watcher.ok("SELECT INBOX")
	c.append("INBOX", "", message("as without NOTIFY"))
	if told, _ := watcher.ok("NOOP"); !slices.Equal(told, []string{"* 3 EXISTS"}) {
		t.Errorf("a new session was told %q", told)
	}
}

// What the session did itself in another mailbox is not told, unless others did something, too.
func TestNotifyLeavesOutOwnChanges(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, func(o *Options) { o.PollInterval = time.Hour })
	s.notifyPause = time.Hour
	watcher, c := s.login(t), s.login(t)
	watcher.ok(watchAll)
	for _, command := range []string{
		"APPEND INBOX {1+}\r\nx", "SELECT INBOX", "COPY 1 Archive", "MOVE 1 Archive", "APPEND Archive {1+}\r\nx",
		"CREATE a/b", "RENAME a/b c", "SUBSCRIBE c", "UNSUBSCRIBE c", "DELETE c", "NOOP",
	} {
		told, _ := watcher.ok("%s", command)
		for _, line := range told {
			if strings.HasPrefix(line, "* STATUS") || strings.HasPrefix(line, "* LIST") {
				t.Errorf("%.12s told %q", command, line)
			}
		}
	}
	c.append("Archive", "", message("others"))
	watcher.append("Archive", "", message("own"))
	if told, _ := watcher.ok("NOOP"); told != nil {
		t.Errorf("told %q late", told)
	}
}

// After NOTIFY NONE a client is still told what its own commands removed, and what it needs to
// understand that.
func TestNotifyNoneTellsOwnExpunges(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	watcher, c := s.login(t), s.login(t)
	c.append("INBOX", "", message("1"))
	c.append("INBOX", "", message("2"))
	watcher.ok("SELECT INBOX")
	watcher.ok("NOTIFY NONE")
	watcher.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	if told, _ := watcher.ok("EXPUNGE"); !slices.Equal(told, []string{"* 1 EXPUNGE"}) {
		t.Errorf("told %q", told)
	}
	c.append("INBOX", "", message("3"))
	if told, _ := watcher.ok("NOOP"); told != nil {
		t.Errorf("NOOP told %q", told)
	}
	watcher.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	if told, _ := watcher.ok("EXPUNGE"); !slices.Equal(told, []string{"* 1 EXPUNGE", "* 1 EXISTS"}) {
		t.Errorf("told %q", told)
	}
}

// What another instance does whose events are lost is told without a command, after the time for which
// the session trusts what it knows.
func TestNotifyOfOtherInstance(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, func(o *Options) { o.PollInterval = 20 * time.Millisecond })
	s.notifyPause = time.Millisecond
	elsewhere := s.otherInstance(t)
	watcher := s.login(t)
	watcher.ok(watchAll)
	if _, err := elsewhere.CreateMailbox(t.Context(), s.user.ID, "new", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	watcher.expect(`* LIST (\HasNoChildren) "/" new`)
	if err := elsewhere.Subscribe(t.Context(), s.user.ID, "new", true); err != nil {
		t.Fatal(err)
	}
	watcher.expect(`* LIST (\Subscribed \HasNoChildren) "/" new`)
	s.deliverElsewhere(t)
	watcher.expect("* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UNSEEN 1)")
}

// A session looks again as long as the database shows less than an event told of, though no other
// event comes.
func TestNotifyOfEventAheadOfDatabase(t *testing.T) {
	t.Parallel()
	looks := make(chan struct{}, 1000)
	db := dbtest.Watched(t, &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		if e.CommandName == "find" {
			select {
			case looks <- struct{}{}:
			default:
			}
		}
	}})
	s := newTestServerOn(t, db, func(o *Options) { o.PollInterval = time.Hour })
	s.trustEvents, s.notifyPause = time.Hour, time.Millisecond
	watcher := s.login(t)
	watcher.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))")
	key := s.inbox(t).Key
	for len(looks) > 0 {
		<-looks
	}
	err := s.bus.Publish(t.Context(), events.Event{User: key.User(), Mailbox: key.Number(),
		Kind: events.Changed, ModSeq: 1_000})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the look that came too early, and one more
		<-looks
	}
	s.deliverElsewhere(t)
	watcher.expect("* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UNSEEN 1)")
}

// What a session could not tell within IDLE, since the database failed, it tells soon after.
func TestIdleLooksAgain(t *testing.T) {
	t.Parallel()
	set := dbtest.OpenReplicaSet(t, 1)
	s := newTestServerOn(t, set.Database(t), func(o *Options) { o.PollInterval = time.Hour })
	heard := make(chan string, 1000)
	s.errs.heard.Store(&heard)
	c, idle := s.login(t), s.login(t)
	idle.ok("ENABLE METADATA")
	idle.ok("SELECT INBOX")
	c.ok(`SETMETADATA INBOX (/private/comment "x")`)
	set.FailPoint(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"find"}},
		{Key: "errorCode", Value: 11601}, {Key: "namespace", Value: "test.metadata"}}) // Interrupted
	idle.send("i IDLE\r\n")
	idle.expect("+ idling")
	timeout := time.After(testWait)
	for line := ""; !strings.Contains(line, "could not look for changes"); {
		select {
		case line = <-heard:
		case <-timeout:
			t.Fatal("IDLE does not look")
		}
	}
	set.FailPoint(t, "off", nil)
	idle.expect("* METADATA INBOX /private/comment")
}

// Rights l and r decide of which mailboxes of others the client hears, as they are at the moment
// (RFC 5465 sections 3.1, 5 and 5.9).
func TestNotifyNeedsRights(t *testing.T) {
	t.Parallel()
	s := publicServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.ok("CREATE Team")
	team := account.OthersPrefix + testUser + "/Team"
	status := func(messages int) string {
		return fmt.Sprintf("* STATUS %q (MESSAGES %d UIDNEXT %d UNSEEN %[2]d)", team, messages, messages+1)
	}
	list := func(attrs string) string { return fmt.Sprintf(`* LIST (%s) "/" %q`, attrs, team) }
	var known string // how bob was told of the mailbox last
	messages := 0
	const events = "(MessageNew MessageExpunge FlagChange MailboxMetadataChange)"
	for _, tt := range []struct {
		rights string
		told   string // when the mailbox comes to these rights
		hears  bool
	}{
		{"lr", "", true}, {"l", `\NoAccess \HasNoChildren`, false}, {"lr", `\HasNoChildren`, true},
		{"r", `\NoAccess`, false}, {"lr", `\HasNoChildren`, true}, {"", `\NoAccess`, false},
		{"lrswipkxtea", `\HasNoChildren`, true},
	} {
		alice.ok("SETACL Team %s %q", other, tt.rights)
		if known == "" {
			bob.ok("NOTIFY SET (MAILBOXES (%q nowhere) %s)", team, events)
			known = "lr"
		} else {
			// Mail that came before is told with the UIDVALIDITY, when the mailbox can be read again.
			told, _ := bob.ok("NOOP")
			if len(told) == 0 || told[0] != list(tt.told) || (len(told) == 2) != tt.hears {
				t.Fatalf("with %q: told %q, want %q", tt.rights, told, list(tt.told))
			}
		}
		messages++
		alice.append("Team", "", message("new"))
		if tt.hears {
			bob.expect(status(messages))
		}
		alice.ok(`SETMETADATA Team (/shared/a "%d")`, messages)
		if tt.hears {
			bob.expect(fmt.Sprintf("* METADATA %q /shared/a", team))
		} else if told, _ := bob.ok("NOOP"); told != nil {
			t.Errorf("with %q: told %q", tt.rights, told)
		}
	}
	// With MailboxName, a right l that comes and goes makes a mailbox come and go.
	bob.ok("NOTIFY SET (SUBTREE %q (MailboxName))", strings.TrimSuffix(account.OthersPrefix, "/"))
	alice.ok("DELETEACL Team %s", other)
	bob.expect(list(`\NonExistent`), fmt.Sprintf(`* LIST (\NonExistent) "/" %q`, account.OthersPrefix+testUser))
	alice.ok("SETACL Team %s l", other)
	bob.expect(list(`\NoAccess \HasNoChildren`),
		fmt.Sprintf(`* LIST (\NonExistent \HasChildren) "/" %q`, account.OthersPrefix+testUser))
	alice.ok("SETACL Team %s lr", other)
	bob.expect(list(`\HasNoChildren`))
	alice.ok("RENAME Team Group")
	bob.expect(fmt.Sprintf(`* LIST (\HasNoChildren) "/" %q ("OLDNAME" (%q))`,
		account.OthersPrefix+testUser+"/Group", team))
	// One that cannot be read is told so at once, and another not at all.
	alice.ok("SETACL Group %s l", other)
	bob.ok("NOTIFY NONE")
	told, _ := bob.ok("NOTIFY SET STATUS (MAILBOXES (%q %q) (MessageNew MessageExpunge))",
		account.OthersPrefix+testUser+"/Group", account.OthersPrefix+testUser+"/INBOX")
	want := []string{fmt.Sprintf(`* LIST (\NoAccess \HasNoChildren) "/" %q`, account.OthersPrefix+testUser+"/Group")}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// A client that is to be told too much, or reads too slowly, is told so, and nothing more.
func TestNotifyOverflow(t *testing.T) {
	t.Parallel()
	const overflow = "* OK [NOTIFICATIONOVERFLOW] "
	for _, tt := range []struct {
		name   string
		bound  func(s *testServer)
		notify string
		change func(c *testClient)
	}{
		{"mailboxes", func(s *testServer) { s.notifyMailboxes = 6 }, watchAll,
			func(c *testClient) { c.ok("CREATE one-too-many") }},
		{"names", func(s *testServer) { s.notifyResponses = 1 }, watchAll,
			func(c *testClient) { c.ok("CREATE a/b") }},
		{"messages", func(s *testServer) { s.notifyResponses = 1 },
			"NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))",
			func(c *testClient) { c.ok("APPEND INBOX {1+}\r\nx {1+}\r\ny") }},
		{"slow", func(s *testServer) { s.notifyPatience = -time.Hour },
			"NOTIFY SET (SELECTED (MessageNew MessageExpunge))",
			func(*testClient) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestServer(t)
			watcher, c := s.login(t), s.login(t)
			watcher.ok("SELECT INBOX")
			c.ok("UNSUBSCRIBE Junk")
			tt.bound(s)
			watcher.ok("%s", tt.notify)
			tt.change(c)
			for line := watcher.line(); !strings.HasPrefix(line, overflow); line = watcher.line() {
				if strings.HasPrefix(line, "* OK") {
					t.Fatal(line)
				}
			}
			c.append("INBOX", "", message("not told"))
			c.ok("CREATE not-told")
			if told, _ := watcher.ok("NOOP"); told != nil {
				t.Errorf("told %q", told)
			}
		})
	}
	s := newTestServer(t)
	s.notifyMailboxes = 5
	c := s.login(t)
	c.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
	c.refused("NO [NOTIFICATIONOVERFLOW]", watchAll)
	c.ok("SELECT INBOX")
	s.login(t).append("INBOX", "", message("what was asked before holds"))
	c.expect("* 1 EXISTS")
}

// Whatever others do, here and on another instance whose events are lost, the client knows in the end
// what a fresh LIST and STATUS tell.
func TestNotifyEndsWithTheTruth(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	s.notifyPause = time.Millisecond
	elsewhere := s.otherInstance(t)
	watcher, c := s.login(t), s.login(t)
	known := make(map[string]string)
	told := func(lines []string) {
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(line, "* STATUS "); ok {
				name, items, _ := strings.Cut(rest, " ")
				for pair := range slices.Chunk(strings.Fields(strings.Trim(items, "()")), 2) {
					known[name+" "+pair[0]] = pair[1]
				}
			} else if rest, ok := strings.CutPrefix(line, "* LIST "); ok {
				attrs, name, _ := strings.Cut(rest, ` "/" `)
				name, old, renamed := strings.Cut(name, ` ("OLDNAME" (`)
				old = strings.TrimSuffix(old, "))")
				gone := strings.Contains(attrs, `\NonExistent`)
				moved := make(map[string]string)
				for key, value := range known {
					box, item, _ := strings.Cut(key, " ")
					below, isBelow := strings.CutPrefix(box, old+"/")
					switch {
					case renamed && box == old:
						moved[name+" "+item] = value
						delete(known, key)
					case renamed && isBelow && old != "INBOX":
						moved[name+"/"+below+" "+item] = value
						delete(known, key)
					case gone && box == name:
						delete(known, key)
					}
				}
				maps.Copy(known, moved)
				if _, there := known[name+" MESSAGES"]; !gone && !there {
					// The client has to ask; a STATUS with all items comes if there is mail.
					known[name+" MESSAGES"], known[name+" UIDNEXT"], known[name+" UNSEEN"] = "0", "1", "0"
				}
			} else if !strings.HasPrefix(line, "* OK ") {
				t.Errorf("told %q", line)
			}
		}
	}
	watcher.ok("ENABLE CONDSTORE")
	first, _ := watcher.ok("%s", strings.Replace(watchAll, "SET", "SET STATUS", 1))
	told(first)
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string { return []string{"a", "a/b", "a/b/c", "d", "INBOX", "Archive"}[random.IntN(6)] }
	for round := range 60 {
		for range 1 + random.IntN(4) {
			box := name()
			switch random.IntN(8) {
			case 0:
				c.do("CREATE %s", box)
			case 1:
				c.do("DELETE %s", box)
			case 2:
				c.do("RENAME %s %s", box, name())
			case 3:
				c.do("APPEND %s {1+}\r\nx", box)
			case 4, 5:
				if _, status := c.do("SELECT %s", box); strings.HasPrefix(status, "OK") {
					c.do("STORE 1 %sFLAGS (\\Seen)", []string{"+", "-"}[random.IntN(2)])
					c.do("UNSELECT")
				}
			case 6:
				if _, status := c.do("SELECT %s", box); strings.HasPrefix(status, "OK") {
					c.do("STORE 1 +FLAGS (\\Deleted)")
					c.do("CLOSE")
				}
			case 7:
				if box, err := elsewhere.MailboxByPath(t.Context(), s.user.ID, box); err == nil {
					// INBOX and a mailbox with others below cannot go.
					_ = elsewhere.DeleteMailbox(t.Context(), s.user.ID, box.Path)
				}
			}
		}
		lines, _ := watcher.ok("NOOP")
		told(lines)
		fresh := make(map[string]string)
		list, _ := c.ok(`LIST "" * RETURN (STATUS (MESSAGES UIDNEXT UNSEEN UIDVALIDITY HIGHESTMODSEQ))`)
		for _, line := range list {
			if rest, ok := strings.CutPrefix(line, "* STATUS "); ok {
				name, items, _ := strings.Cut(rest, " ")
				for pair := range slices.Chunk(strings.Fields(strings.Trim(items, "()")), 2) {
					fresh[name+" "+pair[0]] = pair[1]
				}
			}
		}
		for key := range fresh { // of an empty new mailbox the client has to ask for it
			_, there := known[key]
			if !there && (strings.HasSuffix(key, " UIDVALIDITY") || strings.HasSuffix(key, " HIGHESTMODSEQ")) {
				delete(fresh, key)
			}
		}
		if diff := cmp.Diff(fresh, known); diff != "" {
			t.Fatalf("round %d (-fresh +known)\n%s", round, diff)
		}
	}
}

// FuzzParseNotify: whatever the arguments are, the parser ends, and what it lets through is within the
// bounds and follows the rules of RFC 5465 section 5.
func FuzzParseNotify(f *testing.F) {
	for _, seed := range []string{
		"NONE", "SET STATUS (selected (MessageNew (uid body.peek[header.fields (from to)]<0.5>) MessageExpunge))",
		"SET (mailboxes (a {1+}\r\nb) (MessageNew MessageExpunge FlagChange)) (subtree \"c\" NONE) " +
			"(inboxes (MailboxName))",
		"SET (personal (SubscriptionChange ServerMetadataChange AnnotationChange)) (subscribed (x-foo))",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		dec := wire.NewDecoder(strings.NewReader(" " + args + "\r\n"))
		if dec.Start() != nil {
			return // an end in the middle
		}
		req, err := parseNotify(dec)
		if err != nil {
			return
		}
		groups := append(slices.Clone(req.groups), eventGroup{events: req.selected.events})
		names := 0
		for _, g := range groups {
			names += len(g.mailboxes.names)
			of := g.events & messageEvents
			if of != 0 && of&^eventFlagChange != eventMessageNew|eventMessageExpunge {
				t.Errorf("events %b", g.events)
			}
			for name := range g.mailboxes.names {
				if n, err := mailstore.NormalizePath(name); err != nil || n != name {
					t.Errorf("name %q", name)
				}
			}
		}
		if names > maxNotifyNames || len(req.groups) > maxNotifyGroups || req.selected.events&^messageEvents != 0 ||
			req.selected.fetch != nil && req.selected.events == 0 {
			t.Errorf("%q was let through", args)
		}
	})
}
