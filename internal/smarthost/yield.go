package smarthost

import (
	"errors"
	"fmt"
	"time"
)

// A client that says MAIL and then nothing, or that sends its message a few octets at a time, has a
// connection that others wait for. So who waits takes the connection of such a client. Before DATA the
// smarthost has heard nothing but MAIL and RCPT: the transaction says them again on another connection
// when its client goes on. A client that pauses before each RCPT would have more of them said again each
// time: after maxResumes its message is refused. After DATA a message is refused at once.

// ErrSlow reports that the Host took the connection of a client that was slow.
var ErrSlow = errors.New("the client is slow, and others wait for the connection to the smarthost")

// errChanged reports that the smarthost refused a recipient that it took before.
var errChanged = errors.New("the smarthost does not take a recipient any more")

// clientTime is the time that a transaction has waited for its client.
type clientTime struct {
	since   time.Time     // when the wait that is under way began; zero if there is none
	before  time.Duration // all waits before
	sent    int64         // octets that the client has sent meanwhile
	serving bool          // see ServerTurn
}

func (c *clientTime) begins() {
	if !c.serving {
		c.since = time.Now()
	}
}

func (c *clientTime) ends() {
	if !c.since.IsZero() {
		c.before += time.Since(c.since)
		c.since = time.Time{}
	}
}

// dawdles reports whether others may have the connection.
func (c *clientTime) dawdles(data bool) bool {
	if c.since.IsZero() {
		return false
	}
	now := time.Since(c.since)
	if !data {
		return now >= commandLull
	}
	all := c.before + now
	return now >= dataLull || all >= fairTime && float64(c.sent) < minRate*all.Seconds()
}

// ServerTurn says that the caller has work of its own, such as with the database: until ClientTurn, no
// time counts as the client's, and the transaction keeps its connection.
func (t *Transaction) ServerTurn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.client.ends()
	t.client.serving = true
}

// ClientTurn ends what ServerTurn began: the caller waits for the client.
func (t *Transaction) ClientTurn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.client.serving = false
	t.client.begins()
}

// yield gives the connection up if the client dawdles, and reports whether it did.
func (t *Transaction) yield() bool {
	if !t.mu.TryLock() {
		return false // it waits for the smarthost
	}
	defer t.mu.Unlock()
	if t.conn == nil || !t.client.dawdles(t.data != nil) {
		return false
	}
	if t.data != nil {
		t.failed = trouble("4.4.2", ErrSlow)
		t.release(false)
		return true
	}
	if t.resumed >= maxResumes {
		t.failed = trouble("4.4.2", ErrSlow)
	}
	timeout := t.conn.client.CommandTimeout
	t.conn.client.CommandTimeout = quitTimeout
	err := t.conn.client.Reset()
	t.conn.client.CommandTimeout = timeout
	t.release(err == nil)
	return true
}

// resume takes the transaction to where it was when it yielded.
func (t *Transaction) resume() error {
	t.resumed++
	if err := t.connect(); err != nil {
		return err
	}
	for _, r := range t.recipients {
		if err := t.conn.rcpt(r); err != nil {
			t.failed = trouble("4.4.2", fmt.Errorf("%w: %v", errChanged, err)) // not the client's answer
			t.release(t.conn.client.Reset() == nil)
			return t.failed
		}
	}
	return nil
}
