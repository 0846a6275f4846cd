package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// list looks for the mailbox among all.
func (v *visit) list(c *session) (int64, error) {
	untagged, err := v.must(c, `LIST "" "*"`)
	if err != nil {
		return 0, err
	}
	for _, line := range untagged {
		if rest, ok := strings.CutPrefix(line, "* LIST "); ok {
			if name := rest[strings.LastIndexByte(rest, ' ')+1:]; strings.Trim(name, `"`) == v.box() {
				return 0, nil
			}
		}
	}
	return 0, wrong("LIST does not tell of %s", v.box())
}

func (v *visit) status(c *session) (int64, error) {
	unseen, last := 0, 0
	for _, m := range v.mails {
		if !slices.Contains(m.flags, `\Seen`) {
			unseen++
		}
		last = max(last, m.uid)
	}
	untagged, err := v.must(c, "STATUS %q (MESSAGES UIDNEXT UNSEEN)", v.box())
	if err != nil {
		return 0, err
	}
	return 0, checkStatus(fmt.Sprint(untagged), map[string]int{"MESSAGES": len(v.mails), "UNSEEN": unseen}, last)
}

func (v *visit) selects(c *session) (int64, error) {
	selected, err := open(c, "SELECT", v.box())
	if err != nil {
		return 0, err
	}
	if v.view = selected.exists; v.view != len(v.mails) {
		return 0, wrong("SELECT tells of %d messages of %d", v.view, len(v.mails))
	}
	return 0, nil
}

// some chooses messages in succession, of those that the session knows of: at least one.
func (v *visit) some() (first, last int) {
	first = 1 + v.random.IntN(v.view)
	return first, first + v.random.IntN(v.view-first+1)
}

// fetch reads what a list of messages shows.
func (v *visit) fetch(c *session) (int64, error) {
	first, last := v.some()
	return v.fetched(c, first, last, "(UID FLAGS RFC822.SIZE ENVELOPE)", func(f *fetched) (bool, error) {
		_, ok := f.get("ENVELOPE")
		return ok, nil
	})
}

// body reads a message.
func (v *visit) body(c *session) (int64, error) {
	seq := 1 + v.random.IntN(v.view)
	return v.fetched(c, seq, seq, "BODY.PEEK[]", func(f *fetched) (bool, error) {
		got, ok := f.get("BODY[]")
		if !ok {
			return false, nil
		}
		want, err := v.spool.read(v.mails[seq-1].mail)
		if err == nil && got != string(want) {
			err = wrong("message %d: %s", seq, shown(got))
		}
		return true, err
	})
}

// fetched sends a FETCH and compares all that its answer tells with what is known. is says whether a
// response is the answer for a message, rather than one about its flags alone.
func (v *visit) fetched(c *session, first, last int, items string,
	is func(*fetched) (bool, error)) (octets int64, err error) {
	untagged, err := v.must(c, "FETCH %d:%d %s", first, last, items)
	if err != nil {
		return 0, err
	}
	seen := 0
	for _, line := range untagged {
		octets += int64(len(line))
		f, ok, err := parseFetch(line)
		if err != nil {
			return 0, wrong("%v: %s", err, shown(line))
		}
		if !ok {
			continue
		}
		if f.seq < first || f.seq > last {
			return 0, wrong("FETCH %d:%d is answered with message %d", first, last, f.seq)
		}
		answer, err := is(f)
		if err != nil {
			return 0, err
		}
		if answer {
			seen++
		}
		if err := v.known(f); err != nil {
			return 0, err
		}
	}
	if seen != last-first+1 {
		return 0, wrong("FETCH %d:%d has %d answers", first, last, seen)
	}
	return octets, nil
}

// known compares what a response tells of a message with what is known of it.
func (v *visit) known(f *fetched) error {
	m := &v.mails[f.seq-1]
	if text, ok := f.get("UID"); ok {
		uid, err := strconv.Atoi(text)
		if err != nil || m.uid != 0 && m.uid != uid || f.seq > 1 && uid <= v.mails[f.seq-2].uid {
			return wrong("message %d has UID %q, and had %d", f.seq, text, m.uid)
		}
		m.uid = uid
	}
	if size, ok := f.get("RFC822.SIZE"); ok && size != strconv.Itoa(v.spool.mails[m.mail].size) {
		return wrong("message %d has size %s", f.seq, size)
	}
	if flags, ok := f.get("FLAGS"); ok && flagSet(flags) != m.flagSet() {
		return wrong("message %d has flags %s, and should have %s", f.seq, flags, m.flagSet())
	}
	return nil
}

func (m *churned) flagSet() string {
	flags := slices.Clone(m.flags)
	if m.deleted {
		flags = append(flags, deleted)
	}
	return flagSet(strings.Join(flags, " "))
}

// copies copies a message into the mailbox in which it is.
func (v *visit) copies(c *session) (int64, error) {
	at := v.random.IntN(v.view)
	m := v.mails[at]
	m.uid, m.flags = 0, slices.Clone(m.flags)
	v.mails = append(v.mails, m)
	_, err := v.must(c, "COPY %d %q", at+1, v.box())
	return 0, err
}

// store sets or takes a flag of some messages.
func (v *visit) store(c *session) (int64, error) {
	first, last := v.some()
	flag := []string{`\Seen`, `\Flagged`, `\Answered`, `\Draft`}[v.random.IntN(4)]
	set := v.random.IntN(2) == 0
	sign := "-"
	if set {
		sign = "+"
	}
	changed := make(map[int]bool) // those that the answer must tell of
	for seq := first; seq <= last; seq++ {
		m := &v.mails[seq-1]
		if has := slices.Index(m.flags, flag); has < 0 && set {
			m.flags = append(m.flags, flag)
			changed[seq] = true
		} else if has >= 0 && !set {
			m.flags = slices.Delete(m.flags, has, has+1)
			changed[seq] = true
		}
	}
	untagged, err := v.must(c, "STORE %d:%d %sFLAGS (%s)", first, last, sign, flag)
	if err != nil {
		return 0, err
	}
	for _, line := range untagged {
		f, ok, err := parseFetch(line)
		if err != nil || ok && (f.seq < 1 || f.seq > v.view) {
			return 0, wrong("answer to STORE: %s", shown(line))
		}
		if ok {
			if err := v.known(f); err != nil {
				return 0, err
			}
			delete(changed, f.seq)
		}
	}
	if len(changed) > 0 {
		return 0, wrong("the answer to %s%s does not tell of %d messages", sign, flag, len(changed))
	}
	return 0, nil
}

// deletes marks a message, or as many as the mailbox has too many.
func (v *visit) deletes(c *session) (int64, error) {
	n := min(max(1, v.view-churnMessages), v.view-1)
	if n < 1 {
		return 0, nil // so that there is one to read
	}
	first := 1 + v.random.IntN(v.view-n+1)
	for seq := first; seq < first+n; seq++ {
		v.mails[seq-1].deleted = true
	}
	_, err := v.must(c, "STORE %d:%d +FLAGS.SILENT (%s)", first, first+n-1, deleted)
	return 0, err
}

func (v *visit) expunge(c *session) (int64, error) {
	if _, err := v.must(c, "EXPUNGE"); err != nil {
		return 0, err
	}
	for seq, m := range v.mails[:v.view] {
		if m.deleted {
			return 0, wrong("message %d has %s after EXPUNGE", seq+1, deleted)
		}
	}
	return 0, nil
}

// appends stores a mail, seen or not.
func (v *visit) appends(c *session) (int64, error) {
	m := churned{mail: v.random.IntN(len(v.spool.mails))}
	options := ""
	if v.random.IntN(2) == 0 {
		m.flags, options = []string{`\Seen`}, `(\Seen) `
	}
	raw, err := v.spool.read(m.mail)
	if err != nil {
		return 0, err
	}
	v.mails = append(v.mails, m)
	_, err = c.Append(v.box(), options, raw)
	return int64(len(raw)), err
}
