package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No time is spent on what cannot change, and the driver's own texts are not shown.
func TestUnreachableDatabase(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	// One that may come: it hangs up, again and again. When the driver tries a third time, it has told
	// why it failed before, and the operator is tired of it.
	comes, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer comes.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends with the listener
		for tries := 1; ; tries++ {
			nc, err := comes.Accept()
			if err != nil {
				return
			}
			nc.Close()
			if tries == 3 {
				cancel()
			}
		}
	}()
	socket := func(name string) string { return url.PathEscape(filepath.Join(dir, name)) }
	for _, tt := range []struct {
		name, hosts, want string
		setting           bool // refused at once, as a setting
	}{
		{"no such socket", socket("none.sock"), "none.sock: no such socket", true},
		{"no such host", "gadwall.invalid", "gadwall.invalid:27017: no such host", true},
		{"one of two may come", "gadwall.invalid," + comes.Addr().String(), comes.Addr().String() + ": ", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			o := withDir("", Looking)
			o.Storage.MongoDBURI = "mongodb://user:secret@" + tt.hosts + "/?serverSelectionTimeoutMS=60000"
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			_, err := OpenDatabase(ctx, o)
			var setting *SettingError
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &setting) != tt.setting ||
				errors.Is(err, context.Canceled) == tt.setting {
				t.Errorf("%v; want %s", err, tt.want)
			}
			for _, internal := range []string{"topology", "server selection", "secret", "\n"} {
				if strings.Contains(err.Error(), internal) {
					t.Errorf("the error tells %q: %v", internal, err)
				}
			}
			if !strings.Contains(log.String(), "connecting to the database") ||
				strings.Contains(log.String(), "secret") {
				t.Errorf("log %s", &log)
			}
		})
	}
}

// What a driver cannot understand is said in the words of what it met.
func TestReason(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, refused := net.Dial("tcp", closed.Addr().String())
	for want, err := range map[string]error{
		"connection refused: nothing listens there": refused,
		"no answer": &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
		"permission denied": &net.OpError{Op: "dial",
			Err: os.NewSyscallError("connect", os.ErrPermission)},
		"the name server does not answer": &net.DNSError{Err: "server misbehaving", IsTemporary: true},
		"EOF":                             &net.OpError{Op: "read", Err: io.EOF},
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
