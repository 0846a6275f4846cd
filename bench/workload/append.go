package workload

import (
	"context"
	"fmt"
	"sync/atomic"
)

// appends stores the mails of a spool by APPEND, in a mailbox of its own for each user. Mail n goes
// to the user of the worker that stores it.
type appends struct {
	s       *suite
	spool   *spool
	p       *pool
	mailbox string
	made    int            // users whose mailbox there is
	stored  []atomic.Int64 // by user: acknowledged
	unsure  []atomic.Int64 // by user: those with an error, which the server may have stored
}

func openAppend(ctx context.Context, s *suite) ([]step, error) {
	warm := int64(s.Connections)
	calls := int64(s.Messages)
	a := &appends{s: s, mailbox: "bench-append-" + s.Options.Run,
		stored: make([]atomic.Int64, s.Users), unsure: make([]atomic.Int64, s.Users)}
	steps := []step{{calls: calls, warm: warm, writes: true, op: a.op, check: a.check,
		close: func() { a.close(ctx) }}}
	var err error
	if a.spool, err = s.spool(ctx, int(warm+calls*int64(s.Repeats)), nil); err != nil {
		return steps, err
	}
	for user := range s.Users {
		if err := a.create(ctx, user); err != nil {
			return steps, err
		}
		a.made++
	}
	a.p, err = s.openPool(ctx, "")
	return steps, err
}

// create makes the mailbox of a user.
func (a *appends) create(ctx context.Context, user int) error {
	c, err := a.s.connect(ctx, user)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.Must("CREATE %q", a.mailbox)
	return err
}

func (a *appends) op(ctx context.Context, worker int, call int64) (int64, error) {
	raw, err := a.spool.read(int(call))
	if err != nil {
		return 0, err
	}
	user := a.s.user(worker)
	err = a.p.do(ctx, worker, func(c *session) error {
		if _, err := c.Append(a.mailbox, "", raw); err != nil {
			a.unsure[user].Add(1)
			return err
		}
		a.stored[user].Add(1)
		return nil
	})
	return int64(len(raw)), err
}

// check compares what each user has with what was stored, and some messages with the spool.
func (a *appends) check(ctx context.Context) error {
	known := make(map[bodySum][]int, len(a.spool.mails))
	for n, m := range a.spool.mails {
		known[m.body] = append(known[m.body], n)
	}
	for user := range a.s.Users {
		if err := a.checkUser(ctx, user, known); err != nil {
			return err
		}
	}
	return nil
}

func (a *appends) checkUser(ctx context.Context, user int, known map[bodySum][]int) error {
	c, err := a.s.connect(ctx, user)
	if err != nil {
		return err
	}
	defer c.close()
	box, err := examine(c, a.mailbox)
	if err != nil {
		return err
	}
	sure := int(a.stored[user].Load())
	if box.exists < sure || box.exists > sure+int(a.unsure[user].Load()) {
		return wrong("%s has %d messages, and %d were stored", a.s.Target.User(user), box.exists, sure)
	}
	for seq := max(0, box.exists-sampled) + 1; seq <= box.exists; seq++ {
		whole, err := fetchOne(c, fmt.Sprintf("FETCH %d BODY.PEEK[]", seq), "BODY[]")
		if err != nil {
			return err
		}
		found, err := a.spool.has(whole, known, func(message, mail string) bool { return message == mail })
		if err != nil {
			return err
		}
		if !found {
			return wrong("message %d is none that was stored: %s", seq, shown(whole))
		}
	}
	return nil
}

// close deletes the mailboxes, also after the end of ctx, as far as the server lets it.
func (a *appends) close(ctx context.Context) {
	if a.p != nil {
		a.p.close()
	}
	if a.spool != nil {
		_ = a.spool.close() // a temporary file
	}
	a.s.deleteBoxes(ctx, a.mailbox, a.made)
}
