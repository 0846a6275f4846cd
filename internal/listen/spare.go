package listen

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
)

const (
	// spareFrom is where spare ports begin: below are those that services are known by.
	spareFrom = 20000
	// spareTo is where they end, unless the system says where its own range begins.
	spareTo = 32768
	// spareTries is how many ports are looked at: on a machine that runs tests most are free.
	spareTries = 1000
)

// nextSpare makes each call of a process look at other ports, and each process begin elsewhere.
var nextSpare atomic.Uint32

func init() { nextSpare.Store(rand.Uint32()) }

// SpareAddr returns an address on loopback on which nothing listens, for a process that has to be
// told its port, or keeps it over restarts. The system does not give the port to anybody meanwhile:
// the port lies below the range from which connections and listeners that name none get theirs.
func SpareAddr() (string, error) {
	end := spareTo
	// Another system has no such file, and keeps the range at about the same place.
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &end); err != nil {
			return "", fmt.Errorf("ip_local_port_range: %w", err)
		}
	}
	from := min(spareFrom, end/2)
	var last error
	for range spareTries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", from+int(nextSpare.Add(1))%(end-from)))
		if err != nil {
			last = err
			continue
		}
		return l.Addr().String(), l.Close()
	}
	return "", fmt.Errorf("no spare port: %w", last)
}
