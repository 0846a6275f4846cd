package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// churnCalls are the commands of a repeat.
const churnCalls = 4000

// churnStage is a command of a session, and in how many of a hundred sessions it is sent, and sent
// again after it was sent.
type churnStage struct {
	name         string
	chance, more int
	op           func(v *visit, c *session) (octets int64, err error)
}

// churnStages are the commands of a session between LOGIN and LOGOUT, in their order and with the
// chances of imaptest's default profile.
var churnStages = []churnStage{
	{"list", 50, 0, (*visit).list},
	{"status", 50, 0, (*visit).status},
	{"select", 100, 0, (*visit).selects},
	{"fetch", 100, 0, (*visit).fetch},
	{"body", 100, 30, (*visit).body},
	{"copy", 33, 5, (*visit).copies},
	{"store", 50, 0, (*visit).store},
	{"delete", 100, 0, (*visit).deletes},
	{"expunge", 100, 0, (*visit).expunge},
	{"append", 100, 5, (*visit).appends},
}

// churn has sessions that read and change a mailbox, one after the other for each worker.
type churn struct {
	*ownBoxes
	spool  *spool
	visits []visit // by worker
	parts  *recorder
}

// visit is what a worker is about to do. The worker has a mailbox that no other one changes, so
// each answer is known before. The copies in it are of messages of the spool.
type visit struct {
	*churn
	worker int
	random *rand.Rand
	c      *session  // nil between sessions
	stage  int       // of churnStages, that comes next
	mails  []churned // of the mailbox
	// view is how many messages the server has told this session of.
	view int
}

// churned is a message of the mailbox.
type churned struct {
	mail    int // of the spool
	uid     int // 0: not known yet
	flags   []string
	deleted bool
}

func openChurn(ctx context.Context, s *suite) ([]step, error) {
	ch := &churn{ownBoxes: s.ownBoxes(nil, "churn"), parts: newRecorder(s.Connections)}
	steps := []step{{calls: s.callsOf(churnCalls), warm: int64(s.Connections), assigned: true,
		// Sessions go on when a repeat, and with it the context of its calls, has ended.
		op:    func(_ context.Context, worker int, _ int64) (int64, error) { return ch.op(ctx, worker) },
		parts: ch.parts, check: ch.check, close: func() { ch.close(ctx) }}}
	var err error
	if ch.spool, err = s.spool(ctx, s.Messages, nil); err != nil {
		return steps, err
	}
	for w := range s.Connections {
		ch.visits = append(ch.visits, visit{churn: ch, worker: w, stage: -1,
			random: rand.New(rand.NewPCG(s.Corpus.Seed, uint64(w)))})
	}
	if err := ch.create(ctx); err != nil {
		return steps, err
	}
	err = ch.each(ctx, func(c *session, w int) error {
		for range churnMessages {
			if _, err := ch.visits[w].appends(c); err != nil {
				return err
			}
		}
		return nil
	})
	return steps, err
}

func (ch *churn) close(ctx context.Context) {
	for w := range ch.visits {
		if c := ch.visits[w].c; c != nil {
			c.close()
		}
	}
	if ch.spool != nil {
		_ = ch.spool.close() // a temporary file
	}
	ch.remove(ctx)
}

// op sends the command that comes next in the worker's session.
func (ch *churn) op(ctx context.Context, worker int) (octets int64, err error) {
	v := &ch.visits[worker]
	name, begun := "login", time.Now()
	switch {
	case v.c == nil:
		v.c, err = ch.s.connect(ctx, ch.s.user(worker))
		v.stage = -1
	case v.stage == len(churnStages):
		name = "logout"
		_, err = v.c.Must("LOGOUT")
		v.c.close()
		v.c = nil
	default:
		name = churnStages[v.stage].name
		octets, err = churnStages[v.stage].op(v, v.c)
	}
	if err != nil {
		if v.c != nil {
			v.c.close()
			v.c = nil
		}
		// What the server has done of the command is not known; the mailbox begins anew.
		return 0, v.again(ctx, fmt.Errorf("%s: %w", name, err))
	}
	ch.parts.record(worker, name, time.Since(begun), octets)
	v.next()
	return octets, nil
}

// next chooses the command that comes next.
func (v *visit) next() {
	if v.c == nil {
		return
	}
	if v.stage >= 0 && v.random.IntN(100) < churnStages[v.stage].more {
		return
	}
	for v.stage++; v.stage < len(churnStages); v.stage++ {
		if v.random.IntN(100) < churnStages[v.stage].chance {
			return
		}
	}
}

// again empties and fills the mailbox after an error, which it returns with its own.
func (v *visit) again(ctx context.Context, cause error) error {
	c, err := v.s.connect(ctx, v.s.user(v.worker))
	if err != nil {
		return cause // the next call tries to connect again
	}
	defer c.close()
	v.mails, v.view = nil, 0
	if err := empty(c, v.box()); err != nil {
		return fmt.Errorf("%w; then: %w", cause, err)
	}
	for range churnMessages {
		if _, err := v.appends(c); err != nil {
			return fmt.Errorf("%w; then: %w", cause, err)
		}
	}
	return cause
}

// check compares each mailbox with what is known of it, in a new session.
func (ch *churn) check(ctx context.Context) error {
	return ch.each(ctx, func(c *session, w int) error {
		v := &ch.visits[w]
		view := v.view // of the session that is under way
		defer func() { v.view = view }()
		if _, err := v.selects(c); err != nil || v.view == 0 {
			return err
		}
		_, err := v.fetched(c, 1, v.view, "(UID FLAGS RFC822.SIZE)", func(f *fetched) (bool, error) {
			_, ok := f.get("RFC822.SIZE")
			return ok, nil
		})
		return err
	})
}

func (v *visit) box() string { return v.boxes[v.worker].name }

// heard follows the responses that tell of messages that came and went.
func (v *visit) heard(untagged []string) error {
	for _, line := range untagged {
		number, word, _ := strings.Cut(strings.TrimPrefix(line, "* "), " ")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil:
		case word == "EXISTS":
			if n < v.view || n > len(v.mails) {
				return wrong("%d messages exist; there are %d, and %d were told of", n, len(v.mails), v.view)
			}
			v.view = n
		case word == "EXPUNGE":
			if n < 1 || n > v.view || !v.mails[n-1].deleted {
				return wrong("message %d of %d is expunged", n, v.view)
			}
			v.mails = slices.Delete(v.mails, n-1, n)
			v.view--
		}
	}
	return nil
}

// must sends a command and follows the responses.
func (v *visit) must(c *session, format string, args ...any) ([]string, error) {
	untagged, err := c.Must(format, args...)
	if err != nil {
		return nil, err
	}
	return untagged, v.heard(untagged)
}
