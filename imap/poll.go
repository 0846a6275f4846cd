package imap

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
)

// poller looks for changes of which no event told, for all sessions that wait in IDLE, by one query.
// A session that waits enters its view. When the poller finds the mailbox changed, it wakes the
// session, which then looks itself. It is safe for concurrent use.
//
// Lock order: poller.mu, then input.mu.
type poller struct {
	mu      sync.Mutex
	waiting map[*conn]*waitingView
	account *account.Account // of one of those that have waited
}

// waitingView is the view of a session that waits.
type waitingView struct {
	box    *account.Mailbox
	modSeq uint64
	behind bool      // the mailbox has another mod-sequence, or is not there
	looked time.Time // when the poller found it as it is; zero if it has not
}

// enter begins to look for the session, until leave. The session enters nothing that is not looked
// for by a mod-sequence alone: see conn.pollsAlone.
func (p *poller) enter(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[*conn]*waitingView)
	}
	p.waiting[c] = &waitingView{box: c.sel.box, modSeq: c.sel.view.ModSeq()}
	p.account = c.account
}

// leave ends that. The session's goroutine learns what the poller has found.
func (p *poller) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.waiting[c]
	if v == nil {
		return
	}
	delete(p.waiting, c)
	if v.behind {
		c.sel.stale = true
	}
	if v.looked.After(c.sel.synced) {
		c.sel.synced = v.looked
	}
}

// hears reports whether events tell of what other instances do.
func (p *poller) hears() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.account != nil && p.account.HearsOthers()
}

// look looks once for all that wait.
func (p *poller) look(ctx context.Context) error {
	p.mu.Lock()
	views := make(map[*conn]waitingView, len(p.waiting))
	boxes := make(map[mailkey.Mailbox]*account.Mailbox, len(p.waiting))
	for c, v := range p.waiting {
		views[c], boxes[v.box.Key()] = *v, v.box
	}
	p.mu.Unlock()
	if len(boxes) == 0 {
		return nil
	}
	begun := time.Now()
	found, err := account.HighestModSeqs(ctx, boxes)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, v := range views {
		now := p.waiting[c]
		if now == nil || now.box != v.box || now.modSeq != v.modSeq {
			continue // it has looked itself meanwhile
		}
		if found[v.box.Key()] == v.modSeq {
			now.looked = begun
			continue
		}
		now.behind = true
		c.in.wake()
	}
	return nil
}

// poll looks again and again until the server stops: at intervals of Options.PollInterval, or of
// trustedPollInterval to twice that as long as events of other instances arrive.
func (s *Server) poll() {
	var due time.Time // while events arrive
	timer := time.NewTimer(spread(s.opts.PollInterval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.stop.Done():
			return
		}
		timer.Reset(spread(s.opts.PollInterval))
		if s.views.hears() && time.Now().Before(due) {
			continue
		}
		if err := s.views.look(s.stop); err != nil {
			if s.stop.Err() == nil {
				s.rare.Warn(s.log, "imap: could not look for changes", "error", err)
			}
			continue
		}
		due = time.Now().Add(trustedPollInterval + rand.N(max(trustedPollInterval-s.opts.PollInterval, 1)))
	}
}

// spread is about d, so that instances which began together do not look together.
func spread(d time.Duration) time.Duration { return d - d/4 + rand.N(d/2+1) }

// pollsAlone reports whether the session has more to look for at intervals than the poller does: more
// than a mod-sequence tells of the mailboxes of others, metadata, and other mailboxes (NOTIFY).
func (c *conn) pollsAlone() bool {
	return c.sel == nil || c.sel.box.Foreign() || c.notify != nil || c.tellsAnnotations(c.notify)
}
