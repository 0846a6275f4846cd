package ingest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// origin is where a connection comes from, as far as limits go.
type origin struct {
	trusted bool       // Options.TrustedMTAs has it, or it came through a Unix socket
	network netip.Addr // an IPv4 address, or the first of a /64 of IPv6; zero for others
}

// originOf tells where a client is. RemoteAddr may be what a proxy said.
func (s *Server) originOf(remote net.Addr) origin {
	switch a := remote.(type) {
	case *net.UnixAddr:
		return origin{trusted: true} // who may connect is decided by the file's permissions
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap().WithZone("")
		trusted := slices.ContainsFunc(s.opts.TrustedMTAs, func(n netip.Prefix) bool {
			return n.Contains(ip)
		})
		if ip.Is6() {
			ip = netip.PrefixFrom(ip, ipv6Client).Masked().Addr()
		}
		return origin{trusted, ip}
	}
	return origin{}
}

// remoteAttrs are the attributes of a log line that tell where a client is.
func remoteAttrs(remote net.Addr) []any {
	switch a := remote.(type) {
	case *net.UnixAddr:
		return []any{"remote", "unix"}
	case *net.TCPAddr:
		at := a.AddrPort()
		return []any{"remote", at.Addr().Unmap().String(), "port", at.Port()}
	}
	return []any{"remote", remote.String()}
}

// admission counts connections, and remembers who asks for users that do not exist. Trusted
// clients are counted apart: strangers cannot keep them out.
type admission struct {
	max, maxPerNetwork int

	mu        sync.Mutex
	trusted   int
	strangers int
	networks  map[netip.Addr]*network
}

// network is what is known of the strangers of one network.
type network struct {
	open    int       // connections
	refused float64   // recipients refused lately; one is forgotten every refusalMemory
	at      time.Time // when refused was right
}

// forget lets time pass for what is remembered.
func (n *network) forget(now time.Time) {
	n.refused = max(0, n.refused-float64(now.Sub(n.at))/float64(refusalMemory))
	n.at = now
}

// admit counts a connection, or returns the reply that turns it away, and the reason for metrics.
func (a *admission) admit(from origin) (refusal *reply, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if from.trusted {
		if a.trusted >= a.max {
			return &replyFullHouse, refusedFull
		}
		a.trusted++
		return nil, ""
	}
	if a.strangers >= a.max {
		return &replyFullHouse, refusedFull
	}
	n := a.networks[from.network]
	if n == nil {
		a.sweep()
		n = &network{at: time.Now()}
		a.networks[from.network] = n
	}
	if n.open >= a.maxPerNetwork {
		return &replyAddressFull, refusedAddress
	}
	n.open++
	a.strangers++
	return nil, ""
}

// sweep forgets networks without connections, once there are many. Those with connections are
// bounded by max.
func (a *admission) sweep() {
	if len(a.networks) < maxNetworks {
		return
	}
	now := time.Now()
	for key, n := range a.networks {
		if n.forget(now); n.open == 0 && n.refused == 0 {
			delete(a.networks, key)
		}
	}
	// Room for many, so that not every connection of an attack makes this walk.
	for key, n := range a.networks {
		if len(a.networks) < maxNetworks*3/4 {
			return
		}
		if n.open == 0 {
			delete(a.networks, key)
		}
	}
}

// leave ends the counting of a connection.
func (a *admission) leave(from origin) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if from.trusted {
		a.trusted--
		return
	}
	a.strangers--
	n := a.networks[from.network]
	n.open--
	if n.forget(time.Now()); n.open == 0 && n.refused == 0 {
		delete(a.networks, from.network)
	}
}

// refuse notes a recipient that does not exist, and returns how long the reply shall wait: nothing
// for the first ones, and more with each.
func (a *admission) refuse(from origin) time.Duration {
	if from.trusted {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.networks[from.network]
	n.forget(time.Now())
	n.refused++
	return min(max(0, time.Duration(n.refused-freeRefusals)*refusalDelay), maxRefusalDelay)
}
