package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	// storeOneCalls and storeManyCalls are those of a repeat.
	storeOneCalls, storeManyCalls = 1000, 40
	// flagged is the flag that the workload sets and takes away; messages of a folder do not have
	// it otherwise.
	flagged = `\Flagged`
)

// store changes a flag of messages. Workers of one user have parts of the folder of their own.
type store struct {
	s     *suite
	f     *folder
	p     *pool
	parts []storePart // by worker
}

// storePart is the messages of a worker: those from first to last, counted from 0.
type storePart struct {
	first, last int
	// has says which of them have the flag. After an error it is not known, and asked is false.
	has   []bool
	known bool
}

func openStore(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, f.name)
	if err != nil {
		return nil, err
	}
	st := &store{s: s, f: f, p: p}
	for w := range s.Connections {
		sharing := (s.Connections - s.user(w) + s.Users - 1) / s.Users
		share := w / s.Users
		part := storePart{known: true,
			first: share * s.Messages / sharing, last: (share+1)*s.Messages/sharing - 1}
		part.has = make([]bool, part.last-part.first+1)
		st.parts = append(st.parts, part)
	}
	return []step{
		{name: "one", calls: s.callsOf(storeOneCalls), warm: int64(s.Connections), op: st.one, check: st.check},
		{name: "many", calls: s.callsOf(storeManyCalls), warm: int64(s.Connections), op: st.many,
			check: func(ctx context.Context) error {
				if err := st.check(ctx); err != nil {
					return err
				}
				return st.reset(ctx)
			}, close: p.close},
	}, nil
}

// one changes the flag of one message.
func (st *store) one(ctx context.Context, worker int, call int64) (int64, error) {
	part := &st.parts[worker]
	at := part.first + rand.New(rand.NewPCG(st.s.Corpus.Seed, uint64(call))).IntN(len(part.has))
	return 0, st.change(ctx, worker, at, at, !part.has[at-part.first])
}

// many changes the flag of all messages of the worker.
func (st *store) many(ctx context.Context, worker int, _ int64) (int64, error) {
	part := &st.parts[worker]
	return 0, st.change(ctx, worker, part.first, part.last, slices.Contains(part.has, false))
}

// change sets or takes the flag of messages, and looks for each in the answer. A server need not
// tell of those that had it already (RFC 3501 section 6.4.6 says SHOULD), but of all that change.
func (st *store) change(ctx context.Context, worker, first, last int, set bool) error {
	part := &st.parts[worker]
	sign := "-"
	if set {
		sign = "+"
	}
	uids := st.f.uids[st.s.user(worker)]
	changed := make(map[int]bool)
	known := part.known
	err := st.p.do(ctx, worker, func(c *session) error {
		part.known = false
		command := fmt.Sprintf("UID STORE %d:%d %sFLAGS (%s)", uids[first], uids[last], sign, flagged)
		return fetchEach(c, command,
			func(f *fetched) error {
				flags, ok := f.get("FLAGS")
				if n := f.seq - 1; ok && n >= first && n <= last {
					if hasFlag(flags) != set {
						return wrong("message %d has flags %q after %s%s", f.seq, flags, sign, flagged)
					}
					changed[n] = true
				}
				return nil
			})
	})
	if err != nil {
		return err
	}
	for n := first; n <= last; n++ {
		if known && part.has[n-part.first] != set && !changed[n] {
			return wrong("the answer to %s%s does not tell of message %d", sign, flagged, n+1)
		}
		part.has[n-part.first] = set
	}
	// What an earlier error has left unknown is known again after a change of all.
	part.known = known || first == part.first && last == part.last
	return nil
}

func hasFlag(flags string) bool {
	return slices.ContainsFunc(strings.Fields(strings.Trim(flags, "()")),
		func(f string) bool { return strings.EqualFold(f, flagged) })
}

// check reads the flags of each part in a new session.
func (st *store) check(ctx context.Context) error {
	for w := range st.parts {
		part := &st.parts[w]
		if !part.known {
			continue
		}
		err := st.fresh(ctx, w, func(c *session) error {
			seen := 0
			err := fetchEach(c, fmt.Sprintf("FETCH %d:%d (FLAGS)", part.first+1, part.last+1),
				func(f *fetched) error {
					flags, _ := f.get("FLAGS")
					n := f.seq - 1 - part.first
					if n < 0 || n >= len(part.has) || hasFlag(flags) != part.has[n] {
						return wrong("another session sees flags %q of message %d", flags, f.seq)
					}
					seen++
					return nil
				})
			if err == nil && seen != len(part.has) {
				err = wrong("another session sees %d messages of %d", seen, len(part.has))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reset takes the flag from all messages.
func (st *store) reset(ctx context.Context) error {
	for user := range min(st.s.Users, st.s.Connections) {
		err := st.fresh(ctx, user, func(c *session) error {
			_, err := c.Must("STORE 1:* -FLAGS.SILENT (%s)", flagged)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fresh calls f with a new session of a worker's user.
func (st *store) fresh(ctx context.Context, worker int, f func(*session) error) error {
	c, err := st.s.connect(ctx, st.s.user(worker))
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.Must("SELECT %q", st.f.name); err != nil {
		return err
	}
	return f(c)
}
