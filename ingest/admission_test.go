package ingest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/listen"
	"gadwall/internal/logtest"
)

// from opens a connection from an address of loopback.
func (ts *testServer) from(t testing.TB, ip string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.DialContext(t.Context(), "tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(t, conn)
}

// countRefused returns how many refusals the metrics have of a reason.
func (s *Server) countRefused(t testing.TB, reason string) int {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.opts.Metrics.refusals)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "reason" && label.GetValue() == reason {
					return int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return 0
}

// Whoever is silent takes the places of his own address, not of others, and those who come too
// late are told so.
func TestConnectionsPerAddress(t *testing.T) {
	ts := startServer(t, newFakeStore("ada@example.com"), Options{MaxConnectionsPerAddress: 3})
	var silent []*client
	for range 3 {
		c := ts.from(t, "127.0.0.2")
		c.want("220 ")
		silent = append(silent, c)
	}
	for range 5 {
		c := ts.from(t, "127.0.0.2")
		c.want("421 4.7.0")
		c.wantClosed()
		c.conn.Close()
	}
	if n := ts.countRefused(t, refusedAddress); n != 5 {
		t.Errorf("%d refusals counted, want 5", n)
	}
	ts.from(t, "127.0.0.3").open("EHLO", "ada@example.com")
	silent[0].cmd("QUIT", "221 ")
	silent[0].wantClosed()
	for { // the server notices that the place is free after the client has read the end
		c := ts.from(t, "127.0.0.2")
		if strings.HasPrefix(c.reply(), "220 ") {
			break
		}
		c.conn.Close()
	}
}

// Strangers of many addresses do not keep the MTA out, which has no limit of its own address.
func TestTrustedMTA(t *testing.T) {
	ts := startServer(t, newFakeStore("ada@example.com"), Options{
		MaxConnections: 3, MaxConnectionsPerAddress: 1,
		TrustedMTAs: []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16")},
	})
	for i := range 3 {
		ts.from(t, fmt.Sprintf("127.0.0.%d", 2+i)).want("220 ")
	}
	c := ts.from(t, "127.0.0.9")
	c.want("421 4.3.2")
	c.wantClosed()
	for range 3 {
		ts.from(t, "127.1.2.3").open("EHLO", "ada@example.com")
	}
	ts.from(t, "127.1.2.3").want("421 4.3.2")
	if n := ts.countRefused(t, refusedFull); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}

// piped is a server whose connections are in memory, for tests in which time passes.
type piped struct {
	*Server
	l *pipeListener
}

// inBubble runs a test with such a server, in which time passes as fast as it can.
func inBubble(t *testing.T, st store, o Options, test func(t *testing.T, p piped)) {
	synctest.Test(t, func(t *testing.T) {
		o.Hostname, o.Logger = "mx.example.com", newTestLog(t)
		srv, err := newServer(o, st)
		if err != nil {
			t.Fatal(err)
		}
		p := piped{srv, newPipeListener()}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(p.l) }()
		test(t, p)
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func (p piped) dial(t *testing.T) *client {
	ours, theirs := net.Pipe()
	p.l.conns <- theirs
	t.Cleanup(func() { ours.Close() })
	c := newClient(t, ours)
	ours.SetDeadline(time.Time{})
	return c
}

// Who has not greeted after a minute has to go, also if he sends something now and then.
func TestSilentClients(t *testing.T) {
	inBubble(t, newFakeStore(), Options{}, func(t *testing.T, p piped) {
		for _, sends := range []string{"", "EH", "NOOP\r\n"} {
			start := time.Now()
			c := p.dial(t)
			c.want("220 ")
			c.send(sends)
			if sends == "NOOP\r\n" {
				c.want("250 ")
			}
			c.want("421 4.4.2")
			c.wantClosed()
			if d := time.Since(start); d != greetingTimeout {
				t.Errorf("after %q: cut off after %v", sends, d)
			}
		}
		c := p.dial(t)
		start := time.Now()
		c.want("220 ")
		c.cmd("EHLO c", "250 ")
		c.want("421 4.4.2")
		if d := time.Since(start); d != commandTimeout {
			t.Errorf("after EHLO: cut off after %v", d)
		}
		if n := p.countRefused(t, refusedSilent); n != 3 {
			t.Errorf("%d silent clients counted", n)
		}
	})
}

// One who sends a body in drops is cut off in the end, and leaves nothing.
func TestSlowBody(t *testing.T) {
	st := newFakeStore("ada@example.com")
	inBubble(t, st, Options{LMTP: true}, func(t *testing.T, p piped) {
		for _, begin := range []string{"DATA\r\n", "BDAT 1000000\r\n"} {
			c := p.dial(t)
			start := time.Now()
			c.open("LHLO", "ada@example.com")
			c.send(begin)
			if strings.HasPrefix(begin, "DATA") {
				c.want("354 ")
			}
			cutOff := make(chan struct{})
			go func() {
				for {
					if _, err := c.conn.Write([]byte("x")); err != nil {
						return
					}
					select {
					case <-time.After(4 * time.Minute):
					case <-cutOff:
						return
					}
				}
			}()
			c.want("421 4.4.2")
			c.wantClosed()
			close(cutOff)
			if d := time.Since(start); d != bodyTimeout {
				t.Errorf("%q: cut off after %v", begin, d)
			}
		}
	})
	st.check(t)
}

// Commands that lead to no message are bounded; a message begins the count anew.
func TestIdleCommands(t *testing.T) {
	ts := startServer(t, newFakeStore("ada@example.com"), Options{
		TrustedMTAs: []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16")},
	})
	deliver := func(c *client) {
		c.cmd("MAIL FROM:<g@example.net>", "250 ")
		c.cmd("RCPT TO:<ada@example.com>", "250 ")
		c.cmd("DATA", "354 ")
		c.cmd("x\r\n.", "250 ")
	}
	for _, command := range []string{"NOOP", "RSET", "RCPT TO:<ada@example.com>", "MAIL FROM:<> SIZE=9999999999"} {
		want := map[string]string{"NOOP": "250 ", "RSET": "250 ", "RCPT": "503 ", "MAIL": "552 "}[command[:4]]
		c := ts.from(t, "127.0.0.2")
		c.want("220 ")
		c.cmd("EHLO c", "250 ")
		for round := range 2 {
			for range maxIdleCommands - 1 + round {
				c.cmd(command, want)
			}
			if round == 0 {
				deliver(c)
			}
		}
		c.cmd(command, "421 4.7.0")
		c.wantClosed()

		c = ts.from(t, "127.1.0.2")
		c.want("220 ")
		c.cmd("EHLO c", "250 ")
		for range 3 * maxIdleCommands {
			c.cmd(command, want)
		}
		deliver(c)
	}
}

// Who asks for many users that do not exist waits longer and longer, also on new connections, and
// is cut off. Other networks do not wait.
func TestUnknownRecipients(t *testing.T) {
	inBubble(t, newFakeStore("ada@example.com"), Options{}, func(t *testing.T, p piped) {
		start := time.Now()
		for range 3 {
			c := p.dial(t)
			c.open("EHLO", "ada@example.com")
			for i := range maxRefused {
				c.cmd(fmt.Sprintf("RCPT TO:<x%d@example.com>", i), "550 5.1.1")
			}
			c.cmd("RCPT TO:<x@example.com>", "421 4.7.0")
			c.wantClosed()
		}
		// Three hundred at once would take no time; in the long run it is about one a second.
		if d := time.Since(start); d < 200*time.Second {
			t.Errorf("%d refusals took %v", 3*maxRefused, d)
		}
		if d := p.gate.refuse(origin{trusted: true}); d != 0 {
			t.Errorf("a trusted MTA waits %v", d)
		}
		time.Sleep(time.Hour) // all is forgotten
		c := p.dial(t)
		c.open("EHLO")
		start = time.Now()
		for range freeRefusals {
			c.cmd("RCPT TO:<x@example.com>", "550 5.1.1")
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the first refusals took %v", d)
		}
	})
}

// What is remembered of networks is bounded, and those with connections are not forgotten.
func TestAdmissionIsBounded(t *testing.T) {
	a := admission{max: 1 << 20, maxPerNetwork: 1, networks: map[netip.Addr]*network{}}
	held := origin{network: netip.MustParseAddr("10.0.0.1")}
	if r, _ := a.admit(held); r != nil {
		t.Fatal(*r)
	}
	for i := range 2 * maxNetworks {
		from := origin{network: netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})}
		if r, _ := a.admit(from); r != nil {
			t.Fatal(*r)
		}
		for range 50 {
			a.refuse(from)
		}
		a.leave(from)
	}
	if n := len(a.networks); n > maxNetworks {
		t.Errorf("%d networks are remembered", n)
	}
	if r, _ := a.admit(held); r == nil {
		t.Error("a network with a connection was forgotten")
	}
	if a.strangers != 1 {
		t.Errorf("%d connections counted, want 1", a.strangers)
	}
}

func TestOrigin(t *testing.T) {
	srv := &Server{opts: Options{TrustedMTAs: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48"),
	}}}
	for _, tt := range []struct {
		ip      string
		trusted bool
		network string
	}{
		{"192.0.2.1", false, "192.0.2.1"},
		{"::ffff:192.0.2.1", false, "192.0.2.1"},
		{"10.1.2.3", true, "10.1.2.3"},
		{"2001:db8:2:3:4:5:6:7", false, "2001:db8:2:3::"},
		{"2001:db8:1:3:4:5:6:7", true, "2001:db8:1:3::"},
	} {
		got := srv.originOf(&net.TCPAddr{IP: net.ParseIP(tt.ip), Port: 25})
		if want := (origin{tt.trusted, netip.MustParseAddr(tt.network)}); got != want {
			t.Errorf("%s: %v, want %v", tt.ip, got, want)
		}
	}
	if got := srv.originOf(&net.UnixAddr{Name: "@", Net: "unix"}); !got.trusted {
		t.Error("a Unix socket is not trusted")
	}
}

// On a Unix socket there are no addresses: no limits of one, and "local" in the trace line.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var logged logtest.Buffer
	st := newFakeStore("ada@example.com")
	ts := startServerOn(t, l, st, Options{LMTP: true, MaxConnectionsPerAddress: 1, Logger: newTextLog(&logged)})
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c := newClient(t, conn)
		c.open("LHLO", "ada@example.com")
		c.cmd("DATA", "354 ")
		c.cmd("x\r\n.", "250 2.1.5")
	}
	ts.stop(t)
	if m := st.messages(); len(m) != 3 || !strings.Contains(m[0].prefix, "from client.example (local)\r\n") {
		t.Errorf("delivered %q", m)
	}
	if log := logged.String(); !strings.Contains(log, " remote=unix ") {
		t.Errorf("logged\n%s", log)
	}
}

// slowConn does not tell its address before it is let go, as a connection whose PROXY header has
// not come.
type slowConn struct {
	net.Conn
	known chan struct{}
}

func (c slowConn) RemoteAddr() net.Addr { <-c.known; return c.Conn.RemoteAddr() }

// A connection that does not tell where it is from keeps no other from being served.
func TestAddressThatIsSlowToCome(t *testing.T) {
	ts := startServer(t, newFakeStore("ada@example.com"), Options{})
	slow := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- ts.Serve(slow) }()
	ours, theirs := net.Pipe()
	known := make(chan struct{})
	slow.conns <- slowConn{theirs, known}
	second, theirs2 := net.Pipe()
	slow.conns <- theirs2
	newClient(t, second).open("EHLO", "ada@example.com")
	close(known)
	newClient(t, ours).open("EHLO", "ada@example.com")
	second.Close()
	ours.Close()
	ts.stop(t)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Behind a proxy, limits, trace lines and logs are about the client.
func TestProxiedClients(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var logged logtest.Buffer
	log := newTextLog(&logged)
	trusted := listen.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	st := newFakeStore("ada@example.com")
	ts := startServerOn(t, listen.Proxied(inner, trusted, log), st,
		Options{MaxConnectionsPerAddress: 1, Logger: log})
	through := func(header string) *client {
		c := ts.dial(t)
		c.send(header)
		return c
	}
	broken, silent := through("EHLO c\r\n"), ts.dial(t)
	first := through("PROXY TCP4 192.0.2.1 192.0.2.9 4711 25\r\n")
	first.open("EHLO", "ada@example.com")
	through("PROXY TCP4 192.0.2.1 192.0.2.9 4712 25\r\n").want("421 4.7.0")
	through("PROXY TCP4 192.0.2.2 192.0.2.9 4713 25\r\n").open("EHLO", "ada@example.com")
	first.cmd("DATA", "354 ")
	first.cmd("x\r\n.", "250 ")
	broken.wantClosed()
	silent.conn.Close()
	ts.stop(t)
	if m := st.messages(); len(m) != 1 || !strings.Contains(m[0].prefix, "from client.example ([192.0.2.1])\r\n") {
		t.Errorf("delivered %q", m)
	}
	if log := logged.String(); !strings.Contains(log, " remote=192.0.2.1 port=4711 ") {
		t.Errorf("logged\n%s", log)
	}
}
