package workload

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gadwall/bench"
)

// defaultIdle is how many connections idle, pushCalls how many deliveries a repeat has.
const defaultIdle, pushCalls = 200, 100

// idlers are connections that wait in IDLE (RFC 2177) for mail to their INBOX. Connection n is that
// of user n modulo the number of users.
type idlers struct {
	s      *suite
	spool  *spool
	conns  []*session
	exists []int       // messages that each connection knows of
	lmtp   []*lmtpConn // by worker
	last   []int       // mail of the spool that was delivered last, by user; -1 for none
	before []int       // messages of each user's INBOX
	base   int64       // memory of the server without the connections
	parts  *recorder
}

// openIdle has no steps for servers without IDLE, and does not deliver without LMTP.
func openIdle(ctx context.Context, s *suite) ([]step, error) {
	if can, err := s.can(ctx, "IDLE"); err != nil || !can {
		return nil, err
	}
	n := cmp.Or(s.Idle, defaultIdle)
	workers := min(s.Connections, s.Users, n) // each with a user of its own
	id := &idlers{s: s, conns: make([]*session, n), exists: make([]int, n), lmtp: make([]*lmtpConn, workers),
		parts: newRecorder(workers)}
	idle := map[string]float64{"idle": float64(n)}
	steps := []step{{name: "connect", calls: int64(n), repeats: 1, params: idle, before: id.measure, after: id.memory,
		op: func(_ context.Context, _ int, call int64) (int64, error) { return 0, id.connect(ctx, int(call)) }}}
	if s.Target.LMTP != "" {
		steps = append(steps, step{name: "delivery", calls: s.callsOf(pushCalls), warm: int64(workers),
			workers: workers, assigned: true, params: idle, parts: id.parts, check: id.check,
			op: func(_ context.Context, worker int, call int64) (int64, error) { return id.push(ctx, worker, call) }})
	}
	steps[len(steps)-1].close = func() { id.close(ctx) }
	var err error
	if id.spool, err = s.spool(ctx, sampled, nil); err != nil {
		return steps, err
	}
	for user := range s.Users {
		before, err := s.inbox(ctx, user)
		if err != nil {
			return steps, err
		}
		id.before, id.last = append(id.before, before), append(id.last, -1)
	}
	return steps, nil
}

// inbox is how many messages the INBOX of a user has.
func (s *suite) inbox(ctx context.Context, user int) (int, error) {
	c, err := s.connect(ctx, user)
	if err != nil {
		return 0, err
	}
	defer c.close()
	box, err := examine(c, "INBOX")
	return box.exists, err
}

// measure reads the memory of the server before the connections are there.
func (id *idlers) measure(ctx context.Context, _ int) (err error) {
	id.base, _, err = id.s.settledMemory(ctx)
	return err
}

// memory is what each connection has added: at once, and when the server has given back what the
// logins took.
func (id *idlers) memory(ctx context.Context, _ int) (map[string]float64, error) {
	first, ok, err := id.s.Target.Memory()
	if err != nil || !ok {
		return nil, err
	}
	settled, _, err := id.s.settledMemory(ctx)
	if err != nil {
		return nil, err
	}
	each := func(memory int64) float64 { return float64(memory-id.base) / float64(len(id.conns)) }
	return map[string]float64{"pss-bytes": float64(settled), "pss-bytes-per-connection": each(settled),
		"pss-bytes-per-connection-at-once": each(first)}, nil
}

// settledMemory waits until the server's memory falls no more, and returns it. ok is false if it is
// not known.
func (s *suite) settledMemory(ctx context.Context) (octets int64, ok bool, err error) {
	least, ok, err := s.Target.Memory()
	if err != nil || !ok {
		return 0, ok, err
	}
	s.Progress("waiting until the server's memory falls no more", 0, 0)
	ticker := time.NewTicker(max(1, cmp.Or(s.Settle, bench.SettleTime)/memorySteady))
	defer ticker.Stop()
	for steady := 0; steady < memorySteady; steady++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, false, context.Cause(ctx)
		}
		if octets, _, err = s.Target.Memory(); err != nil {
			return 0, false, err
		}
		if octets < least-least/memoryNoise {
			least, steady = octets, -1
		}
	}
	return octets, true, nil
}

// connect logs a connection in, selects INBOX and begins IDLE.
func (id *idlers) connect(ctx context.Context, n int) error {
	if n >= len(id.conns) {
		return fmt.Errorf("there is no connection %d", n)
	}
	c, err := id.s.connect(ctx, n%id.s.Users)
	if err != nil {
		return err
	}
	box, err := open(c, "SELECT", "INBOX")
	if err == nil {
		_, err = c.Begin("IDLE")
	}
	var line string
	for err == nil && !strings.HasPrefix(line, "+") {
		if line, err = c.Response(); err == nil && !strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "*") {
			err = fmt.Errorf("IDLE: %s", shown(line))
		}
	}
	if err != nil {
		c.close()
		return err
	}
	id.conns[n], id.exists[n] = c, box.exists
	return nil
}

// push delivers a mail to the worker's user, and waits until a connection of the user hears of it.
// The part "push" begins with the reply to the delivery.
func (id *idlers) push(ctx context.Context, worker int, call int64) (octets int64, err error) {
	defer func() {
		if err != nil {
			id.drop(worker)
		}
	}()
	if id.lmtp[worker] == nil {
		if id.lmtp[worker], err = dialLMTP(ctx, id.s.Target.LMTP); err != nil {
			return 0, err
		}
	}
	if id.conns[worker] == nil {
		if err := id.connect(ctx, worker); err != nil {
			return 0, err
		}
	}
	n := int(call) % len(id.spool.mails)
	raw, err := id.spool.read(n)
	if err != nil {
		return 0, err
	}
	if _, err := id.lmtp[worker].deliver(id.spool.mails[n].from, id.s.Target.User(worker), raw); err != nil {
		return 0, err
	}
	delivered := time.Now()
	id.last[worker] = n
	want := id.exists[worker] + 1
	for id.exists[worker] < want {
		line, err := id.conns[worker].Response()
		if err != nil {
			return 0, err
		}
		number, ok := strings.CutSuffix(line, " EXISTS")
		if !ok {
			continue // RECENT, or a sign of life
		}
		if id.exists[worker], err = strconv.Atoi(strings.TrimPrefix(number, "* ")); err != nil ||
			id.exists[worker] != want {
			return 0, wrong("%s, and %d messages are there", shown(line), want)
		}
	}
	id.parts.record(worker, "push", time.Since(delivered), int64(len(raw)))
	return int64(len(raw)), nil
}

// drop closes the connections of a worker after an error.
func (id *idlers) drop(worker int) {
	if c := id.lmtp[worker]; c != nil {
		c.close()
	}
	if c := id.conns[worker]; c != nil {
		c.close()
	}
	id.lmtp[worker], id.conns[worker] = nil, nil
}

// check reads the last message of each user, which is the one that was delivered last.
func (id *idlers) check(ctx context.Context) error {
	for user := range id.lmtp {
		if id.last[user] < 0 {
			continue
		}
		c, err := id.s.connect(ctx, user)
		if err != nil {
			return err
		}
		defer c.close()
		if _, err := examine(c, "INBOX"); err != nil {
			return err
		}
		whole, err := fetchOne(c, "FETCH * BODY.PEEK[]", "BODY[]")
		if err != nil {
			return err
		}
		want, err := id.spool.read(id.last[user])
		if err != nil {
			return err
		}
		if !strings.HasSuffix(whole, string(want)) {
			return wrong("the last message is not the one that was delivered last: %s", shown(whole))
		}
	}
	return nil
}

func (id *idlers) close(ctx context.Context) {
	for _, c := range id.conns {
		if c != nil {
			c.close()
		}
	}
	for _, c := range id.lmtp {
		if c != nil {
			c.close()
		}
	}
	if id.spool != nil {
		_ = id.spool.close() // a temporary file
	}
	if len(id.before) == id.s.Users {
		for user := range id.lmtp {
			id.s.takeBack(ctx, user, id.before[user])
		}
	}
}

// takeBack removes the messages of a user's INBOX but for the first ones, also after the end of ctx,
// as far as the server lets it.
func (s *suite) takeBack(ctx context.Context, user, keep int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	c, err := s.connect(ctx, user)
	if err != nil {
		return
	}
	defer c.close()
	if box, err := open(c, "SELECT", "INBOX"); err != nil || box.exists <= keep {
		return
	}
	uid, err := fetchOne(c, fmt.Sprintf("FETCH %d (UID)", keep+1), "UID")
	if err != nil {
		return
	}
	// Without UIDPLUS they stay, marked: EXPUNGE would also remove others.
	if _, err := c.Must("UID STORE %s:* +FLAGS.SILENT (%s)", uid, deleted); err == nil {
		_, _ = c.Must("UID EXPUNGE %s:*", uid)
	}
}
