package imapconn

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scripted is a connection to a server that says what the script has, whatever it hears.
type scripted struct {
	net.Conn
	script *strings.Reader
}

func (s scripted) Read(p []byte) (int, error)       { return s.script.Read(p) }
func (s scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s scripted) SetReadDeadline(time.Time) error  { return nil }
func (s scripted) SetWriteDeadline(time.Time) error { return nil }

func peer(_ *testing.T, script string) *Conn {
	return New(scripted{script: strings.NewReader(script)}, time.Second)
}

func TestDo(t *testing.T) {
	c := peer(t, "* 1 FETCH (BODY[] {7}\r\na\r\nb{1} UID 3)\r\n* 2 FETCH (X {2}\r\nt1 {0}\r\n"+
		")\r\n* OK {x}\r\nt1 OK [X] done\r\n")
	untagged, status, err := c.Do("FETCH 1 BODY[]")
	want := []string{"* 1 FETCH (BODY[] {7}\r\na\r\nb{1} UID 3)", "* 2 FETCH (X {2}\r\nt1 {0}\r\n)", "* OK {x}"}
	if diff := cmp.Diff(want, untagged); diff != "" || status != "OK [X] done" || err != nil {
		t.Errorf("%q, %v, %s", status, err, diff)
	}
	if _, _, err := c.Do("NOOP"); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestMust(t *testing.T) {
	c := peer(t, "t1 NO [X] not now\r\n")
	_, err := c.Must("SELECT %s", "box")
	var status *StatusError
	if !errors.As(err, &status) || status.Command != "SELECT box" || status.Status != "NO [X] not now" {
		t.Errorf("%v", err)
	}
}

func TestAppend(t *testing.T) {
	if status, err := peer(t, "+ OK\r\nt1 OK [APPENDUID 1 2] done\r\n").Append("INBOX", `(\Seen) `,
		[]byte("x")); err != nil || status != "OK [APPENDUID 1 2] done" {
		t.Errorf("%q, %v", status, err)
	}
	var refused *StatusError
	if _, err := peer(t, "t1 NO [TRYCREATE] none\r\n").Append("x", "", nil); !errors.As(err, &refused) {
		t.Errorf("refused: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	c := peer(t, "* 1 FETCH (BODY[] {3}\r\na\r\n)\r\n* 2 EXISTS\r\nt1 OK done\r\n")
	if lines, octets, err := c.Discard("FETCH 1:* BODY[]"); lines != 4 || octets != 41 || err != nil {
		t.Errorf("%d lines, %d octets, %v", lines, octets, err)
	}
}

func TestResponseNeedsCRLF(t *testing.T) {
	if _, err := peer(t, "* OK\n").Response(); err == nil {
		t.Error("a bare LF ends a line")
	}
}
