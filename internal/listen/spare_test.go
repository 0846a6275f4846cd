package listen

import (
	"net"
	"testing"
)

// TestSpareAddr: nothing listens at the address, a server can, and no connection comes from it.
func TestSpareAddr(t *testing.T) {
	seen := map[string]bool{}
	for range 5 {
		addr, err := SpareAddr()
		if err != nil {
			t.Fatal(err)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		any, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer any.Close()
		if spare, chosen := l.Addr().(*net.TCPAddr).Port, any.Addr().(*net.TCPAddr).Port; spare >= chosen {
			t.Errorf("port %d may be one that the system gives away, as it does %d", spare, chosen)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d addresses of 5", len(seen))
	}
}
