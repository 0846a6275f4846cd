package ingest

import "gadwall/internal/sessions"

// openSession makes the connection known as one of its user, who can be told to end it. It then ends
// as when the server shuts down: after a message that is being transferred.
func (c *conn) openSession() {
	login := c.account.Login()
	info := sessions.Info{
		User: c.account.UserID(), Username: c.account.Username(), Protocol: "smtp",
		ActorID: login.Actor, Credential: string(login.Credential), Begun: login.Begun,
		Remote: c.saslClient().Address, By: login.By, TLS: c.tls,
	}
	if actor := c.account.Actor(); actor != info.Username {
		info.Actor = actor
	}
	c.session = c.srv.opts.Sessions.Open(info, func(string) {
		c.mu.Lock()
		c.kicked = true
		c.mu.Unlock()
		c.drain()
	})
}

// isKicked reports whether the session was told to end.
func (c *conn) isKicked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kicked
}
