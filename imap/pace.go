package imap

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"gadwall/internal/mailkey"
)

// userSessions are those of one user on this server.
type userSessions struct {
	count int           // 0: they have ended, and the pace is kept until it has rested
	pace  *rate.Limiter // of all their commands; nil: they have no limit
}

// newPace returns the pace of a user who may send so many commands a minute, all of them at once if
// none came for a minute; nil for 0.
func newPace(perMinute int) *rate.Limiter {
	if perMinute <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(float64(perMinute)/time.Minute.Seconds()), perMinute)
}

// rested reports whether the user's pace is as that of one who comes anew.
func (u userSessions) rested() bool {
	return u.pace == nil || u.pace.Tokens() >= float64(u.pace.Burst())
}

// pruneUsers forgets some of the users who have left and whose pace has rested; s.mu is held. It is
// called as often as users come, and forgets more than that.
func (s *Server) pruneUsers() {
	looked := 0
	for user, u := range s.perUser { // from any place on
		if looked++; looked > prunedAtOnce {
			return
		}
		if u.count == 0 && u.rested() {
			delete(s.perUser, user)
		}
	}
}

// paceOf returns the pace of a user who is logged in.
func (s *Server) paceOf(user mailkey.UserID) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perUser[user].pace
}

// keepPace waits until the user may have another command run, so that one who sends them without a
// pause leaves others their share of the server. The command's context ends when the client goes.
func (c *conn) keepPace(ctx context.Context) error {
	if c.pace == nil || c.pace.Allow() {
		return nil
	}
	c.endSeries()
	c.srv.rare.Info(c.log, "imap: commands wait: too many of the user",
		"commands_a_minute", c.srv.opts.MaxCommandsPerMinute)
	ctx, end := c.untilStop(ctx)
	defer end()
	if err := c.pace.Wait(ctx); err != nil || !c.isKicked() {
		return err
	}
	return context.Canceled // the session ends, and the command does not run
}
