package imap

import "time"

// progress tells the client how far a long command is (RFC 9585 section 4). Its methods are called
// by the connection's goroutine, between responses.
type progress struct {
	c     *conn
	tag   string
	goal  uint32
	total uint32                  // the messages of the mailbox that is searched now
	done  func(uid uint32) uint32 // how many messages are done when this one is
	told  uint32                  // the last number that was told
	began uint32                  // what earlier parts of the command have done
	next  time.Time
}

// newProgress begins to observe a command that looks at so many messages.
func (c *conn) newProgress(tag string, goal uint32, done func(uid uint32) uint32) *progress {
	return &progress{c: c, tag: tag, goal: goal, total: goal, done: done, next: time.Now().Add(c.srv.progressEvery)}
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

// tell tells how many messages of the mailbox are done.
func (p *progress) tell(done uint32) {
	n := min(p.began+done, p.goal)
	if n <= p.told || p.goal == 0 {
		return // progress only grows (RFC 9585 section 4)
	}
	p.next, p.told = time.Now().Add(p.c.srv.progressEvery), n
	p.c.enc.Untagged().Raw("OK [INPROGRESS (").String(p.tag).SP().Number(n).SP().Number(p.goal).
		Raw(")] Searching").CRLF()
	_ = p.c.enc.Flush() // an error shows when the answer is written; the client's leaving ends the command
}
