package imap

import (
	"context"
	"time"
)

// push tells changes between commands until the client sends something (RFC 5465 section 3.1). It
// returns false when the connection is to end.
func (c *conn) push(ctx context.Context) (spoken bool, err error) {
	if c.hasInput() {
		return true, nil // the client did not wait for the answers of its commands
	}
	c.betweenCommands = true
	defer func() {
		c.betweenCommands = false
		c.notify.hold = false
	}()
	return c.tellUntilInput(ctx, syncAll)
}

// mayLook lets the session look at other mailboxes, or not yet.
func (n *notifications) mayLook(c *conn) {
	if n != nil {
		n.hold = time.Since(n.told) < c.srv.notifyPause
	}
}

// unsettled reports whether there is something to look at although the session may look, and has done
// so just now: the look failed, or the database showed less than an event told of.
func (n *notifications) unsettled(c *conn) bool { return n != nil && !n.hold && n.pending(c) }

// untilLook is how long the next look at other mailboxes waits, if there is a reason for one.
func (n *notifications) untilLook(c *conn) time.Duration {
	if n == nil || !n.hold || !n.pending(c) {
		return autologout
	}
	return max(c.srv.notifyPause-time.Since(n.told), 0)
}

// tooSlow ends all notifications of a client that took too long to read what it was told between
// commands.
func (c *conn) tooSlow(waited time.Duration) bool {
	if !c.readsTooSlowly(waited) {
		return false
	}
	c.overflow("The client reads too slowly")
	return true
}

func (c *conn) readsTooSlowly(waited time.Duration) bool {
	return c.betweenCommands && c.notify.pushes() && waited > c.srv.notifyPatience
}
