package imap

import (
	"math"
	"time"
)

// progress tells the client how far a long command is (RFC 9585 section 4). Its methods are called
// by the connection's goroutine, between responses.
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

// at notes that the command has come to a message, and tells it if it is time to.
func (p *progress) at(uid uint32) {
	if !time.Now().Before(p.next) {
		p.tell(p.done(uid))
	}
}

// back is at for a command that goes from the last message to the first.
func (p *progress) back(uid uint32) {
	if !time.Now().Before(p.next) {
		p.tell(p.total - min(p.done(uid), p.total+1) + 1)
	}
}

// reached notes that so much is done, and tells it if it is time to.
func (p *progress) reached(done int64) {
	if !time.Now().Before(p.next) {
		p.tell(uint32(min(done, math.MaxUint32)))
	}
}

// tell tells how much is done: messages of a mailbox, or what the text says.
func (p *progress) tell(done uint32) {
	n := p.began + done
	if !p.open {
		n = min(n, p.goal)
	}
	if n <= p.told {
		return // progress only grows (RFC 9585 section 4)
	}
	p.next, p.told = time.Now().Add(p.c.srv.progressEvery), n
	enc := p.c.enc.Untagged().Raw("OK [INPROGRESS (").String(p.tag).SP().Number(n).SP()
	if p.open {
		enc.NIL()
	} else {
		enc.Number(p.goal)
	}
	enc.Raw(")] ").Text(p.text).CRLF()
	_ = p.c.enc.Flush() // an error shows when the answer is written; the client's leaving ends the command
}
