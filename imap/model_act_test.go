package imap

import (
	"fmt"
	"slices"
	"strings"

	"gadwall/imap/wire"
)

// modelActs are what a client with a selected mailbox does, each as often as it stands here.
var modelActs = []func(*modelClient) error{
	(*modelClient).store, (*modelClient).store, (*modelClient).store, (*modelClient).storeDeleted,
	(*modelClient).storeDeleted,
	(*modelClient).transfer, (*modelClient).transfer, (*modelClient).transfer,
	(*modelClient).expunge, (*modelClient).append, (*modelClient).append, (*modelClient).manage,
	(*modelClient).noop, (*modelClient).noop, (*modelClient).fetch, (*modelClient).fetch, (*modelClient).search,
	(*modelClient).look, (*modelClient).selectBox,
}

func (m *modelClient) act() error { return modelActs[m.rng.IntN(len(modelActs))](m) }

// pick chooses messages next to each other whose UIDs the client knows and which satisfy ok.
func (m *modelClient) pick(ok func(modelMessage) bool) (from, to int) {
	if len(m.msgs) == 0 {
		return 0, 0
	}
	from = 1 + m.rng.IntN(len(m.msgs))
	for to = from; to <= len(m.msgs) && to < from+6; to++ {
		if msg := m.msgs[to-1]; msg.uid == 0 || msg.token == "" || !ok(msg) {
			break
		}
	}
	if to == from {
		return 0, 0
	}
	return from, to - 1
}

func anyMessage(modelMessage) bool    { return true }
func isDroppable(m modelMessage) bool { return !keeper(m.token) }

// set writes the messages from first to last by number or by UID.
func (m *modelClient) set(verb string, first, last int) string {
	if m.rng.IntN(2) == 0 {
		return fmt.Sprintf("%s %d:%d", verb, first, last)
	}
	return fmt.Sprintf("UID %s %d:%d", verb, m.msgs[first-1].uid, m.msgs[last-1].uid)
}

func (m *modelClient) noop() error {
	_, err := m.run("%s", []string{"NOOP", "NOOP", "CHECK", "IDLE",
		"STATUS INBOX (MESSAGES UNSEEN HIGHESTMODSEQ)"}[m.rng.IntN(5)])
	return err
}

func (m *modelClient) search() error {
	_, err := m.run("%s", []string{"SEARCH UNSEEN", "UID SEARCH FLAGGED", "SEARCH SUBJECT keep",
		"UID SEARCH MODSEQ 3"}[m.rng.IntN(4)])
	return err
}

func (m *modelClient) fetch() error {
	first, last := m.pick(anyMessage)
	if first == 0 {
		return m.look()
	}
	items := []string{"FLAGS", "(UID FLAGS)", "BODY[]", "(FLAGS BODY.PEEK[TEXT])",
		"(FLAGS ENVELOPE RFC822.SIZE)", "RFC822.HEADER"}
	_, err := m.run("%s %s", m.set("FETCH", first, last), items[m.rng.IntN(len(items))])
	return err
}

// store changes flags of any messages, but not \Deleted.
func (m *modelClient) store() error {
	first, last := m.pick(anyMessage)
	if first == 0 {
		return m.noop()
	}
	flags := [][]string{{`\Seen`}, {`\Flagged`}, {`\Answered`, "work"}, {"later"}, {}}[m.rng.IntN(5)]
	op := []string{"+FLAGS", "-FLAGS", "FLAGS"}[m.rng.IntN(3)]
	if op == "FLAGS" && slices.ContainsFunc(m.msgs[first-1:last],
		func(msg modelMessage) bool { return slices.Contains(msg.flags, `\Deleted`) }) {
		op = "+FLAGS"
	}
	return m.change(first, last, op, flags)
}

// storeDeleted changes \Deleted of messages that may be lost.
func (m *modelClient) storeDeleted() error {
	first, last := m.pick(isDroppable)
	if first == 0 {
		return m.noop()
	}
	return m.change(first, last, []string{"+FLAGS", "+FLAGS", "-FLAGS"}[m.rng.IntN(3)], []string{`\Deleted`})
}

// change sends STORE. After .SILENT a client works out the flags itself.
func (m *modelClient) change(first, last int, op string, flags []string) error {
	command := m.set("STORE", first, last)
	if m.condstore && m.rng.IntN(4) == 0 {
		command += fmt.Sprintf(" (UNCHANGEDSINCE %d)", m.msgs[first-1].modseq+uint64(m.rng.IntN(3)))
	}
	silent := m.rng.IntN(2) == 0
	if silent {
		for i := first - 1; i < last; i++ {
			m.msgs[i].apply(op, flags)
		}
		command += " " + op + ".SILENT"
	} else {
		command += " " + op
	}
	uids := make(map[uint32]bool)
	for _, msg := range m.msgs[first-1 : last] {
		uids[msg.uid] = true
	}
	status, err := m.run("%s (%s)", command, strings.Join(flags, " "))
	if silent && (!strings.HasPrefix(status, "OK") || strings.Contains(status, "[MODIFIED")) {
		for i := range m.msgs { // a client would fetch them again
			if uids[m.msgs[i].uid] {
				m.msgs[i].flags, m.msgs[i].modseq = nil, 0
			}
		}
	}
	return err
}

func (msg *modelMessage) apply(op string, flags []string) {
	if msg.flags == nil {
		return
	}
	switch op {
	case "FLAGS":
		msg.flags = slices.Clone(flags)
	case "+FLAGS":
		msg.flags = slices.Concat(msg.flags, flags)
	case "-FLAGS":
		msg.flags = slices.DeleteFunc(slices.Clone(msg.flags), func(f string) bool { return slices.Contains(flags, f) })
	}
	slices.Sort(msg.flags)
	msg.flags = slices.Compact(msg.flags)
}

func (m *modelClient) expunge() error {
	first, last := m.pick(isDroppable)
	if first == 0 || m.rng.IntN(2) == 0 {
		_, err := m.run("EXPUNGE")
		return err
	}
	_, err := m.run("UID EXPUNGE %d:%d", m.msgs[first-1].uid, m.msgs[last-1].uid)
	return err
}

// transfer copies or moves; only what may be lost goes to scratch.
func (m *modelClient) transfer() error {
	may, to := anyMessage, modelBoxes[m.rng.IntN(len(modelBoxes))]
	if m.rng.IntN(6) == 0 {
		may, to = isDroppable, "scratch"
	}
	first, last := m.pick(may)
	if first == 0 {
		return m.noop()
	}
	tokens := make(map[uint32]string)
	for _, msg := range m.msgs[first-1 : last] {
		tokens[msg.uid] = msg.token
	}
	verb := []string{"COPY", "MOVE", "MOVE"}[m.rng.IntN(3)]
	m.copied = ""
	status, err := m.run("%s %s", m.set(verb, first, last), to)
	if err != nil {
		return err
	}
	if verb == "COPY" {
		m.copied = status
	}
	if !strings.HasPrefix(status, "OK") {
		if strings.Contains(m.copied, "COPYUID") {
			m.fault("%s failed and made copies: %s", verb, m.copied)
		}
		return nil
	}
	return m.transferred(verb, tokens)
}

// transferred takes in COPYUID (RFC 4315 section 3).
func (m *modelClient) transferred(verb string, tokens map[uint32]string) error {
	code, ok := between(m.copied, "[COPYUID ", "]")
	if !ok {
		return nil // nothing was there any more
	}
	var validity uint32
	var from, to string
	if _, err := fmt.Sscanf(code, "%d %s %s", &validity, &from, &to); err != nil {
		return fmt.Errorf("%s: %w", code, err)
	}
	source, dest := uidsOf(from), uidsOf(to)
	if len(source) != len(dest) || len(source) == 0 {
		m.fault("COPYUID %s", code)
		return nil
	}
	for i, uid := range source {
		token, ok := tokens[uid]
		if !ok {
			m.fault("%s took UID %d, which was not asked for", verb, uid)
			continue
		}
		id := messageID{validity, dest[i]}
		if before := m.world.identify(id, token); before != "" && before != token {
			m.fault("%s made %s UID %d, which is %s", verb, token, id.uid, before)
		}
		if verb == "COPY" {
			m.world.added(token, id)
		} else {
			m.expunged(messageID{m.validity, uid}, token)
		}
	}
	return nil
}

// uidsOf reads a set.
func uidsOf(set string) (uids []uint32) {
	dec := wire.NewDecoder(strings.NewReader("a " + set + "\r\n"))
	if dec.Start() != nil {
		return nil
	}
	_, _ = dec.Tag()
	_ = dec.SP()
	s, err := dec.UIDSet()
	if err != nil {
		return nil
	}
	nums, _ := s.Nums()
	for _, n := range nums {
		uids = append(uids, uint32(n))
	}
	return uids
}

// append stores one or two messages, some of them large, some after asking.
func (m *modelClient) append() error {
	box, keep := modelBoxes[m.rng.IntN(len(modelBoxes))], m.rng.IntN(2) == 0
	if m.rng.IntN(6) == 0 {
		box, keep = "scratch", false
	}
	var tokens []string
	command := "APPEND " + box
	for range 1 + m.rng.IntN(2) {
		token := m.world.newToken(keep)
		size := m.rng.IntN(1000)
		if m.rng.IntN(8) == 0 {
			size = m.rng.IntN(400_000)
		}
		mail := tokenMail(token, size)
		command += fmt.Sprintf(" (\\Seen) {%d+}\r\n%s", len(mail), mail)
		tokens = append(tokens, token)
	}
	status, err := m.run("%s", command)
	if err != nil || !strings.HasPrefix(status, "OK") {
		return err
	}
	var validity uint32
	var set string
	if _, err := fmt.Sscanf(status, "OK [APPENDUID %d %s", &validity, &set); err != nil {
		return fmt.Errorf("%s: %w", status, err)
	}
	uids := uidsOf(strings.TrimSuffix(set, "]"))
	if len(uids) != len(tokens) {
		m.fault("%d messages: %s", len(tokens), status)
		return nil
	}
	for i, token := range tokens {
		id := messageID{validity, uids[i]}
		if before := m.world.identify(id, token); before != "" && before != token {
			m.fault("UID %d was given to %s and to %s", id.uid, before, token)
		}
		m.world.added(token, id)
	}
	return nil
}

// manage changes the list of mailboxes. Only scratch and its like are deleted.
func (m *modelClient) manage() error {
	commands := []string{
		"CREATE scratch", "DELETE scratch", "RENAME scratch trash", "DELETE trash", "CREATE scratch",
		"RENAME work/sub work/other", "RENAME work/other work/sub", "RENAME work office", "RENAME office work",
		fmt.Sprintf("RENAME INBOX kept/%d", m.n),
	}
	_, err := m.run("%s", commands[m.rng.IntN(len(commands))])
	return err
}
