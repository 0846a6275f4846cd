package imap

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"gadwall/internal/mailkey"
)

// userSessions are those of one user on this server.
type userSessions struct {
	count int
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
	c.srv.rare.Info(c.log, "imap: commands wait: too many of the user",
		"commands_a_minute", c.srv.opts.MaxCommandsPerMinute)
	ctx, end := c.untilStop(ctx)
	defer end()
	return c.pace.Wait(ctx)
}
