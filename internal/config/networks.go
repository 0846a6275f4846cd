package config

import (
	"fmt"
	"net/netip"
	"strings"

	"gadwall/internal/listen"
)

// Networks are addresses and networks (CIDR) separated by commas, or "none".
type Networks []netip.Prefix

// wordNone is the value of a list that is empty, wordUnix stands for all Unix sockets.
const (
	wordNone = "none"
	wordUnix = "unix"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Networks) UnmarshalText(text []byte) error {
	*n = Networks{}
	for field := range fieldsOf(string(text)) {
		prefix, err := parsePrefix(field)
		if err != nil {
			return err
		}
		*n = append(*n, prefix)
	}
	return nil
}

// Proxies are Networks, and "unix" for what connects to a Unix socket.
type Proxies listen.Trusted

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Proxies) UnmarshalText(text []byte) error {
	*p = Proxies{}
	for field := range fieldsOf(string(text)) {
		if field == wordUnix {
			p.Unix = true
			continue
		}
		prefix, err := parsePrefix(field)
		if err != nil {
			return err
		}
		p.Networks = append(p.Networks, prefix)
	}
	return nil
}

// String writes the networks as UnmarshalText reads them.
func (n Networks) String() string { return listOf(n, false) }

// String writes the proxies as UnmarshalText reads them.
func (p Proxies) String() string { return listOf(p.Networks, p.Unix) }

func listOf(networks []netip.Prefix, unix bool) string {
	var texts []string
	for _, n := range networks {
		texts = append(texts, n.String())
	}
	if unix {
		texts = append(texts, wordUnix)
	}
	if len(texts) == 0 {
		return wordNone
	}
	return strings.Join(texts, ",")
}

// fieldsOf returns what stands between commas. There is nothing in "none".
func fieldsOf(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for field := range strings.SplitSeq(text, ",") {
			if field = strings.TrimSpace(field); field != "" && field != wordNone && !yield(field) {
				return
			}
		}
	}
}

func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not an address or a network such as 10.0.0.0/8", text)
	}
	return prefix.Masked(), nil
}
