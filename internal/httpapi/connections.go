package httpapi

import (
	"context"
	"net"
	"sync"
	"time"
)

// connections counts open connections and says which more may be opened.
type connections struct {
	max, maxPerAddress int

	mu        sync.Mutex
	open      int
	reserved  int
	addresses map[string]*addressCount
}

// addressCount is how many connections an address has open.
type addressCount struct{ open, reserved int }

func newConnections(limit, perAddress int) *connections {
	return &connections{
		max: limit, maxPerAddress: perAddress, addresses: make(map[string]*addressCount),
	}
}

// admission is what becomes of a new connection.
type admission uint8

const (
	admitted     admission = iota
	admittedOnce           // past the limits: for one request to /health
	refused
)

// admit counts a new connection of an address, unless it is refused.
func (c *connections) admit(address string) admission {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.addresses[address]
	if n == nil {
		n = new(addressCount)
	}
	result := admitted
	switch {
	case c.open < c.max && n.open < c.maxPerAddress:
		c.open++
		n.open++
	case c.reserved < reservedConnections && n.reserved < reservedPerAddress:
		c.reserved++
		n.reserved++
		result = admittedOnce
	default:
		return refused
	}
	c.addresses[address] = n
	return result
}

// release takes an admitted connection off the count.
func (c *connections) release(address string, a admission) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.addresses[address]
	if a == admittedOnce {
		c.reserved--
		n.reserved--
	} else {
		c.open--
		n.open--
	}
	if *n == (addressCount{}) {
		delete(c.addresses, address)
	}
}

// listener is l within the limits.
func (c *connections) listener(l net.Listener) net.Listener { return &limitedListener{l, c} }

type limitedListener struct {
	net.Listener
	connections *connections
}

// Accept returns the next connection that is not refused. Refused ones are closed without an
// answer: they are past the room that is kept for /health, too.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := addressOf(nc)
		a := l.connections.admit(address)
		if a == refused {
			nc.Close()
			continue
		}
		release := func() { l.connections.release(address, a) }
		return &countedConn{Conn: nc, reserved: a == admittedOnce, release: sync.OnceFunc(release)}, nil
	}
}

// addressOf is the client's address without port.
func addressOf(nc net.Conn) string {
	addr := nc.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// countedConn is a connection that was admitted.
type countedConn struct {
	net.Conn
	reserved bool // past the limits
	release  func()
}

// SetReadDeadline gives clients past the limits less time for their header.
func (c *countedConn) SetReadDeadline(t time.Time) error {
	if c.reserved {
		if soon := time.Now().Add(reservedHeaderTimeout); t.IsZero() || t.After(soon) {
			t = soon
		}
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection and takes it off the count.
func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// reservedKey marks the context of connections past the limits.
type reservedKey struct{}

func markReserved(ctx context.Context, nc net.Conn) context.Context {
	if c, ok := nc.(*countedConn); ok && c.reserved {
		return context.WithValue(ctx, reservedKey{}, true)
	}
	return ctx
}

// isReserved reports whether a request came over a connection past the limits.
func isReserved(ctx context.Context) bool { return ctx.Value(reservedKey{}) != nil }
