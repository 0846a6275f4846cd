package imap

import (
	"sync"

	"gadwall/internal/sessions"
)

// openSession makes the connection known as one of its user, who can be told to end it.
func (c *conn) openSession() {
	kicked := make(chan struct{})
	c.kicked = kicked
	once := sync.OnceFunc(func() {
		close(kicked)
		c.in.interrupt()
	})
	login := c.account.Login()
	c.session = c.srv.opts.Sessions.Open(sessions.Info{
		User: c.account.UserID(), Username: c.account.Username(), Actor: actorOf(c.account), Protocol: "imap",
		ActorID: login.Actor, Credential: string(login.Credential), Begun: login.Begun,
		Remote: c.remote, By: login.By, TLS: c.tls, Client: c.clientID,
	}, func(string) { once() })
}

// closeSession makes it unknown.
func (c *conn) closeSession() {
	c.session.Close()
	c.session, c.kicked = nil, nil
}

// isKicked reports whether the session was told to end.
func (c *conn) isKicked() bool {
	select {
	case <-c.kicked: // nil before the login: never
		return true
	default:
		return false
	}
}

// sayStopped tells the client why the server ends the connection.
func (c *conn) sayStopped() {
	if c.isKicked() {
		c.bye("", "The session was ended by the server")
		return
	}
	c.bye("UNAVAILABLE", "Server is shutting down")
}
