package listen

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gadwall/internal/logtest"
)

var v2Signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// v2 is a header of version 2.
func v2(command, family byte, addresses []byte) string {
	h := append(bytes.Clone(v2Signature), command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(addresses))), addresses...))
}

var (
	v2IPv4 = v2(0x21, 0x11, append(netip.MustParseAddr("203.0.113.9").AsSlice(), 10, 0, 0, 1, 0x30, 0x39, 0, 143))
	v2IPv6 = v2(0x21, 0x21, append(append(netip.MustParseAddr("2001:db8::9").AsSlice(),
		netip.MustParseAddr("2001:db8::1").AsSlice()...), 0x30, 0x39, 0, 143))
	// With a TLV behind the addresses: PP2_TYPE_NOOP.
	v2TLV = v2(0x21, 0x11, append(netip.MustParseAddr("203.0.113.9").AsSlice(), 10, 0, 0, 1, 0x30, 0x39, 0, 143,
		4, 0, 3, 1, 2, 3))
	v2Local  = v2(0x20, 0, nil)
	v2Unknow = v2(0x20, 0x11, append(netip.MustParseAddr("203.0.113.9").AsSlice(), 10, 0, 0, 1, 0x30, 0x39, 0, 143))
)

func proxied(t *testing.T, trusted Trusted, log io.Writer) net.Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Proxied(inner, trusted, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

var loopback = Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// A server sees the address that a trusted proxy tells, and every octet behind the header.
func TestProxied(t *testing.T) {
	l := proxied(t, loopback, io.Discard)
	const command = "a LOGIN ada secret\r\n"
	for _, tt := range []struct{ name, header, remote string }{
		{"v1 IPv4", "PROXY TCP4 203.0.113.9 10.0.0.1 12345 143\r\n", "203.0.113.9:12345"},
		{"v1 IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 12345 143\r\n", "[2001:db8::9]:12345"},
		{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", ""},
		{"v1 UNKNOWN with addresses", "PROXY UNKNOWN 203.0.113.9 10.0.0.1 12345 143\r\n", ""},
		{"v2 IPv4", v2IPv4, "203.0.113.9:12345"},
		{"v2 IPv6", v2IPv6, "[2001:db8::9]:12345"},
		{"v2 TLV", v2TLV, "203.0.113.9:12345"},
		{"v2 LOCAL", v2Local, ""},
		{"v2 LOCAL with addresses", v2Unknow, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := dial(t, l, tt.header+command)
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			want := tt.remote
			if want == "" {
				want = client.LocalAddr().String()
			}
			if got := server.RemoteAddr().String(); got != want {
				t.Errorf("remote address %s, want %s", got, want)
			}
			// More comes later, and the header's time limit is no longer in force.
			if _, err := io.WriteString(client, command); err != nil {
				t.Fatal(err)
			}
			client.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(server); err != nil || string(got) != command+command {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

// What a client says that is no trusted proxy is its own conversation.
func TestUntrustedProxy(t *testing.T) {
	l := proxied(t, Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, io.Discard)
	header := "PROXY TCP4 203.0.113.9 10.0.0.1 12345 143\r\n"
	client := dial(t, l, header)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if server.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("remote address %s", server.RemoteAddr())
	}
	client.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != header {
		t.Errorf("read %q, %v", got, err)
	}
}

// A trusted proxy that sends no header, or half of one, keeps nobody waiting and gets nothing.
func TestProxyWithoutHeader(t *testing.T) {
	var log logtest.Buffer
	l := proxied(t, loopback, &log)
	silent := dial(t, l, "")
	half := dial(t, l, "PROXY TCP4 203.0")
	wrong := dial(t, l, "a LOGIN ada secret\r\n")
	good := dial(t, l, "PROXY TCP4 203.0.113.9 10.0.0.1 12345 143\r\n")
	defer good.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if got := server.RemoteAddr().String(); got != "203.0.113.9:12345" {
		t.Errorf("accepted %s", got)
	}
	if n, _ := io.Copy(io.Discard, wrong); n != 0 { // until it is closed
		t.Errorf("%d octets", n)
	}
	if !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("log %q", log.String())
	}
	// Closing the listener ends those that wait.
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, conn := range []net.Conn{silent, half} {
		io.Copy(io.Discard, conn)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("accepted from a closed listener")
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, s := range []string{v2IPv4, v2IPv6, v2TLV, v2Local, v2Unknow,
		"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\nrest", "PROXY UNKNOWN\r\n",
		"PROXY ", "\r\n\r\n", "x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		var writer sync.WaitGroup
		writer.Go(func() {
			far.Write(data)
			far.Close()
		})
		conn, err := readHeader(near)
		if err == nil {
			rest, _ := io.ReadAll(conn)
			if !bytes.HasSuffix(data, rest) {
				t.Errorf("rest %q of %q", rest, data)
			}
			_ = conn.RemoteAddr().String()
		}
		near.Close()
		writer.Wait()
	})
}

// A proxy on the same machine may connect to a Unix socket.
func TestProxyOnUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, trusted := range []bool{true, false} {
		inner, err := Address{Network: "unix", Name: filepath.Join(dir, "socket"), Mode: 0o600}.Listen()
		if err != nil {
			t.Fatal(err)
		}
		// A network never stands for sockets.
		everything := Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Unix: trusted}
		l := Proxied(inner, everything, slog.New(slog.DiscardHandler))
		client, err := net.Dial("unix", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, v2IPv6); err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := server.RemoteAddr().String() == "[2001:db8::9]:12345"; got != trusted {
			t.Errorf("trusted %v: remote address %s", trusted, server.RemoteAddr())
		}
		server.Close()
		client.Close()
		l.Close()
	}
}
