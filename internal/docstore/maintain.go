package docstore

import (
	"time"
)

// maintain closes what nobody uses any more, until the server closes.
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
			s.cursors.expire(now)
			s.expireTransactions(now)
		case now := <-swept.C:
			if err := s.sessions.sweep(s.ctx, now); err != nil {
				s.log.Error("maintenance", "error", err)
			}
		}
	}
}

// expireTransactions aborts transactions that are open too long, their cursors first.
func (s *Server) expireTransactions(now time.Time) {
	s.sessions.expire(now, s.closeCursorsOf)
}
