package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// An Address is where to listen.
type Address struct {
	Network string      // tcp or unix
	Name    string      // host:port, or the path of the socket
	Mode    fs.FileMode // of the socket
}

// ParseAddress reads host:port or unix:/path, the latter with ?mode=OCTAL behind it or without.
func ParseAddress(text string) (Address, error) {
	path, ok := strings.CutPrefix(text, unixPrefix)
	if !ok {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return Address{}, fmt.Errorf("%q is not host:port or unix:/path", text)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return Address{}, fmt.Errorf("%q has no valid port number", text)
		}
		return Address{Network: "tcp", Name: text}, nil
	}
	a := Address{Network: "unix", Name: path, Mode: DefaultSocketMode}
	path, mode, ok := strings.Cut(path, "?mode=")
	if ok {
		n, err := strconv.ParseUint(mode, 8, 32)
		if err != nil || n > 0o777 {
			return Address{}, fmt.Errorf("%q: mode is an octal number such as 660", text)
		}
		a.Name, a.Mode = path, fs.FileMode(n)
	}
	if !filepath.IsAbs(a.Name) {
		return Address{}, fmt.Errorf("%q: the path of a socket begins with /", text)
	}
	return a, nil
}

// IsLocal reports whether only this machine reaches the address.
func (a Address) IsLocal() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Name)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Listen opens the address.
func (a Address) Listen() (net.Listener, error) {
	if a.Network == "unix" {
		return a.listenUnix()
	}
	return net.Listen(a.Network, a.Name)
}

// Dial connects to the address.
func (a Address) Dial(d *net.Dialer) (net.Conn, error) { return d.Dial(a.Network, a.Name) }

func (a Address) listenUnix() (net.Listener, error) {
	if err := a.removeStale(); err != nil {
		return nil, err
	}
	// Linux gives the file of the socket the mode that the socket has when it is bound, less the
	// umask: at no time may more processes connect than shall.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(a.Mode)) }), err)
	}}
	l, err := config.Listen(context.Background(), "unix", a.Name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(a.Name, a.Mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket on which nobody listens.
func (a Address) removeStale() error {
	fi, err := os.Lstat(a.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket", a.Name)
	}
	conn, err := net.DialTimeout("unix", a.Name, probeTimeout)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process listens on %s", a.Name)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(a.Name)
}

// Text writes the address of an open listener as ParseAddress reads it.
func Text(a net.Addr) string {
	if a.Network() == "unix" {
		return unixPrefix + a.String()
	}
	return a.String()
}
