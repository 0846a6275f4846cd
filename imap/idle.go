package imap

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"gadwall/imap/wire"
	"gadwall/internal/events"
)

// handleIdle answers IDLE (RFC 2177): it tells changes as they happen, until
// the client says DONE. Without events it polls.
func (c *conn) handleIdle(ctx context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.subscribe(c.account.UserID())
	c.dropCache()
	c.enc.Raw("+ idling\r\n")
	spoke, err := c.tellUntilInput(ctx, syncForced) // what happened before IDLE is told first
	switch {
	case err != nil:
		return err
	case spoke:
		return c.endIdle(cmd.args)
	}
	return c.endIdleByServer(cmd)
}

// tellUntilInput tells changes as they happen until the client sends something. It returns false
// when the connection is to end instead; then BYE was written, or the client is gone. The first
// look for changes is of the mode.
//
// Two goroutines are at work: this one, which alone writes, and the input's
// watcher, which waits for the client's next byte.
func (c *conn) tellUntilInput(ctx context.Context, mode syncMode) (spoke bool, err error) {
	gone := make(chan struct{}, 1)
	readable := make(chan struct{}, 1)
	if c.hasInput() {
		readable <- struct{}{}
	} else {
		c.in.watch(func() { readable <- struct{}{} }, func() { gone <- struct{}{} })
	}
	logout := time.NewTimer(autologout)
	defer logout.Stop()
	poll := time.NewTicker(c.srv.opts.PollInterval)
	defer poll.Stop()

	again := time.NewTimer(autologout) // for a view that stays stale
	defer again.Stop()
	pause := lookAgainMin
	for {
		if err := c.syncIdle(ctx, mode); err != nil {
			if c.syncFailed(err); c.closing {
				return false, nil
			}
		}
		if err := c.enc.Flush(); err != nil {
			return false, err
		}
		mode = syncAll
		if c.sel != nil && c.sel.stale {
			again.Reset(pause + rand.N(pause)) // not all sessions at the same time
			pause = min(2*pause, lookAgainMax)
		} else {
			again.Stop()
			pause = lookAgainMin
		}
		select {
		case <-readable:
			return true, nil
		case ev, ok := <-c.events():
			if !ok {
				c.sub = nil
			} else {
				c.note(ev)
			}
		case <-again.C:
		case <-poll.C:
			if c.sel != nil && time.Since(c.sel.synced) >= c.pollAfter() {
				mode = syncForced
			}
		case <-logout.C:
			c.bye("", "Autologout; idle for too long")
			return false, nil
		case <-c.srv.stop.Done():
			c.sayStopped()
			return false, nil
		case <-c.kicked:
			c.sayStopped()
			return false, nil
		case <-gone:
			c.closing = true
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// syncIdle is sync for a session that looks at its rights when it looks for changes.
func (c *conn) syncIdle(ctx context.Context, mode syncMode) error {
	if c.sel != nil && (c.sel.stale || mode == syncForced) {
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

// events is the channel of the subscription; nil, which never delivers, when
// there is none.
func (c *conn) events() <-chan events.Event {
	if c.sub == nil {
		return nil
	}
	return c.sub.C()
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
