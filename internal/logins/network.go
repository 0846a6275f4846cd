package logins

import "net/netip"

// NetworkOf is what limits of an address count: an IPv4 address itself, and of an IPv6 address its
// network of 64 bits, which belongs to one client.
func NetworkOf(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}
