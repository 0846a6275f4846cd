package imap

import (
	"fmt"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// progress tells the client how far a long command is (RFC 9585 section 4), between responses. Only the
// connection's goroutine writes. Work that may take long without a word runs in meanwhile.
type progress struct {
	c     *conn
	tag   string
	text  string
	goal  uint32
	open  bool                    // it is not known how much there will be
	total uint32                  // the messages of the mailbox that is searched now
	done  func(uid uint32) uint32 // how many messages are done when this one is
	told  uint32                  // the last number that was told
	began uint32                  // what earlier parts of the command have done
	next  time.Time

	// While meanwhile runs: what the work has come to, as at (a UID), back (a UID, negative) or
	// reached (a number) noted it, and functions that the work wants the connection's goroutine to call.
	apart  bool
	latest atomic.Int64
	turns  chan func()
}

// newProgress begins to observe a search of so many messages.
func (c *conn) newProgress(tag string, goal uint32, done func(uid uint32) uint32) *progress {
	p := c.newCount(tag, "Searching")
	p.open, p.goal, p.total, p.done = false, goal, goal, done
	return p
}

// newCount begins to observe a command that does nobody knows how much.
func (c *conn) newCount(tag, text string) *progress {
	return &progress{c: c, tag: tag, text: text, open: true, next: time.Now().Add(c.srv.progressEvery)}
}

// newGoal begins to observe a command that does so much.
func (c *conn) newGoal(tag, text string, goal uint32) *progress {
	p := c.newCount(tag, text)
	p.open, p.goal = false, goal
	return p
}

// meanwhile calls work in a goroutine of its own, and tells the client how far it is, be it no farther
// than before, until it has ended. The work may call at, back, reached and inTurn. It touches nothing of
// the connection that changes.
func (p *progress) meanwhile(work func() error) (err error) {
	p.apart, p.turns = true, make(chan func())
	p.latest.Store(0)
	done := make(chan struct{})
	var panicked any
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				panicked = fmt.Sprintf("%v\n%s", r, debug.Stack())
			}
		}()
		err = work()
	}()
	timer := time.NewTimer(time.Until(p.next))
	defer timer.Stop()
	for {
		select {
		case turn := <-p.turns:
			turn()
			continue
		case <-timer.C:
			p.tell(p.count(p.latest.Load()), true)
			timer.Reset(p.c.srv.progressEvery)
			continue
		case <-done:
		}
		break
	}
	p.apart = false
	if panicked != nil {
		panic(panicked) // is the connection's to handle
	}
	p.note(p.latest.Load())
	return err
}

// inTurn lets the connection's goroutine call a function for the work of meanwhile, and waits for it.
func (p *progress) inTurn(f func() error) (err error) {
	called := make(chan struct{})
	p.turns <- func() {
		defer close(called)
		err = f()
	}
	<-called
	return err
}

// at notes that the command has come to a message.
func (p *progress) at(uid uint32) { p.note(int64(uid)) }

// back is at for a command that goes from the last message to the first.
func (p *progress) back(uid uint32) { p.note(-int64(uid)) }

// reached notes that so much is done.
func (p *progress) reached(done int64) { p.note(done) }

// note takes what the command has come to, and tells it if it is time to.
func (p *progress) note(at int64) {
	if p.apart {
		p.latest.Store(at)
	} else if !time.Now().Before(p.next) {
		p.tell(p.count(at), false)
	}
}

// count is how much is done when the command has come to what was noted.
func (p *progress) count(at int64) uint32 {
	switch {
	case p.done == nil:
		return uint32(min(at, math.MaxUint32))
	case at > 0:
		return p.done(uint32(at))
	case at < 0:
		return p.total - min(p.done(uint32(-at)), p.total+1) + 1
	}
	return 0
}

// tell tells how much is done: messages of a mailbox, or what the text says. It tells the same again
// only to show that the command is still at work. No number is less than one before (RFC 9585 section
// 4).
func (p *progress) tell(done uint32, again bool) {
	n := p.began + done
	if !p.open {
		n = min(n, p.goal)
	}
	if n <= p.told && !again {
		return
	}
	n = max(n, p.told)
	p.next, p.told = time.Now().Add(p.c.srv.progressEvery), n
	enc := p.c.enc.Untagged().Raw("OK [INPROGRESS (").String(p.tag).SP()
	if n == 0 && p.open {
		enc.NIL()
	} else {
		enc.Number(n)
	}
	enc.SP()
	if p.open || p.goal == 0 {
		enc.NIL()
	} else {
		enc.Number(p.goal)
	}
	enc.Raw(")] ").Text(p.text).CRLF()
	_ = p.c.enc.Flush() // an error shows when the answer is written; the client's leaving ends the command
}
