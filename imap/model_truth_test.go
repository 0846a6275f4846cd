package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// A truthBox is a mailbox as it must be: what clients were told to be done was done to it, and
// nothing else. The mod-sequences are those that the store gave.
type truthBox struct {
	path     string
	key      mailkey.Mailbox
	validity uint32
	next     uint32
	highest  uint64
	msgs     []truthMessage // by UID

	states  map[uint32][]truthState // all that a message ever was
	removed map[uint32]uint64       // UIDs of expunged messages, and HIGHESTMODSEQ after that
}

// A truthMessage is a message as it must be.
type truthMessage struct {
	uid     uint32
	flags   []string // sorted
	modseq  uint64
	mail    string
	touched bool // since the last look at the store
}

// A truthState is flags that a message had; the mod-sequence is 0 if nobody can know it, because
// the next command of a pipeline followed.
type truthState struct {
	modseq uint64
	flags  string
}

// find returns a message, nil if it is not there.
func (b *truthBox) find(uid uint32) *truthMessage {
	i, ok := slices.BinarySearchFunc(b.msgs, uid, func(m truthMessage,
		uid uint32) int {
		return int(m.uid) - int(uid)
	})
	if !ok {
		return nil
	}
	return &b.msgs[i]
}

// existing returns those of the UIDs that are there.
func (b *truthBox) existing(uids []uint32) (there []uint32) {
	for _, uid := range uids {
		if b.find(uid) != nil {
			there = append(there, uid)
		}
	}
	return there
}

// set gives a message other flags.
func (b *truthBox) set(m *truthMessage, flags []string) {
	if slices.Equal(m.flags, flags) {
		return
	}
	m.flags, m.touched = flags, true
	b.states[m.uid] = append(b.states[m.uid], truthState{0, strings.Join(flags, " ")})
}

// add puts a message into the mailbox and returns its UID.
func (b *truthBox) add(flags []string, mail string) uint32 {
	flags = slices.Clone(flags)
	slices.Sort(flags)
	m := truthMessage{uid: b.next, flags: flags, mail: mail, touched: true}
	b.next++
	b.msgs = append(b.msgs, m)
	b.states[m.uid] = append(b.states[m.uid], truthState{0, strings.Join(flags, " ")})
	return m.uid
}

// remove takes messages out of the mailbox.
func (b *truthBox) remove(uids []uint32) {
	for _, uid := range uids {
		b.removed[uid] = 0
	}
	b.msgs = slices.DeleteFunc(b.msgs, func(m truthMessage) bool {
		return slices.Contains(uids,
			m.uid)
	})
}

// deleted returns the messages with \Deleted among the UIDs, or among all for nil.
func (b *truthBox) deleted(uids []uint32) (list []uint32) {
	for _, m := range b.msgs {
		if slices.Contains(m.flags, `\Deleted`) && (uids == nil || slices.Contains(uids, m.uid)) {
			list = append(list, m.uid)
		}
	}
	return list
}

// was reports whether a message had these flags at a mod-sequence, or ever for 0.
func (b *truthBox) was(uid uint32, flags string, modseq uint64) bool {
	return slices.ContainsFunc(b.states[uid], func(s truthState) bool {
		return s.flags == flags && (modseq == 0 || s.modseq == 0 || s.modseq == modseq)
	})
}

// settle compares the mailbox with the store and takes in the mod-sequences.
func (b *truthBox) settle(t *rapid.T, store *mailstore.Store) {
	ctx := context.Background()
	box, err := store.MailboxByKey(ctx, b.key)
	if err != nil {
		t.Fatal(err)
	}
	var sums mailstore.Mailbox
	i := 0
	for msg, err := range store.Messages(ctx, b.key, mailstore.Query{},
		mailstore.FieldFlags|mailstore.FieldSize) {
		if err != nil {
			t.Fatal(err)
		}
		if i == len(b.msgs) || b.msgs[i].uid != msg.UID {
			t.Fatalf("%s: message %d is UID %d, the model has %v", b.path, i+1, msg.UID, b.uids())
		}
		m := &b.msgs[i]
		i++
		flags := append(msg.Flags.Names(), msg.Keywords...)
		slices.Sort(flags)
		switch {
		case !slices.Equal(flags, m.flags):
			t.Fatalf("%s: UID %d has flags %v, the model %v", b.path, m.uid, flags, m.flags)
		case !m.touched && msg.ModSeq != m.modseq:
			t.Fatalf("%s: UID %d went from mod-sequence %d to %d without a change", b.path, m.uid,
				m.modseq, msg.ModSeq)
		case m.touched && (msg.ModSeq <= b.highest || msg.ModSeq > box.HighestModSeq):
			t.Fatalf("%s: UID %d has mod-sequence %d, the mailbox went from %d to %d", b.path,
				m.uid, msg.ModSeq,
				b.highest, box.HighestModSeq)
		}
		if m.touched {
			m.modseq, m.touched = msg.ModSeq, false
			states := b.states[m.uid]
			states[len(states)-1].modseq = msg.ModSeq
		}
		sums.Messages++
		sums.Size += msg.Size
		if !slices.Contains(flags, `\Seen`) {
			sums.Unseen++
		}
		if slices.Contains(flags, `\Deleted`) {
			sums.Deleted++
		}
	}
	if i != len(b.msgs) || box.UIDNext != b.next || box.HighestModSeq < b.highest ||
		sums.Messages != box.Messages || sums.Size != box.Size || sums.Unseen != box.Unseen ||
		sums.Deleted != box.Deleted {
		t.Fatalf("%s: %+v, the model has UIDs %v, UIDNEXT %d, mod-sequence %d, %+v", b.path, *box,
			b.uids(), b.next,
			b.highest, sums)
	}
	for uid, modseq := range b.removed {
		if modseq == 0 {
			b.removed[uid] = box.HighestModSeq
		}
	}
	b.highest = box.HighestModSeq
}

func (b *truthBox) uids() (uids []uint32) {
	for _, m := range b.msgs {
		uids = append(uids, m.uid)
	}
	return uids
}

// A modelRelay carries events between instances as Redis does: at once, late, or never.
type modelRelay struct {
	mu     sync.Mutex
	how    string // "at once", "late", "never"
	held   []func()
	lost   bool
	resync func() // tells both instances that events were lost
}

// modelBus is the bus of one instance.
type modelBus struct {
	events.Bus
	relay *modelRelay
	other events.Bus // local to the other instance
}

// Publish implements events.Bus.
func (b *modelBus) Publish(ctx context.Context, ev events.Event) error {
	_ = b.Bus.Publish(ctx, ev) // of this process alone: it cannot fail
	b.relay.carry(func() { _ = b.other.Publish(ctx, ev) })
	return nil
}

// Connected implements events.Bus: the instances trust the relay, even if it fails.
func (b *modelBus) Connected() bool { return true }

func (r *modelRelay) carry(deliver func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.how {
	case "late":
		r.held = append(r.held, deliver)
	case "never":
		r.lost = true
	default:
		deliver()
	}
}

// change delivers what is late, tells that something was lost, and carries events in another way
// from now on.
func (r *modelRelay) change(how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, deliver := range r.held {
		deliver()
	}
	if r.lost {
		r.resync()
	}
	r.held, r.lost, r.how = nil, false, how
}

// owes reports whether sessions may not have heard of a change.
func (r *modelRelay) owes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held) > 0 || r.lost
}

// tokenOf names mail of the model.
func tokenOf(n int) string { return fmt.Sprintf("token%d", n) }
