package listen

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// Trusted are the proxies whose headers are believed.
type Trusted struct {
	Networks []netip.Prefix
	Unix     bool // whatever connects to a Unix socket
}

// None reports whether no proxy is trusted.
func (t Trusted) None() bool { return len(t.Networks) == 0 && !t.Unix }

func (t Trusted) has(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return t.Unix
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap().WithZone("")
		return slices.ContainsFunc(t.Networks, func(n netip.Prefix) bool { return n.Contains(ip) })
	}
	return false
}

// proxyListener accepts in a goroutine, and reads each header in another one.
type proxyListener struct {
	net.Listener
	trusted Trusted
	log     *slog.Logger

	accepted chan accepted // unbuffered: what a caller of Accept takes
	closed   chan struct{}
	once     sync.Once
	running  sync.WaitGroup

	mu        sync.Mutex
	waiting   map[net.Conn]struct{} // for their headers
	refused   int                   // since the last complaint
	complaint time.Time
}

type accepted struct {
	conn net.Conn
	err  error
}

// Proxied returns a listener that accepts from l, and believes what trusted proxies say of their
// clients. Without any it is l itself. Closing it closes l, and the connections that wait for their
// headers.
func Proxied(l net.Listener, trusted Trusted, log *slog.Logger) net.Listener {
	if trusted.None() {
		return l
	}
	p := &proxyListener{Listener: l, trusted: trusted, log: log,
		accepted: make(chan accepted), closed: make(chan struct{}), waiting: make(map[net.Conn]struct{})}
	p.running.Go(p.run)
	return p
}

// Accept returns the next connection whose header is complete, or that needs none.
func (p *proxyListener) Accept() (net.Conn, error) {
	select {
	case a := <-p.accepted:
		return a.conn, a.err
	case <-p.closed:
		return nil, &net.OpError{Op: "accept", Net: p.Addr().Network(), Addr: p.Addr(), Err: net.ErrClosed}
	}
}

// Close ends all goroutines of the listener.
func (p *proxyListener) Close() error {
	err := net.ErrClosed
	p.once.Do(func() {
		err = p.Listener.Close()
		close(p.closed)
		p.mu.Lock()
		for conn := range p.waiting {
			conn.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return err
}

func (p *proxyListener) run() {
	for {
		conn, err := p.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || !p.trusted.has(conn.RemoteAddr()):
			// After an error the caller decides when to go on: it takes the error first.
			p.hand(conn, err)
		case !p.await(conn):
			conn.Close()
		default:
			p.running.Go(func() { p.read(conn) })
		}
	}
}

// hand waits for a caller of Accept.
func (p *proxyListener) hand(conn net.Conn, err error) {
	select {
	case p.accepted <- accepted{conn, err}:
	case <-p.closed:
		if conn != nil {
			conn.Close()
		}
	}
}

// await notes that a connection waits for its header, unless too many do.
func (p *proxyListener) await(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
	}
	if len(p.waiting) >= maxHeaders {
		p.complain(conn, errors.New("too many connections without a header"))
		return false
	}
	p.waiting[conn] = struct{}{}
	return true
}

func (p *proxyListener) read(conn net.Conn) {
	client, err := readHeader(conn)
	p.mu.Lock()
	delete(p.waiting, conn)
	if err != nil {
		p.complain(conn, err)
	}
	p.mu.Unlock()
	if err != nil {
		conn.Close()
		return
	}
	p.hand(client, nil)
}

// complain logs refused headers now and then: a proxy that is set up wrongly sends one with every
// connection. The caller holds the mutex.
func (p *proxyListener) complain(conn net.Conn, err error) {
	p.refused++
	if now := time.Now(); now.Sub(p.complaint) >= complainEvery {
		p.log.Warn("a trusted proxy sent no usable PROXY header; the connection is closed",
			"listener", Text(p.Addr()), "proxy", conn.RemoteAddr().String(), "error", err, "connections", p.refused)
		p.complaint, p.refused = now, 0
	}
}

// readHeader reads the header of a connection and returns the connection as the client's.
func readHeader(conn net.Conn) (net.Conn, error) {
	in := bufio.NewReaderSize(conn, headerBuffer)
	header, err := proxyproto.ReadHeaderTimeout(conn, in, headerTimeout)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: conn, local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	if source, target, ok := header.TCPAddrs(); ok && !header.Command.IsLocal() {
		c.remote, c.local = source, target
	}
	if n := in.Buffered(); n > 0 {
		c.ahead = make([]byte, n)
		in.Read(c.ahead) // from the buffer
	}
	return c, nil
}

// A client is a connection that came through a proxy.
type client struct {
	net.Conn
	local, remote net.Addr

	mu    sync.Mutex
	ahead []byte // read together with the header
}

func (c *client) LocalAddr() net.Addr  { return c.local }
func (c *client) RemoteAddr() net.Addr { return c.remote }

func (c *client) Read(p []byte) (int, error) {
	c.mu.Lock()
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	c.mu.Unlock()
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return c.Conn.Read(p)
}
