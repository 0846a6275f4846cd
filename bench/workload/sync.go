package workload

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// syncCalls are those of a repeat.
const syncCalls = 500

// What changes between two visits: one of changedEvery messages gets a flag, one of goneEvery is
// expunged, and one of newEvery is there once more, as a new one.
const changedEvery, goneEvery, newEvery = 20, 25, 50

// returns are visits of a client that has seen the mailbox before: it selects the mailbox and asks
// for what has changed since. Each visit begins with what the client knew before all changes, so
// each has the same answer.
type returns struct {
	s       *suite
	f       *folder
	mailbox string
	made    int            // users whose mailbox there is
	users   []returned     // by user
	pools   map[bool]*pool // by whether ENABLE QRESYNC was sent
}

// returned is the mailbox of a user.
type returned struct {
	uidValidity, modSeq string         // as the client knew them
	flags               map[int]string // of all messages that are there now, by UID
	changed             map[int]string // of those among them that have changed or are new
	known               map[int]bool   // UIDs that the client knew
	gone                map[int]bool   // those of them that are expunged
}

// openSync has steps of CONDSTORE and QRESYNC for servers that have them (RFC 7162).
func openSync(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	condStore, err := s.can(ctx, "CONDSTORE")
	if err != nil {
		return nil, err
	}
	qResync, err := s.can(ctx, "QRESYNC")
	if err != nil {
		return nil, err
	}
	r := &returns{s: s, f: f, mailbox: "bench-sync-" + s.Options.Run,
		users: make([]returned, s.Users), pools: make(map[bool]*pool)}
	steps := []step{r.step("flags", false, r.all)}
	if condStore {
		steps = append(steps, r.step("condstore", false, r.changedSince))
	}
	if qResync {
		steps = append(steps, r.step("qresync", true, r.resync))
	}
	steps[len(steps)-1].close = func() { r.close(ctx) }
	for user := range s.Users {
		if err := r.prepare(ctx, user, condStore); err != nil {
			return steps, err
		}
	}
	if r.pools[false], err = s.openPool(ctx, ""); err != nil || !qResync {
		return steps, err
	}
	r.pools[true], err = s.openPoolOf(ctx, s.Connections, enableQResync)
	return steps, err
}

func enableQResync(c *session, _ int) error {
	untagged, err := c.Must("ENABLE QRESYNC")
	if err == nil && !strings.Contains(strings.Join(untagged, "\n"), "QRESYNC") {
		err = wrong("ENABLE QRESYNC: %s", shown(strings.Join(untagged, "\n")))
	}
	return err
}

// step has visits by a session that stays logged in.
func (r *returns) step(name string, qResync bool,
	visit func(c *session, u *returned) (octets int64, err error)) step {
	return step{name: name, calls: r.s.callsOf(syncCalls), warm: int64(r.s.Connections),
		op: func(ctx context.Context, worker int, _ int64) (octets int64, err error) {
			err = r.pools[qResync].do(ctx, worker, func(c *session) error {
				octets, err = visit(c, &r.users[r.s.user(worker)])
				return err
			})
			return octets, err
		}}
}

// prepare makes the mailbox of a user with copies of the folder, notes what a client knows then, and
// makes the changes.
func (r *returns) prepare(ctx context.Context, user int, condStore bool) error {
	c, err := r.s.connect(ctx, user)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.Must("CREATE %q", r.mailbox); err != nil {
		return err
	}
	r.made++
	u := &r.users[user]
	commands := []string{fmt.Sprintf("SELECT %q", r.f.name), fmt.Sprintf("COPY 1:* %q", r.mailbox),
		fmt.Sprintf("SELECT %q", r.mailbox)}
	if condStore {
		commands[2] += " (CONDSTORE)"
	}
	for _, command := range commands {
		untagged, err := c.Must("%s", command)
		if err != nil {
			return err
		}
		u.uidValidity = code(untagged, "UIDVALIDITY")
		u.modSeq = code(untagged, "HIGHESTMODSEQ")
	}
	if u.uidValidity == "" || condStore && u.modSeq == "" {
		return wrong("SELECT tells UIDVALIDITY %q and HIGHESTMODSEQ %q", u.uidValidity, u.modSeq)
	}
	before, err := flagsByUID(c)
	if err != nil {
		return err
	}
	u.known, u.gone = make(map[int]bool), make(map[int]bool)
	for uid := range before {
		u.known[uid] = true
	}
	var changed, gone, again []string
	for seq := 1; seq <= len(r.f.expected); seq++ {
		switch {
		case seq%goneEvery == 0:
			gone = append(gone, strconv.Itoa(seq))
		case seq%changedEvery == 1:
			changed = append(changed, strconv.Itoa(seq))
		case seq%newEvery == 2:
			again = append(again, strconv.Itoa(seq))
		}
	}
	for _, change := range []struct {
		seqs   []string
		format string
	}{
		{changed, "STORE %s +FLAGS.SILENT (" + flagged + ")"},
		{again, fmt.Sprintf("COPY %%s %q", r.mailbox)},
		{gone, "STORE %s +FLAGS.SILENT (" + deleted + ")"},
	} {
		if len(change.seqs) == 0 {
			continue
		}
		if _, err := c.Must(change.format, strings.Join(change.seqs, ",")); err != nil {
			return err
		}
	}
	if _, err := c.Must("EXPUNGE"); err != nil {
		return err
	}
	if u.flags, err = flagsByUID(c); err != nil {
		return err
	}
	u.changed = make(map[int]string)
	for uid, flags := range u.flags {
		if flags != before[uid] {
			u.changed[uid] = flags // also that of a new one: before has none
		}
		if !u.known[uid] {
			u.changed[uid] = flags
		}
	}
	for uid := range u.known {
		if _, ok := u.flags[uid]; !ok {
			u.gone[uid] = true
		}
	}
	if len(u.gone) != len(gone) || len(u.changed) != len(changed)+len(again) ||
		len(u.flags) != len(u.known)-len(gone)+len(again) {
		return wrong("%d messages are gone of %d, %d have changed or are new of %d", len(u.gone), len(gone),
			len(u.changed), len(changed)+len(again))
	}
	return nil
}

// code is the number of a response code in untagged OK responses; empty if there is none.
func code(untagged []string, name string) string {
	for _, line := range untagged {
		if rest, ok := strings.CutPrefix(line, "* OK ["+name+" "); ok {
			number, _, _ := strings.Cut(rest, "]")
			return number
		}
	}
	return ""
}

// flagsByUID reads the flags of all messages of the mailbox that is selected.
func flagsByUID(c *session) (map[int]string, error) {
	all := make(map[int]string)
	err := fetchEach(c, "UID FETCH 1:* (FLAGS)", func(f *fetched) error { return note(all, f) })
	return all, err
}

// note notes the flags of a response that has UID and FLAGS.
func note(all map[int]string, f *fetched) error {
	text, _ := f.get("UID")
	flags, ok := f.get("FLAGS")
	uid, err := strconv.Atoi(text)
	if err != nil || !ok {
		return wrong("message %d has UID %q and flags %q", f.seq, text, flags)
	}
	if _, twice := all[uid]; twice {
		return wrong("UID %d comes twice", uid)
	}
	all[uid] = flagSet(flags)
	return nil
}

// all is a visit without extensions: the client reads all flags.
func (r *returns) all(c *session, u *returned) (int64, error) {
	selected, err := open(c, "SELECT", r.mailbox)
	if err != nil {
		return 0, err
	}
	if selected.uidValidity != u.uidValidity || selected.exists != len(u.flags) {
		return 0, wrong("SELECT tells %+v of %d messages", selected, len(u.flags))
	}
	begun := c.Received
	got, err := flagsByUID(c)
	if err == nil && !maps.Equal(got, u.flags) {
		err = wrong("%d flags of %d messages, or others", len(got), len(u.flags))
	}
	return c.Received - begun, err
}

// changedSince is a visit with CONDSTORE: the client reads what has changed, and finds by a SEARCH
// what is gone.
func (r *returns) changedSince(c *session, u *returned) (int64, error) {
	begun := c.Received
	untagged, err := c.Must("SELECT %q (CONDSTORE)", r.mailbox)
	if err != nil {
		return 0, err
	}
	if v := code(untagged, "UIDVALIDITY"); v != u.uidValidity || code(untagged, "HIGHESTMODSEQ") == "" {
		return 0, wrong("SELECT: %s", shown(strings.Join(untagged, "\n")))
	}
	got := make(map[int]string)
	err = fetchEach(c, fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %s)", u.modSeq), func(f *fetched) error {
		if _, ok := f.get("MODSEQ"); !ok {
			return wrong("message %d has no MODSEQ", f.seq)
		}
		return note(got, f)
	})
	if err != nil {
		return 0, err
	}
	if !maps.Equal(got, u.changed) {
		return 0, wrong("%d messages of %d have changed, or others", len(got), len(u.changed))
	}
	left, err := listed(c, "SEARCH", "UID SEARCH ALL")
	if err != nil {
		return 0, err
	}
	if len(left) != len(u.flags) {
		return 0, wrong("UID SEARCH ALL finds %d messages of %d", len(left), len(u.flags))
	}
	for _, uid := range left {
		if _, ok := u.flags[uid]; !ok {
			return 0, wrong("UID SEARCH ALL finds UID %d, which is none", uid)
		}
	}
	return c.Received - begun, nil
}

// resync is a visit with QRESYNC: SELECT tells all (RFC 7162 section 3.2.5).
func (r *returns) resync(c *session, u *returned) (int64, error) {
	begun := c.Received
	untagged, err := c.Must("SELECT %q (QRESYNC (%s %s))", r.mailbox, u.uidValidity, u.modSeq)
	if err != nil {
		return 0, err
	}
	got, gone := make(map[int]string), make(map[int]bool)
	for _, line := range untagged {
		if set, ok := strings.CutPrefix(line, "* VANISHED (EARLIER) "); ok {
			if err := vanished(set, u, gone); err != nil {
				return 0, err
			}
			continue
		}
		f, ok, err := parseFetch(line)
		if err != nil {
			return 0, wrong("%v: %s", err, shown(line))
		}
		if ok {
			if err := note(got, f); err != nil {
				return 0, err
			}
		}
	}
	if !maps.Equal(got, u.changed) || !maps.Equal(gone, u.gone) {
		return 0, wrong("SELECT tells of %d changes of %d and of %d messages gone of %d, or of others",
			len(got), len(u.changed), len(gone), len(u.gone))
	}
	return c.Received - begun, nil
}

// vanished notes which of the messages that the client knew are in a set of UIDs. The set may have
// others.
func vanished(set string, u *returned, gone map[int]bool) error {
	for part := range strings.SplitSeq(set, ",") {
		from, to, ranged := strings.Cut(part, ":")
		if !ranged {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return wrong("VANISHED %s", shown(set))
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return wrong("VANISHED %s", shown(set))
		}
		for uid := range u.known {
			if uid >= min(first, last) && uid <= max(first, last) {
				gone[uid] = true
			}
		}
		for uid := range u.flags {
			if uid >= min(first, last) && uid <= max(first, last) {
				return wrong("UID %d has not vanished", uid)
			}
		}
	}
	return nil
}

// close deletes the mailboxes, also after the end of ctx, as far as the server lets it.
func (r *returns) close(ctx context.Context) {
	for _, p := range r.pools {
		if p != nil {
			p.close()
		}
	}
	r.s.deleteBoxes(ctx, r.mailbox, r.made)
}
