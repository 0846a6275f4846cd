package docstore

import (
	"time"
)

// maintain ends idle cursors, overdue transactions and old sessions, until the server closes.
func (s *Server) maintain() {
	idle := time.NewTicker(maintenancePeriod)
	defer idle.Stop()
	swept := time.NewTicker(sessionSweepPeriod)
	defer swept.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-idle.C:
			s.try(func() error {
				s.cursors.expire(now)
				s.expireTransactions(now)
				return nil
			})
		case now := <-swept.C:
			s.try(func() error { return s.sessions.sweep(s.ctx, now) })
		}
	}
}

// expireTransactions aborts transactions that are open too long, their cursors first.
func (s *Server) expireTransactions(now time.Time) {
	s.sessions.expire(now, s.closeCursorsOf)
}

// try runs one pass of maintenance.
func (s *Server) try(f func() error) {
	if err := s.contain("maintenance", f); err != nil {
		s.log.Error("maintenance", "error", err.Error())
	}
}
