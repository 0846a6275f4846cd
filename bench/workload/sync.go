package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// syncCalls are those of a repeat.
const syncCalls = 500

// What changes before a visit after a long time: one of changedEvery messages gets a flag, one of
// goneEvery is expunged, and one of newEvery is there once more, as a new one.
const changedEvery, goneEvery, newEvery = 20, 25, 50

// What changes after that, before a visit after a short time, however many messages there are: ten.
const fewChanged, fewGone, fewNew = 4, 3, 3

// forwarded is the keyword that marks them: the folder's messages do not have it.
const forwarded = "$Forwarded"

// returns are visits of a client that has seen the mailbox before: it selects the mailbox and asks
// for what has changed since. Each visit begins with what the client knew then, so each has the same
// answer.
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
	uidValidity string
	flags       map[int]string // of all messages that are there now, by UID
	last        int            // the greatest UID of now and of before
	long, short absence
}

// absence is what the client knew when it left, and what it has to hear when it is back.
type absence struct {
	modSeq  string
	known   map[int]string // flags by UID
	changed map[int]string // flags of the messages that have changed or are new
	gone    map[int]bool   // UIDs that were known and are expunged
}

func longAbsence(u *returned) *absence  { return &u.long }
func shortAbsence(u *returned) *absence { return &u.short }

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
		steps = append(steps, r.step("condstore", false, r.changedSince(longAbsence)),
			r.step("condstore ten", false, r.changedSince(shortAbsence)))
	}
	if qResync {
		steps = append(steps, r.step("qresync", true, r.resync(longAbsence)),
			r.step("qresync ten", true, r.resync(shortAbsence)))
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

// returning is a visit; octets is what the client reads.
type returning func(c *session, u *returned) (octets int64, err error)

// step has visits by a session that stays logged in.
func (r *returns) step(name string, qResync bool, visit returning) step {
	return step{name: name, calls: r.s.callsOf(syncCalls), warm: int64(r.s.Connections),
		op: func(ctx context.Context, worker int, _ int64) (octets int64, err error) {
			err = r.pools[qResync].do(ctx, worker, func(c *session) error {
				octets, err = visit(c, &r.users[r.s.user(worker)])
				return err
			})
			return octets, err
		}}
}

// prepare makes the mailbox of a user with copies of the folder, and makes the changes. It notes what
// a client knows before all of them, and before the last ten.
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
	if _, err := c.Must("SELECT %q", r.f.name); err != nil {
		return err
	}
	if _, err := c.Must("COPY 1:* %q", r.mailbox); err != nil {
		return err
	}
	u := &r.users[user]
	if err := r.leave(c, u, &u.long, condStore); err != nil {
		return err
	}
	var changed, gone, again []int
	for seq := 1; seq <= len(u.long.known); seq++ {
		switch {
		case seq%goneEvery == 0:
			gone = append(gone, seq)
		case seq%changedEvery == 1:
			changed = append(changed, seq)
		case seq%newEvery == 2:
			again = append(again, seq)
		}
	}
	if err := r.change(c, changed, flagged, again, gone); err != nil {
		return err
	}
	if err := r.leave(c, u, &u.short, condStore); err != nil {
		return err
	}
	if err := u.long.compare(u.short.known, changed, again, gone); err != nil {
		return err
	}
	// The places of the few are spread over the mailbox, each its own.
	var places []int
	for i := range fewChanged + fewNew + fewGone {
		place := 1 + i*len(u.short.known)/(fewChanged+fewNew+fewGone)
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	few := func(n int) (taken []int) {
		n = min(n, len(places))
		taken, places = places[:n], places[n:]
		return taken
	}
	changed, again, gone = few(fewChanged), few(fewNew), few(fewGone)
	if err := r.change(c, changed, forwarded, again, gone); err != nil {
		return err
	}
	if u.flags, err = flagsByUID(c); err != nil {
		return err
	}
	if err := u.short.compare(u.flags, changed, again, gone); err != nil {
		return err
	}
	u.long.differ(u.flags)
	for _, uids := range []map[int]string{u.long.known, u.short.known, u.flags} {
		for uid := range uids {
			u.last = max(u.last, uid)
		}
	}
	return nil
}

// leave notes what a client knows that has the mailbox open now.
func (r *returns) leave(c *session, u *returned, a *absence, condStore bool) error {
	param := ""
	if condStore {
		param = " (CONDSTORE)"
	}
	untagged, err := c.Must("SELECT %q%s", r.mailbox, param)
	if err != nil {
		return err
	}
	u.uidValidity, a.modSeq = code(untagged, "UIDVALIDITY"), code(untagged, "HIGHESTMODSEQ")
	if u.uidValidity == "" || condStore && a.modSeq == "" {
		return wrong("SELECT tells UIDVALIDITY %q and HIGHESTMODSEQ %q", u.uidValidity, a.modSeq)
	}
	a.known, err = flagsByUID(c)
	return err
}

// change gives messages a flag, copies others into the same mailbox, and expunges the last ones, all
// by their sequence numbers.
func (r *returns) change(c *session, changed []int, flag string, again, gone []int) error {
	for _, change := range []struct {
		seqs   []int
		format string
	}{
		{changed, "STORE %s +FLAGS.SILENT (" + flag + ")"},
		{again, fmt.Sprintf("COPY %%s %q", r.mailbox)},
		{gone, "STORE %s +FLAGS.SILENT (" + deleted + ")"},
	} {
		if len(change.seqs) == 0 {
			continue
		}
		seqs := make([]string, len(change.seqs))
		for i, seq := range change.seqs {
			seqs[i] = strconv.Itoa(seq)
		}
		if _, err := c.Must(change.format, strings.Join(seqs, ",")); err != nil {
			return err
		}
	}
	_, err := c.Must("EXPUNGE")
	return err
}

// compare is differ, and an error unless as many messages differ as were changed, copied and expunged.
func (a *absence) compare(now map[int]string, changed, again, gone []int) error {
	a.differ(now)
	if len(a.gone) != len(gone) || len(a.changed) != len(changed)+len(again) ||
		len(now) != len(a.known)-len(gone)+len(again) {
		return wrong("%d messages are gone of %d, %d have changed or are new of %d", len(a.gone), len(gone),
			len(a.changed), len(changed)+len(again))
	}
	return nil
}

// differ notes how the messages that are there now differ from those that were known.
func (a *absence) differ(now map[int]string) {
	a.changed, a.gone = make(map[int]string), make(map[int]bool)
	for uid, flags := range now {
		if before, ok := a.known[uid]; !ok || before != flags {
			a.changed[uid] = flags
		}
	}
	for uid := range a.known {
		if _, ok := now[uid]; !ok {
			a.gone[uid] = true
		}
	}
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
func (r *returns) changedSince(since func(*returned) *absence) returning {
	return func(c *session, u *returned) (int64, error) { return r.fetchChanged(c, u, since(u)) }
}

func (r *returns) fetchChanged(c *session, u *returned, a *absence) (int64, error) {
	begun := c.Received
	untagged, err := c.Must("SELECT %q (CONDSTORE)", r.mailbox)
	if err != nil {
		return 0, err
	}
	if v := code(untagged, "UIDVALIDITY"); v != u.uidValidity || code(untagged, "HIGHESTMODSEQ") == "" {
		return 0, wrong("SELECT: %s", shown(strings.Join(untagged, "\n")))
	}
	got := make(map[int]string)
	err = fetchEach(c, fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %s)", a.modSeq), func(f *fetched) error {
		if _, ok := f.get("MODSEQ"); !ok {
			return wrong("message %d has no MODSEQ", f.seq)
		}
		return note(got, f)
	})
	if err != nil {
		return 0, err
	}
	if !maps.Equal(got, a.changed) {
		return 0, wrong("%d messages of %d have changed, or others", len(got), len(a.changed))
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
func (r *returns) resync(since func(*returned) *absence) returning {
	return func(c *session, u *returned) (int64, error) { return r.selectChanged(c, u, since(u)) }
}

func (r *returns) selectChanged(c *session, u *returned, a *absence) (int64, error) {
	begun := c.Received
	untagged, err := c.Must("SELECT %q (QRESYNC (%s %s))", r.mailbox, u.uidValidity, a.modSeq)
	if err != nil {
		return 0, err
	}
	got, gone := make(map[int]string), make(map[int]bool)
	for _, line := range untagged {
		if set, ok := strings.CutPrefix(line, "* VANISHED (EARLIER) "); ok {
			if err := vanished(set, u, a, gone); err != nil {
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
	if !maps.Equal(got, a.changed) || !maps.Equal(gone, a.gone) {
		return 0, wrong("SELECT tells of %d changes of %d and of %d messages gone of %d, or of others",
			len(got), len(a.changed), len(gone), len(a.gone))
	}
	return c.Received - begun, nil
}

// vanished notes which of the messages that the client knew are in a set of UIDs. The set may have
// others.
func vanished(set string, u *returned, a *absence, gone map[int]bool) error {
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
		// UIDs between those of the mailbox are few, and those behind its last one may be billions.
		for uid := max(1, min(first, last)); uid <= min(max(first, last), u.last); uid++ {
			if _, there := u.flags[uid]; there {
				return wrong("UID %d has not vanished", uid)
			}
			if _, known := a.known[uid]; known {
				gone[uid] = true
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
