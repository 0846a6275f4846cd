package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// moveOneCalls and moveManyCalls are those of a repeat.
const moveOneCalls, moveManyCalls = 400, 20

// transfers copy messages of the folder, and move copies of them, into a mailbox of the worker's
// own.
type transfers struct {
	*ownBoxes // from which messages are moved
	to        *ownBoxes
	copies    *pool // in the folder
	moves     *pool
}

// openMove has steps of MOVE only for servers that have it (RFC 6851).
func openMove(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	can, err := s.can(ctx, "MOVE")
	if err != nil {
		return nil, err
	}
	t := &transfers{ownBoxes: s.ownBoxes(f, "move-from"), to: s.ownBoxes(f, "move-to")}
	many := min(manyMessages, s.Messages)
	steps := []step{t.copyStep("copy one", s.callsOf(moveOneCalls), 1),
		t.copyStep("copy many", s.callsOf(moveManyCalls), many)}
	if can {
		steps = append(steps, t.moveStep("one", moveOneCalls, 1), t.moveStep("many", moveManyCalls, many))
	}
	steps[len(steps)-1].close = func() { t.close(ctx) }
	for _, o := range []*ownBoxes{t.ownBoxes, t.to} {
		if err := o.create(ctx); err != nil {
			return steps, err
		}
	}
	if t.copies, err = s.openPool(ctx, f.name); err != nil {
		return steps, err
	}
	t.moves, err = s.openPoolOf(ctx, s.Connections, selecting(t.boxName))
	return steps, err
}

func (t *transfers) close(ctx context.Context) {
	for _, p := range []*pool{t.copies, t.moves} {
		if p != nil {
			p.close()
		}
	}
	t.remove(ctx)
	t.to.remove(ctx)
}

// copyStep has calls that copy so many messages in succession, from a random place of the folder.
func (t *transfers) copyStep(name string, calls int64, messages int) step {
	return step{name: name, calls: calls, warm: int64(t.s.Connections), check: t.check,
		params: map[string]float64{"batch": float64(messages)},
		op: func(ctx context.Context, worker int, call int64) (int64, error) {
			random := rand.New(rand.NewPCG(t.s.Corpus.Seed, uint64(call)))
			first := random.IntN(len(t.f.expected) - messages + 1)
			list := make([]copied, messages)
			for i := range list {
				list[i].n = first + i
			}
			return 0, t.copies.do(ctx, worker, func(c *session) error {
				_, err := c.Must("COPY %d:%d %q", first+1, first+messages, t.to.boxes[worker].name)
				return t.arrived(worker, list, err)
			})
		}}
}

// moveStep has calls that move so many messages.
func (t *transfers) moveStep(name string, usual int64, messages int) step {
	calls := t.calls(usual, messages)
	refill := func(ctx context.Context, _ int) error {
		if err := t.fill(ctx, t.need(calls, messages), ""); err != nil {
			return err
		}
		return t.moves.each(ctx, func(c *session, _ int) error {
			_, err := c.Must("NOOP")
			return err
		})
	}
	return step{name: name, calls: calls, assigned: true, before: refill, check: t.check,
		params: map[string]float64{"batch": float64(messages)},
		op: func(ctx context.Context, worker int, _ int64) (int64, error) {
			box := &t.boxes[worker]
			return 0, t.moves.do(ctx, worker, func(c *session) error {
				if !box.known {
					if err := t.read(c, worker); err != nil {
						return err
					}
				}
				set, err := box.first(messages)
				if err != nil {
					return err
				}
				list := make([]copied, messages)
				for i := range list {
					list[i].n = box.list[i].n
				}
				box.known = false
				untagged, err := c.Must("UID MOVE %s %q", set, t.to.boxes[worker].name)
				if err := t.arrived(worker, list, err); err != nil {
					return err
				}
				box.known = true
				return box.leave(untagged, messages)
			})
		}}
}

// arrived notes that messages were added to the mailbox of a worker; after an error nobody knows.
func (t *transfers) arrived(worker int, list []copied, err error) error {
	box := &t.to.boxes[worker]
	if err != nil {
		box.known = false
		return err
	}
	box.list = append(box.list, list...)
	return nil
}

// check compares each mailbox with what was added to it, and empties it for the next step.
func (t *transfers) check(ctx context.Context) error {
	return t.to.each(ctx, func(c *session, w int) error {
		box := &t.to.boxes[w]
		if box.known {
			if err := t.to.read(c, w); err != nil {
				return fmt.Errorf("after COPY or MOVE: %w", err)
			}
		}
		if err := empty(c, box.name); err != nil {
			return err
		}
		box.list, box.known = nil, true
		return nil
	})
}

// empty removes all messages of a mailbox.
func empty(c *session, mailbox string) error {
	selected, err := open(c, "SELECT", mailbox)
	if err != nil || selected.exists == 0 {
		return err
	}
	if _, err := c.Must("STORE 1:* +FLAGS.SILENT (%s)", deleted); err != nil {
		return err
	}
	_, err = c.Must("EXPUNGE")
	return err
}
