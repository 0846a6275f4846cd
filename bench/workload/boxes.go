package workload

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// copied is a message of a mailbox that has copies of those of the folder.
type copied struct {
	uid int
	n   int // number of the message in the folder, from 0
}

// ownBox is a mailbox of one worker, who is the only one to change it.
type ownBox struct {
	name string
	made bool
	list []copied
	// known says that list is what the mailbox has. After an error it is not.
	known bool
}

// ownBoxes are a mailbox for each worker.
type ownBoxes struct {
	s     *suite
	f     *folder
	boxes []ownBox
}

func (s *suite) ownBoxes(f *folder, purpose string) *ownBoxes {
	o := &ownBoxes{s: s, f: f, boxes: make([]ownBox, s.Connections)}
	for w := range o.boxes {
		o.boxes[w].name = fmt.Sprintf("bench-%s-%s-%d", purpose, s.Options.Run, w)
	}
	return o
}

func (o *ownBoxes) boxName(worker int) string { return o.boxes[worker].name }

// each calls f for all workers at the same time, with a new session of each.
func (o *ownBoxes) each(ctx context.Context, f func(c *session, worker int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for w := range o.boxes {
		workers.Go(func() {
			c, err := o.s.connect(ctx, o.s.user(w))
			if err == nil {
				err = f(c, w)
				c.close()
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// create makes all mailboxes.
func (o *ownBoxes) create(ctx context.Context) error {
	return o.each(ctx, func(c *session, w int) error {
		_, err := c.Must("CREATE %q", o.boxes[w].name)
		o.boxes[w].made = err == nil
		o.boxes[w].known = true
		return err
	})
}

// remove deletes the mailboxes that were made, also after the end of ctx, as far as the server lets
// it.
func (o *ownBoxes) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	_ = o.each(ctx, func(c *session, w int) error {
		if !o.boxes[w].made {
			return nil
		}
		o.boxes[w].made = false
		_, err := c.Must("DELETE %q", o.boxes[w].name)
		return err
	})
}

// fill copies the first messages of the folder into each mailbox, again and again, until it has at
// least so many; then it sends a command, unless that is empty, with the mailbox selected.
func (o *ownBoxes) fill(ctx context.Context, messages int, command string) error {
	return o.each(ctx, func(c *session, w int) error {
		box := &o.boxes[w]
		if err := o.read(c, w); err != nil {
			return err
		}
		if _, err := c.Must("SELECT %q", o.f.name); err != nil {
			return err
		}
		for left := messages - len(box.list); left > 0; left -= len(o.f.expected) {
			if _, err := c.Must("COPY 1:%d %q", min(left, len(o.f.expected)), box.name); err != nil {
				return err
			}
			for n := range min(left, len(o.f.expected)) {
				box.list = append(box.list, copied{n: n})
			}
		}
		box.known = false // without the UIDs
		if err := o.read(c, w); err != nil || command == "" {
			return err
		}
		_, err := c.Must("%s", command)
		return err
	})
}

// calls is how many calls a repeat has that remove so many messages each: as suite.callsOf says, but
// not more than mailboxes are filled for.
func (o *ownBoxes) calls(usual int64, messages int) int64 {
	most := int64(len(o.boxes)) * max(1, int64(maxFilled/messages))
	return min(o.s.callsOf(usual), most)
}

// need is how many messages a mailbox must have for a repeat of such calls.
func (o *ownBoxes) need(calls int64, messages int) int {
	workers := int64(len(o.boxes))
	return int((calls+workers-1)/workers) * messages
}

// read selects the mailbox of a worker, and brings what is known of it up to date. Messages at its
// beginning may be gone after an error, but no others.
func (o *ownBoxes) read(c *session, w int) error {
	box := &o.boxes[w]
	selected, err := open(c, "SELECT", box.name)
	if err != nil {
		return err
	}
	gone := len(box.list) - selected.exists
	if gone < 0 || gone > 0 && box.known {
		return wrong("%s has %d messages, and should have %d", box.name, selected.exists, len(box.list))
	}
	box.list = box.list[gone:]
	box.known = true
	if selected.exists == 0 {
		return nil
	}
	seen := 0
	err = fetchEach(c, "FETCH 1:* (UID RFC822.SIZE FLAGS)", func(f *fetched) error {
		text, _ := f.get("UID")
		uid, err := strconv.Atoi(text)
		if seen++; err != nil || f.seq != seen || seen > len(box.list) {
			return wrong("message %d has UID %q, as answer %d", f.seq, text, seen)
		}
		m := &box.list[f.seq-1]
		if m.uid != 0 && m.uid != uid {
			return wrong("the UID of message %d was %d and is %d", f.seq, m.uid, uid)
		}
		m.uid = uid
		return o.f.isCopy(f, m.n)
	})
	if err == nil && seen != len(box.list) {
		err = wrong("%d messages of %d", seen, len(box.list))
	}
	return err
}

// deleteBoxes deletes a mailbox of the first users, also after the end of ctx, as far as the server
// lets it.
func (s *suite) deleteBoxes(ctx context.Context, mailbox string, users int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	for user := range users {
		c, err := s.connect(ctx, user)
		if err != nil {
			return // the server is gone, and others would wait as long for nothing
		}
		_, err = c.Must("DELETE %q", mailbox)
		c.close()
		if err != nil {
			return
		}
	}
}

// isCopy compares RFC822.SIZE and FLAGS with those of message n of the folder; \Deleted may be
// among the flags.
func (f *folder) isCopy(r *fetched, n int) error {
	size, _ := r.get("RFC822.SIZE")
	flags, _ := r.get("FLAGS")
	set := strings.Fields(flagSet(flags))
	set = slices.DeleteFunc(set, func(flag string) bool { return strings.EqualFold(flag, deleted) })
	if size != strconv.Itoa(f.spool.mails[n].size) || strings.Join(set, " ") != f.expected[n].flags {
		return wrong("a copy of message %d has size %q and flags %q", n+1, size, flags)
	}
	return nil
}

// deleted is the flag of messages that EXPUNGE removes.
const deleted = `\Deleted`

// first is the set of UIDs of the first n messages.
func (b *ownBox) first(n int) (set string, err error) {
	if n > len(b.list) {
		return "", fmt.Errorf("there are %d messages left of %d, after errors", len(b.list), n)
	}
	return fmt.Sprintf("%d:%d", b.list[0].uid, b.list[n-1].uid), nil
}

// leave takes the first n messages from the list after a command that removes them, whose EXPUNGE
// responses are among the untagged ones. Each must be there once.
func (b *ownBox) leave(untagged []string, n int) error {
	left := b.list[:n:n]
	for _, line := range untagged {
		number, ok := strings.CutSuffix(line, " EXPUNGE")
		if !ok {
			continue
		}
		seq, err := strconv.Atoi(strings.TrimPrefix(number, "* "))
		if err != nil || seq < 1 || seq > len(left) {
			return wrong("%s, and %d messages are to go", shown(line), len(left))
		}
		left = slices.Delete(left, seq-1, seq)
	}
	if len(left) > 0 {
		return wrong("%d messages of %d are not gone", len(left), n)
	}
	b.list = b.list[n:]
	return nil
}
