package workload

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
)

// States of a mail of ingest.
const (
	unsent    = int32(iota)
	uncertain // sent, and an error came instead of an answer
	delivered
)

// deliveries sends the mails of a spool by LMTP. Mail n goes to user n modulo the number of users.
type deliveries struct {
	s     *suite
	spool *spool
	conns []*lmtpConn
	state []atomic.Int32
	// before is how many messages the INBOX of each user had.
	before []int
}

func openIngest(ctx context.Context, s *suite) ([]step, error) {
	warm := int64(s.Connections)
	calls := int64(s.Messages)
	total := int(warm + calls*int64(s.Repeats))
	in := &deliveries{s: s, conns: make([]*lmtpConn, s.Connections), state: make([]atomic.Int32, total)}
	st := step{calls: calls, warm: warm, writes: true, check: in.check, close: in.close}
	// Connections go on when a repeat, and with it the context of its calls, has ended.
	st.op = func(_ context.Context, worker int, call int64) (int64, error) { return in.op(ctx, worker, call) }
	steps := []step{st} // also with an error, so that it is closed
	var err error
	if in.spool, err = s.spool(ctx, total, nil); err != nil {
		return steps, err
	}
	return steps, in.open(ctx)
}

// open looks what there is, and connects.
func (in *deliveries) open(ctx context.Context) error {
	for user := range in.s.Users {
		n, err := in.exists(ctx, user, nil)
		if err != nil {
			return err
		}
		in.before = append(in.before, n)
	}
	for w := range in.conns {
		var err error
		if in.conns[w], err = dialLMTP(ctx, in.s.Target.LMTP); err != nil {
			return err
		}
	}
	return nil
}

func (in *deliveries) op(ctx context.Context, worker int, call int64) (octets int64, err error) {
	raw, err := in.spool.read(int(call))
	if err != nil {
		return 0, err
	}
	c := in.conns[worker]
	if c == nil {
		if c, err = dialLMTP(ctx, in.s.Target.LMTP); err != nil {
			return 0, err
		}
		in.conns[worker] = c
	}
	user := int(call) % in.s.Users
	sent, err := c.deliver(in.spool.mails[call].from, in.s.Target.User(user), raw)
	if err != nil {
		if sent {
			in.state[call].Store(uncertain)
		}
		c.close()
		in.conns[worker] = nil
		return 0, err
	}
	in.state[call].Store(delivered)
	return int64(len(raw)), nil
}

// exists calls f, if set, with a connection that has the INBOX of a user selected, and returns how
// many messages it has.
func (in *deliveries) exists(ctx context.Context, user int, f func(*session, int) error) (int, error) {
	c, err := in.s.connect(ctx, user)
	if err != nil {
		return 0, err
	}
	defer c.close()
	box, err := examine(c, "INBOX")
	if err == nil && f != nil {
		err = f(c, box.exists)
	}
	return box.exists, err
}

// check compares the INBOX of each user with what was delivered to it.
func (in *deliveries) check(ctx context.Context) error {
	for user := range in.s.Users {
		sure, perhaps := 0, 0
		sent := make(map[bodySum][]int)
		for n := user; n < len(in.state); n += in.s.Users {
			state := in.state[n].Load()
			if state == unsent {
				continue
			}
			perhaps++
			if state == delivered {
				sure++
			}
			hash := in.spool.mails[n].body
			sent[hash] = append(sent[hash], n)
		}
		_, err := in.exists(ctx, user, func(c *session, exists int) error {
			if got := exists - in.before[user]; got < sure || got > perhaps {
				return wrong("%s has %d new messages, and %d were delivered", in.s.Target.User(user), got, sure)
			}
			return in.compare(c, max(in.before[user], exists-sampled)+1, exists, sent)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare reads messages and looks for each among the mails that were sent. The server may add
// fields before the header.
func (in *deliveries) compare(c *session, first, last int, sent map[bodySum][]int) error {
	for seq := first; seq <= last; seq++ {
		whole, err := fetchOne(c, fmt.Sprintf("FETCH %d BODY.PEEK[]", seq), "BODY[]")
		if err != nil {
			return err
		}
		found, err := in.spool.has(whole, sent, strings.HasSuffix)
		if err != nil {
			return err
		}
		if !found {
			return wrong("message %d is none that was delivered: %s", seq, shown(whole))
		}
	}
	return nil
}

func (in *deliveries) close() {
	for _, c := range in.conns {
		if c != nil {
			c.close()
		}
	}
	if in.spool != nil {
		_ = in.spool.close() // a temporary file
	}
}
