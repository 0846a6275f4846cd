package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Resolver asks name servers. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

var _ Resolver = (*net.Resolver)(nil)

// names looks at what name servers know of the hostname.
func names(ctx context.Context, o *Options, f *findings) {
	host := o.Serve.Hostname
	if !strings.Contains(host, ".") {
		f.warn("Set --hostname to the full name of this machine, such as mail.example.com.",
			"The hostname %q is no full name: other mail servers may not believe trace lines and greetings.", host)
		return
	}
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	addresses, err := o.Resolver.LookupNetIP(ask, "ip", host)
	if err != nil {
		add := f.warn
		if isUnknown(err) {
			add = f.problem
		}
		add("Add A or AAAA records for it, or set --hostname to a name that has some.",
			"%s has no address: %v", host, err)
		return
	}
	f.ok("%s has the addresses %s.", host, join(addresses))
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		back, err := o.Resolver.LookupAddr(ask, a.String())
		cancel()
		if err != nil || !slices.ContainsFunc(back, func(name string) bool { return sameName(name, host) }) {
			f.warn("Have who runs the network set the PTR record of the address to the hostname: "+
				"other mail servers refuse senders without one.", "%s does not lead back to %s (%s).", a, host,
				either(err, strings.Join(back, " ")))
		}
	}
	_, domain, _ := strings.Cut(host, ".")
	ask, cancel = context.WithTimeout(ctx, askTimeout)
	defer cancel()
	list, err := o.Resolver.LookupMX(ask, domain)
	switch {
	case err != nil && !isUnknown(err):
		f.warn("Try again, or look at the name servers of the domain.", "Nobody tells the MX of %s: %v", domain, err)
	case len(list) == 0:
		f.warn("Add an MX record that names the server which takes the domain's mail, if it has any.",
			"%s has no MX.", domain)
	default:
		var hosts []string
		for _, mx := range list {
			hosts = append(hosts, strings.TrimSuffix(mx.Host, "."))
		}
		f.ok("Mail for %s goes to %s.", domain, strings.Join(hosts, ", "))
	}
}

// isUnknown reports whether a name server says that there is no such record.
func isUnknown(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func join(list []netip.Addr) string {
	var all []string
	for _, a := range list {
		all = append(all, a.Unmap().String())
	}
	return strings.Join(all, ", ")
}

// either is the text of the error, or the other text.
func either(err error, text string) string {
	if err != nil {
		return err.Error()
	}
	return text
}
