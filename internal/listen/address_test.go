package listen

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"127.0.0.1:25":         {"tcp", "127.0.0.1:25", 0},
		":0":                   {"tcp", ":0", 0},
		"unix:/run/x":          {"unix", "/run/x", 0o660},
		"unix:/run/x?mode=666": {"unix", "/run/x", 0o666},
	} {
		if got, err := ParseAddress(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "25", "host", "host:x", "host:70000", "unix:", "unix:x",
		"unix:/x?mode=", "unix:/x?mode=8",
		"unix:/x?mode=7777", "/run/x"} {
		if got, err := ParseAddress(text); err == nil {
			t.Errorf("%q became %+v", text, got)
		}
	}
}

func TestIsLocal(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		"unix:/x": true, "0.0.0.0:1": false, ":1": false, "10.0.0.1:1": false,
		"mx.example.com:1": false, "[::]:1": false,
	} {
		if a, err := ParseAddress(addr); err != nil || a.IsLocal() != want {
			t.Errorf("%s: %v, %v", addr, !want, err)
		}
	}
}

// A socket has the mode that was asked for, replaces one that nobody listens on, and no other file.
func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	a, err := ParseAddress("unix:" + path + "?mode=606")
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != fs.ModeSocket|0o606 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if got := Text(l.Addr()); got != "unix:"+path {
		t.Errorf("address %s", got)
	}
	if _, err := a.Listen(); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("twice: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if the process had been killed
	l.Close()
	if l, err = a.Listen(); err != nil {
		t.Fatalf("a socket that is left: %v", err)
	}
	l.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("closed, and still there: %v", err)
	}
	if err := os.WriteFile(path, []byte("a letter"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Listen(); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("a file: %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:25", "[::1]:25", "unix:/run/x", "unix:/run/x?mode=666", "unix:", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if a.Name == "" || a.Mode&^0o777 != 0 || a.Network == "unix" && !filepath.IsAbs(a.Name) {
			t.Errorf("%q became %+v", text, a)
		}
		a.IsLocal()
	})
}
