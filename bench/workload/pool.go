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
	conn, err := s.Target.DialIMAP(answerTimeout)
	if err != nil {
		return nil, err
	}
	c := &session{Conn: conn}
	raw := conn.Conn // Login may put something on top
	c.release = context.AfterFunc(ctx, func() { raw.Close() })
	if err := s.Target.Login(conn, user); err != nil {
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
	s *suite
	// connected is the context of connections. That of a call ends with its repeat, and a connection
	// that the call has made goes on.
	connected context.Context
	ready     func(c *session, worker int) error // prepares each connection
	sessions  []*session
}

// openPool connects all workers, and selects the same mailbox of their users, if it has a name.
func (s *suite) openPool(ctx context.Context, mailbox string) (*pool, error) {
	return s.openPoolOf(ctx, s.Connections, selecting(func(int) string { return mailbox }))
}

// selecting selects a mailbox for each worker; an empty name is none.
func selecting(mailbox func(worker int) string) func(*session, int) error {
	return func(c *session, worker int) (err error) {
		if name := mailbox(worker); name != "" {
			_, err = c.Must("SELECT %q", name)
		}
		return err
	}
}

// openPoolOf connects so many workers, and prepares each connection.
func (s *suite) openPoolOf(ctx context.Context, n int, ready func(c *session, worker int) error) (*pool, error) {
	p := &pool{s: s, connected: ctx, ready: ready, sessions: make([]*session, n)}
	errs := make([]error, n)
	var workers sync.WaitGroup
	for w := range n {
		workers.Go(func() { _, errs[w] = p.get(w) })
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
func (p *pool) get(worker int) (*session, error) {
	if c := p.sessions[worker]; c != nil {
		return c, nil
	}
	c, err := p.s.connect(p.connected, p.s.user(worker))
	if err != nil {
		return nil, err
	}
	if err := p.ready(c, worker); err != nil {
		c.close()
		return nil, err
	}
	p.sessions[worker] = c
	return c, nil
}

// do calls f with the connection of a worker, which is closed if f fails: nobody knows then what
// the server still sends.
func (p *pool) do(_ context.Context, worker int, f func(*session) error) error {
	c, err := p.get(worker)
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

// each calls f for all workers, one after the other.
func (p *pool) each(ctx context.Context, f func(c *session, worker int) error) error {
	for w := range p.sessions {
		if err := p.do(ctx, w, func(c *session) error { return f(c, w) }); err != nil {
			return err
		}
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
