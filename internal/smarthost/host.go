package smarthost

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Mode says how connections are encrypted.
type Mode uint8

const (
	StartTLS Mode = iota // STARTTLS before anything else (RFC 3207)
	TLS                  // from the first octet
	Plain                // not at all
)

// Options of a Host. Address and Hostname are required, and TLS unless the mode is Plain.
type Options struct {
	Address  string // host:port
	Hostname string // what this server calls itself
	Mode     Mode
	TLS      *tls.Config // with ServerName
	// User logs in with the password that is the first line of PasswordFile; without User nobody does.
	User, PasswordFile string
	Connections        int           // 0 is DefaultConnections
	Timeout            time.Duration // of each command; 0 is DefaultTimeout
}

// Host is the smarthost. It is safe for concurrent use.
type Host struct {
	opts  Options
	slots chan struct{} // one for each connection in use

	mu         sync.Mutex
	idle       []*conn        // the one used last stands last
	users      map[string]int // transactions of each
	open       map[*Transaction]struct{}
	extensions map[string]bool // that the smarthost offered lately; nil: not known
	closed     bool
	expiry     *time.Timer // of the first idle connection; nil if there is none
}

// New returns a Host, which connects when it is needed.
func New(o Options) *Host {
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Host{opts: o, slots: make(chan struct{}, o.Connections), users: make(map[string]int),
		open: make(map[*Transaction]struct{})}
}

// Probe connects once, to learn what the smarthost offers. The connection serves the next
// transaction. The error is a *Trouble.
func (h *Host) Probe(ctx context.Context) error {
	c, err := h.dial(ctx)
	if err != nil {
		return err
	}
	h.keep(c)
	return nil
}

// known are the extensions on which callers ask Offers.
var known = []string{"DSN", "SMTPUTF8", "8BITMIME"}

// Offers reports whether the smarthost offered an extension lately.
func (h *Host) Offers(extension string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.extensions[extension]
}

func (h *Host) noteExtensions(client *smtp.Client) {
	list := make(map[string]bool)
	for _, name := range known {
		list[name], _ = client.Extension(name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.extensions = list
}

// Connections counts the connections in use, and those that wait for a transaction.
func (h *Host) Connections() (used, idle int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.slots), len(h.idle)
}

// slot waits for the right to a connection. Meanwhile, clients that dawdle lose theirs. The error is a
// *Trouble.
func (h *Host) slot(ctx context.Context) error {
	over := time.NewTimer(waitTimeout)
	defer over.Stop()
	look := time.NewTicker(reclaimInterval)
	defer look.Stop()
	for {
		select {
		case h.slots <- struct{}{}:
			return nil
		default:
		}
		if h.reclaim() {
			continue
		}
		select {
		case h.slots <- struct{}{}:
			return nil
		case <-look.C:
		case <-over.C:
			return trouble("4.3.2", ErrBusy)
		case <-ctx.Done():
			return trouble("4.3.2", ctx.Err())
		}
	}
}

// reclaim takes a connection from a transaction whose client dawdles, and reports whether there was
// one.
func (h *Host) reclaim() bool {
	h.mu.Lock()
	list := slices.Collect(maps.Keys(h.open))
	h.mu.Unlock()
	return slices.ContainsFunc(list, (*Transaction).yield)
}

// admit counts a transaction of a user, unless there are enough.
func (h *Host) admit(user string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[user] >= max(1, h.opts.Connections/userShare) {
		return false
	}
	h.users[user]++
	return true
}

func (h *Host) dismiss(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[user]--; h.users[user] <= 0 {
		delete(h.users, user)
	}
}

// take returns an idle connection, or nil.
func (h *Host) take() *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.idle)
	if n == 0 {
		return nil
	}
	c := h.idle[n-1]
	h.idle = h.idle[:n-1]
	return c
}

// keep makes a connection idle.
func (h *Host) keep(c *conn) {
	h.mu.Lock()
	if h.closed || len(h.idle) >= h.opts.Connections {
		h.mu.Unlock()
		c.quit()
		return
	}
	c.until = time.Now().Add(idleTimeout)
	h.idle = append(h.idle, c)
	h.schedule()
	h.mu.Unlock()
}

// schedule sets the timer for the connection that has been idle for longest. h.mu is held.
func (h *Host) schedule() {
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
	}
	if len(h.idle) > 0 {
		h.expiry = time.AfterFunc(time.Until(h.idle[0].until), h.expire)
	}
}

// expire ends connections that were idle for long.
func (h *Host) expire() {
	var old []*conn
	h.mu.Lock()
	for now := time.Now(); len(h.idle) > 0 && !h.idle[0].until.After(now); h.idle = h.idle[1:] {
		old = append(old, h.idle[0])
	}
	if !h.closed {
		h.schedule()
	}
	h.mu.Unlock()
	for _, c := range old {
		c.quit()
	}
}

// Close ends the idle connections. Transactions that are under way go on.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	idle := h.idle
	h.idle = nil
	h.schedule()
	h.mu.Unlock()
	for _, c := range idle {
		c.quit()
	}
}

// isLost reports whether a connection that was idle seems to be closed by the smarthost: it says
// nothing, or 421 (RFC 5321 section 3.8).
func isLost(err error) bool {
	if err == nil || errors.Is(err, ErrUnsupported) {
		return false
	}
	var e *smtp.SMTPError
	return !errors.As(err, &e) || e.Code == 421
}
