package workload

import (
	"context"
	"strings"
)

// expungeOneCalls and expungeManyCalls are those of a repeat.
const expungeOneCalls, expungeManyCalls = 400, 20

// expunge removes messages that have \Deleted from a mailbox of the worker's own.
type expunge struct {
	*ownBoxes
	p *pool
}

// openExpunge has no steps for servers without UID EXPUNGE (RFC 4315 section 2.1).
func openExpunge(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	if can, err := s.can(ctx, "UIDPLUS"); err != nil || !can {
		return nil, err
	}
	e := &expunge{ownBoxes: s.ownBoxes(f, "expunge")}
	steps := []step{
		e.step("one", expungeOneCalls, 1),
		e.step("many", expungeManyCalls, min(manyMessages, s.Messages)),
	}
	steps[len(steps)-1].close = func() {
		if e.p != nil {
			e.p.close()
		}
		e.remove(ctx)
	}
	if err := e.create(ctx); err != nil {
		return steps, err
	}
	e.p, err = s.openPoolOf(ctx, s.Connections, selecting(e.boxName))
	return steps, err
}

// step has calls that remove so many messages each.
func (e *expunge) step(name string, usual int64, messages int) step {
	calls := e.calls(usual, messages)
	refill := func(ctx context.Context, _ int) error {
		// The sessions that stay learn of the messages before the calls are measured.
		err := e.fill(ctx, e.need(calls, messages), "STORE 1:* +FLAGS.SILENT ("+deleted+")")
		if err != nil {
			return err
		}
		return e.p.each(ctx, func(c *session, _ int) error {
			_, err := c.Must("NOOP")
			return err
		})
	}
	return step{name: name, calls: calls, assigned: true, before: refill, check: e.check,
		params: map[string]float64{"batch": float64(messages)},
		op: func(ctx context.Context, worker int, _ int64) (int64, error) {
			box := &e.boxes[worker]
			return 0, e.p.do(ctx, worker, func(c *session) error {
				if !box.known {
					if err := e.read(c, worker); err != nil {
						return err
					}
				}
				set, err := box.first(messages)
				if err != nil {
					return err
				}
				box.known = false
				untagged, err := c.Must("UID EXPUNGE %s", set)
				if err != nil {
					return err
				}
				box.known = true
				return box.leave(untagged, messages)
			})
		}}
}

// check compares each mailbox with what is left.
func (e *expunge) check(ctx context.Context) error { return e.each(ctx, e.read) }

// can asks the server as the first user.
func (s *suite) can(ctx context.Context, capabilities ...string) (bool, error) {
	c, err := s.connect(ctx, 0)
	if err != nil {
		return false, err
	}
	defer c.close()
	can, err := c.has(capabilities...)
	if err != nil {
		err = wrong("no %s: %v", strings.Join(capabilities, " "), err)
	}
	return can, err
}
