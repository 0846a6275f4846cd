package workload

import (
	"context"
	"errors"
	"sync"

	"gadwall/internal/imapconn"
)

// session is a worker's connection to IMAP. The end of the context closes it.
type session struct {
	*imapconn.Conn
	release func() bool // of the context
}

// connect logs in as a user of the suite.
func (s *suite) connect(ctx context.Context, user int) (*session, error) {
	conn, err := imapconn.Dial(s.Target.IMAP, answerTimeout)
	if err != nil {
		return nil, err
	}
	c := &session{Conn: conn}
	c.release = context.AfterFunc(ctx, func() { conn.Close() })
	if _, err := c.Must("LOGIN %q %q", s.Target.User(user), s.Target.Password); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *session) close() {
	c.release()
	c.Close()
}

// pool has a connection for each worker. Worker w is user w modulo the number of users.
type pool struct {
	s        *suite
	mailbox  string // selected on each connection; empty for none
	sessions []*session
}

// openPool connects all workers.
func (s *suite) openPool(ctx context.Context, mailbox string) (*pool, error) {
	p := &pool{s: s, mailbox: mailbox, sessions: make([]*session, s.Connections)}
	errs := make([]error, s.Connections)
	var workers sync.WaitGroup
	for w := range s.Connections {
		workers.Go(func() { _, errs[w] = p.get(ctx, w) })
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// user is that of a worker.
func (s *suite) user(worker int) int { return worker % s.Users }

// get returns the connection of a worker, a new one after an error. Only the worker may call it.
func (p *pool) get(ctx context.Context, worker int) (*session, error) {
	if c := p.sessions[worker]; c != nil {
		return c, nil
	}
	c, err := p.s.connect(ctx, p.s.user(worker))
	if err != nil {
		return nil, err
	}
	if p.mailbox != "" {
		if _, err := c.Must("SELECT %q", p.mailbox); err != nil {
			c.close()
			return nil, err
		}
	}
	p.sessions[worker] = c
	return c, nil
}

// do calls f with the connection of a worker, which is closed if f fails: nobody knows then what
// the server still sends.
func (p *pool) do(ctx context.Context, worker int, f func(*session) error) error {
	c, err := p.get(ctx, worker)
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		c.close()
		p.sessions[worker] = nil
		return err
	}
	return nil
}

func (p *pool) close() {
	for _, c := range p.sessions {
		if c != nil {
			c.close()
		}
	}
}
