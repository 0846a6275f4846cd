package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// place is a message: the id of its mailbox, and its UID.
type place struct {
	box string
	uid uint32
}

// client is an application that keeps what events tell, as docs/events.md says.
type client struct {
	paths    map[string]string // of mailboxes, by id
	messages map[place]string  // flags
	came     map[place]int     // how often it was told that a message came, or went
	went     map[place]int
	lessons  map[string]int
}

func lessonOf(kind Kind, by By, box string, uid uint32) string {
	return fmt.Sprintf("%s by %s in %s: %d", kind, by, box, uid)
}

func newClient() *client {
	return &client{paths: make(map[string]string), messages: make(map[place]string),
		came: make(map[place]int), went: make(map[place]int), lessons: make(map[string]int)}
}

func (c *client) apply(e *Event) {
	gone := func(box string, uids []uint32) {
		for _, uid := range uids {
			c.went[place{box, uid}]++
			delete(c.messages, place{box, uid})
		}
	}
	flags := func(m *Message) string { return fmt.Sprint(m.ID, m.Flags) }
	switch e.Kind {
	case NewMessage:
		c.came[place{e.Mailbox.ID, e.Message.UID}]++
		c.messages[place{e.Mailbox.ID, e.Message.UID}] = flags(e.Message)
	case FlagsChanged:
		if at := (place{e.Mailbox.ID, e.Message.UID}); c.messages[at] != "" {
			c.messages[at] = flags(e.Message)
		}
	case Moved:
		gone(e.From.Mailbox.ID, e.From.UIDs)
		for _, uid := range e.UIDs {
			c.came[place{e.Mailbox.ID, uid}]++
		}
		for i := range e.Messages {
			c.messages[place{e.Mailbox.ID, e.Messages[i].UID}] = flags(&e.Messages[i])
		}
	case Expunged:
		gone(e.Mailbox.ID, e.UIDs)
	case Junk, NotJunk:
		for _, uid := range e.UIDs {
			c.lessons[lessonOf(e.Kind, e.By, e.Mailbox.ID, uid)]++
		}
	case MailboxCreated, MailboxRenamed:
		c.paths[e.Mailbox.ID] = e.Mailbox.Path
	case MailboxDeleted:
		delete(c.paths, e.Mailbox.ID)
		maps.DeleteFunc(c.messages, func(at place, _ string) bool { return at.box == e.Mailbox.ID })
	}
}

// history is a random one, by two instances.
type history struct {
	*rapid.T
	instances []*instance
	user      mailkey.UserID
	mails     int

	// What happened.
	came, went map[place]bool
	lessons    map[string]int
}

func (h *history) instance() *instance { return rapid.SampledFrom(h.instances).Draw(h.T, "instance") }

// chosen returns a mailbox that exists.
func (h *history) chosen(label string) *mailstore.Mailbox {
	list, err := h.instances[0].Mailboxes(h.Context(), h.user)
	if err != nil {
		h.Fatal(err)
	}
	return rapid.SampledFrom(list).Draw(h.T, label)
}

func (h *history) box(path string) *mailstore.Mailbox {
	box, err := h.instances[0].MailboxByPath(h.Context(), h.user, path)
	if err != nil {
		h.Fatal(err)
	}
	return box
}

// some returns some messages of a mailbox.
func (h *history) some(box *mailstore.Mailbox) []uint32 {
	uids, err := h.instances[0].UIDs(h.Context(), box.Key, mailstore.Query{})
	if err != nil {
		h.Fatal(err)
	}
	return slices.DeleteFunc(uids, func(uint32) bool { return rapid.Bool().Draw(h.T, "leave") })
}

func (h *history) arrived(box *mailstore.Mailbox, uids ...uint32) {
	for _, uid := range uids {
		h.came[place{mailboxID(box.Key.Number()), uid}] = true
	}
}

func (h *history) left(box *mailstore.Mailbox, uids []uint32) {
	for _, uid := range uids {
		h.went[place{mailboxID(box.Key.Number()), uid}] = true
	}
}

func (h *history) learned(kind Kind, by By, box *mailstore.Mailbox, uids []uint32) {
	for _, uid := range uids {
		h.lessons[lessonOf(kind, by, mailboxID(box.Key.Number()), uid)]++
	}
}

// must fails unless err is nil or one of those.
func (h *history) must(err error, but ...error) bool {
	for _, e := range but {
		if errors.Is(err, e) {
			return false
		}
	}
	if err != nil {
		h.Fatal(err)
	}
	return true
}

func (h *history) deliver() {
	h.deliverTo(h.chosen("mailbox"))
}

func (h *history) deliverTo(box *mailstore.Mailbox) {
	h.mails++
	got := h.instance().store(h.T, h.mails, mailstore.Delivery{Mailbox: box.Key})
	if h.must(got.Err, quota.ErrOverQuota) {
		h.arrived(box, got.UID)
	}
}

func (h *history) storeFlags() {
	box := h.chosen("mailbox")
	c := mailstore.FlagChange{Op: rapid.SampledFrom([]mailstore.FlagOp{
		mailstore.Add, mailstore.Remove, mailstore.Set}).Draw(h.T, "op"),
		Flags: mailstore.Flags(rapid.IntRange(0, 31).Draw(h.T, "flags"))}
	word := rapid.SampledFrom([]string{"", "$Junk", "$NotJunk", "x"}).Draw(h.T, "keyword")
	if word != "" {
		c.Keywords = []string{word}
	}
	uids := h.some(box)
	if kind := map[string]Kind{"$Junk": Junk, "$NotJunk": NotJunk}[word]; kind != "" && c.Op != mailstore.Remove {
		for m, err := range h.instances[0].Messages(h.Context(), box.Key, mailstore.Query{UIDs: set(uids...)},
			mailstore.FieldFlags) {
			if err != nil {
				h.Fatal(err)
			}
			if !slices.Contains(m.Keywords, word) {
				h.learned(kind, ByKeyword, box, []uint32{m.UID})
			}
		}
	}
	_, err := h.instance().StoreFlags(h.Context(), box.Key, set(uids...), c)
	h.must(err)
}

func (h *history) copyOrMove() {
	from, to := h.chosen("from"), h.chosen("to")
	uids := h.some(from)
	lesson := Kind("")
	switch junk := `\Junk`; {
	case from.SpecialUse != junk && to.SpecialUse == junk:
		lesson = Junk
	case from.SpecialUse == junk && to.SpecialUse != junk && to.SpecialUse != `\Trash`:
		lesson = NotJunk
	}
	if rapid.Bool().Draw(h.T, "copy") {
		res, err := h.instance().Copy(h.Context(), from.Key, set(uids...), to.Key)
		if h.must(err, quota.ErrOverQuota) {
			h.arrived(to, res.Dest...)
		}
		return
	}
	res, err := h.instance().Move(h.Context(), from.Key, set(uids...), to.Key)
	h.must(err)
	h.arrived(to, res.Dest...)
	h.left(from, res.Source)
	if lesson != "" {
		h.learned(lesson, ByMove, to, res.Dest)
	}
}

func (h *history) expunge() {
	box := h.chosen("mailbox")
	i := h.instance()
	_, err := i.StoreFlags(h.Context(), box.Key, set(h.some(box)...),
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted})
	h.must(err)
	uids, _, err := i.Expunge(h.Context(), box.Key, nil)
	h.must(err)
	h.left(box, uids)
}

func (h *history) changeTree() {
	i := h.instance()
	path := rapid.SampledFrom([]string{"a", "b", "INBOX", "Junk"}).Draw(h.T, "path")
	switch rapid.SampledFrom([]int{0, 1, 2, 2, 3}).Draw(h.T, "change") {
	case 0:
		use := ""
		if path == "Junk" {
			use = `\Junk`
		}
		_, err := i.CreateMailbox(h.Context(), h.user, path, mailstore.CreateOptions{SpecialUse: use})
		h.must(err, mailstore.ErrMailboxExists, mailstore.ErrSpecialUse)
	case 1:
		to := rapid.SampledFrom([]string{"a", "b", "d", "b/e"}).Draw(h.T, "to")
		h.must(i.RenameMailbox(h.Context(), h.user, path, to),
			mailstore.ErrMailboxExists, mailstore.ErrNoSuchMailbox, mailstore.ErrInvalidName)
	case 2:
		h.must(i.DeleteMailbox(h.Context(), h.user, path),
			mailstore.ErrNoSuchMailbox, mailstore.ErrInboxUndeletable, mailstore.ErrHasChildren)
	case 3:
		h.must(i.Subscribe(h.Context(), h.user, path, rapid.Bool().Draw(h.T, "subscribe")))
	}
}

// truth is what a client should know: paths and messages.
func (h *history) truth() (paths map[string]string, messages map[place]string) {
	paths, messages = make(map[string]string), make(map[place]string)
	boxes, err := h.instances[0].Mailboxes(h.Context(), h.user)
	if err != nil {
		h.Fatal(err)
	}
	for _, box := range boxes {
		id := mailboxID(box.Key.Number())
		paths[id] = box.Path
		for m, err := range h.instances[0].Messages(h.Context(), box.Key, mailstore.Query{}, flagFields) {
			if err != nil {
				h.Fatal(err)
			}
			s := shown(m)
			messages[place{id, m.UID}] = fmt.Sprint(s.ID, s.Flags)
		}
	}
	return paths, messages
}

// A client that is cut anywhere, reads by either instance and goes on from the position of the last
// event it took, comes to know the state exactly, and is told once of each message that came or went.
func TestModel(t *testing.T) {
	policy := quota.Policy{Limits: quota.Limits{Messages: 12}, Levels: quota.Levels{50, 90}}
	db := dbtest.Database(t)
	instances := []*instance{newInstance(t, db, policy), newInstance(t, db, policy)}
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{T: rt, instances: instances, user: instances[0].newUser(rt), came: make(map[place]bool),
			went: make(map[place]bool), lessons: make(map[string]int)}
		for _, path := range []string{"Drafts", "Archive", "Sent", "Trash"} {
			h.must(instances[0].DeleteMailbox(rt.Context(), h.user, path))
		}
		for _, path := range []string{"a", "b"} {
			_, err := instances[0].CreateMailbox(rt.Context(), h.user, path, mailstore.CreateOptions{})
			h.must(err)
			h.deliverTo(h.box(path))
		}
		h.came = make(map[place]bool)
		c := newClient()
		since := instances[0].now(h, h.user)
		c.paths, c.messages = h.truth()
		// read takes some of the events that there are.
		read := func(whole bool) {
			for more := true; more; {
				limit := rapid.IntRange(1, 6).Draw(rt, "limit")
				page, err := h.instance().Read(rt.Context(), h.user, since, limit)
				h.must(err)
				taken := len(page.Events)
				if !whole {
					taken = rapid.IntRange(0, taken).Draw(rt, "taken")
				}
				for i := range page.Events[:taken] {
					c.apply(&page.Events[i])
					since = page.Events[i].Position
				}
				if taken == len(page.Events) {
					since = page.Next
				}
				more = whole && page.More
			}
		}
		steps := rapid.IntRange(5, 40).Draw(rt, "steps")
		for range steps {
			switch rapid.IntRange(0, 8).Draw(rt, "step") {
			case 0, 1:
				h.deliver()
			case 2:
				h.storeFlags()
			case 3, 4:
				h.copyOrMove()
			case 5:
				h.expunge()
			case 6:
				h.changeTree()
			default:
				read(false)
			}
		}
		read(true)
		paths, messages := h.truth()
		if diff := cmp.Diff(paths, c.paths); diff != "" {
			rt.Fatalf("mailboxes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(messages, c.messages, cmp.AllowUnexported(place{})); diff != "" {
			rt.Fatalf("messages (-want +got):\n%s", diff)
		}
		h.compare(c, messages)
	})
}

// compare compares how often the client was told of things with what happened.
func (h *history) compare(c *client, there map[place]string) {
	for at := range there {
		if h.came[at] && c.came[at] != 1 {
			h.Errorf("%v came, and was told %d times", at, c.came[at])
		}
	}
	for at, n := range c.came {
		if n != 1 || !h.came[at] {
			h.Errorf("%v was told to come %d times; it came: %v", at, n, h.came[at])
		}
	}
	for at := range h.went {
		if c.went[at] != 1 {
			h.Errorf("%v went, and was told %d times", at, c.went[at])
		}
	}
	for at := range c.went {
		if !h.went[at] {
			h.Errorf("%v was told to go", at)
		}
	}
	told := maps.Clone(c.lessons)
	maps.DeleteFunc(told, func(lesson string, _ int) bool { // copies teach as long as they are there
		return strings.Contains(lesson, string(" by "+ByCopy+" "))
	})
	if diff := cmp.Diff(h.lessons, told); diff != "" {
		h.Errorf("lessons (-want +got):\n%s", diff)
	}
}
