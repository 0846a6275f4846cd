package imap

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"gadwall/imap/wire"
)

// handleIdle answers IDLE (RFC 2177): it tells changes as they happen, until
// the client says DONE. Without events it polls.
func (c *conn) handleIdle(ctx context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.subscribe(c.account.UserID())
	c.enc.Raw("+ idling\r\n")
	spoken, err := c.tellUntilInput(ctx, syncForced) // what happened before IDLE is told first
	switch {
	case err != nil:
		return err
	case spoken:
		return c.endIdle(cmd.args)
	}
	return c.endIdleByServer(cmd)
}

// tellUntilInput tells changes as they happen until the client sends something. It returns false
// when the connection is to end instead; then BYE was written, or the client is gone. The first
// look for changes is of the mode.
func (c *conn) tellUntilInput(ctx context.Context, mode syncMode) (spoken bool, err error) {
	begun := time.Now()
	logout := begun.Add(autologout)
	pause := lookAgainMin // of a view that stays stale
	for {
		c.notify.mayLook(c)
		waited, written := c.out.waited, c.enc.Written()
		failed := false
		if err := c.syncIdle(ctx, mode); err != nil {
			if c.syncFailed(err); c.closing {
				return false, nil
			}
			failed = true
		} else if c.sel != nil && c.enc.Written() != written {
			c.warn(true)
		}
		if err := c.enc.Flush(); err != nil {
			return false, err
		}
		if c.tooSlow(c.out.waited - waited) {
			continue
		}
		if c.hasInput() {
			return true, nil
		}
		mode = syncAll
		wait := min(c.untilPoll(), c.notify.untilLook(c))
		if quiet := quietAfter - time.Since(begun); c.betweenCommands && quiet > 0 {
			wait = min(wait, quiet)
		} else {
			c.release()
		}
		switch behind := c.sel != nil && c.sel.stale && !c.notify.silent(); {
		case failed || behind || c.notify.unsettled(c):
			wait = min(wait, pause+rand.N(pause)) // not all sessions at the same time
			pause = min(2*pause, lookAgainMax)
		case !c.notify.pending(c):
			pause = lookAgainMin
		}
		if !c.pollsAlone() {
			c.srv.views.enter(c)
		}
		came := c.in.await(min(wait, time.Until(logout)), true)
		c.srv.views.leave(c)
		switch came {
		case spoke:
			if c.hasDecoded() {
				return true, nil
			}
		case left:
			c.closing = true
			return false, nil
		case interrupted:
			c.sayStopped()
			return false, nil
		case nothing:
			if !time.Now().Before(logout) {
				c.bye("", "Autologout; idle for too long")
				return false, nil
			}
			if c.sel != nil && !c.notify.silent() && time.Since(c.sel.synced) >= c.pollAfter() {
				mode = syncForced
			}
		case awake: // there are events, or the poller has found something
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// untilPoll is how long what the client was told is good without events and without the poller.
func (c *conn) untilPoll() time.Duration {
	looked := time.Now()
	switch {
	case !c.pollsAlone():
		return autologout
	case c.sel != nil && !c.notify.silent():
		looked = c.sel.synced
	case c.tellsAnnotations(c.notify):
		looked = c.annotations.looked
	}
	if n := c.notify; n != nil && n.boxes != nil && n.looked.Before(looked) {
		looked = n.looked
	}
	return max(c.pollAfter()-time.Since(looked), c.srv.opts.PollInterval)
}

// syncIdle is sync for a session that looks at its rights when it looks for changes.
func (c *conn) syncIdle(ctx context.Context, mode syncMode) error {
	c.takeEvents() // one of them may be of other rights
	if c.sel != nil && !c.notify.silent() && (c.sel.stale || mode == syncForced) {
		if err := c.refresh(ctx); err != nil {
			c.sel.stale = true // until it worked
			return err
		}
	}
	return c.sync(ctx, mode)
}

// endIdleByServer ends IDLE without the client's DONE. BYE, which was written, is the whole
// answer: a tagged OK means that the client ended it.
func (c *conn) endIdleByServer(cmd *command) error {
	cmd.answered = true
	return nil
}

// endIdle reads DONE.
func (c *conn) endIdle(dec *wire.Decoder) error {
	line, err := dec.RawLine()
	if err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimRight(line, " "), "DONE") {
		return wire.Errorf("expected DONE")
	}
	return nil
}
