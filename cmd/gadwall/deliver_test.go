package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLineSender(t *testing.T) {
	for in, want := range map[string]string{
		"":            ".\r\n",
		"a":           "a\r\n.\r\n",
		"a\n":         "a\r\n.\r\n",
		"a\r\n":       "a\r\n.\r\n",
		"\n":          "\r\n.\r\n",
		".\n":         "..\r\n.\r\n",
		"..a\n.b":     "...a\r\n..b\r\n.\r\n",
		"a\nb\r\nc\n": "a\r\nb\r\nc\r\n.\r\n",
		// in wire form: kept as it is
		"a\r\nb\n.c\r\n.d\r":            "a\r\nb\n.c\r\n..d\r\r\n.\r\n",
		"a\n\r\r\n.b\n":                 "a\r\n\r\r\n..b\r\n.\r\n",
		strings.Repeat("x", 100) + "\n": strings.Repeat("x", 100) + "\r\n.\r\n",
	} {
		for _, piece := range []int{1, 2, 1000} {
			var out bytes.Buffer
			s := newLineSender(&out)
			for rest := in; rest != ""; {
				n := min(piece, len(rest))
				if _, err := io.WriteString(s, rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := s.end(); err != nil || out.String() != want {
				t.Errorf("%q in pieces of %d: %q, want %q", in, piece, out.String(), want)
			}
		}
	}
}

// Whatever a file holds, what is sent ends once, at its end.
func TestLineSenderEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\r", "\n", ".", "x", "\r\n",
			".\r\n"})).Draw(t, "in"), "")
		var out bytes.Buffer
		s := newLineSender(&out)
		io.WriteString(s, in)
		s.end()
		wire := "\r\n" + out.String()
		if i := strings.Index(wire, "\r\n.\r\n"); i != len(wire)-5 {
			t.Fatalf("%q is sent as %q", in, out.String())
		}
	})
}

// lmtpServer answers each line it reads with the next of the replies, and closes.
func lmtpServer(t *testing.T, replies ...string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for i, reply := range replies {
			if i > 0 {
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if !strings.HasPrefix(line, "body") {
						break
					}
				}
			}
			fmt.Fprint(conn, reply+"\r\n")
		}
	}()
	return l.Addr().String()
}

func TestDeliverWithStrangeServers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replies []string
		status  int
		says    string
	}{
		{"turns away", []string{"554 no"}, exitTemp, "unexpected reply: 554 no"},
		{"is no LMTP server", []string{"220 hi", "500 what"}, exitTemp, "unexpected reply: 500 what"},
		{"talks nonsense", []string{"hello"}, exitTemp, "not a reply"},
		{"sends a line without end", []string{strings.Repeat("2", maxReplyLine*2)}, exitTemp, "buffer full"},
		{"never stops", []string{strings.Repeat("220-x\r\n", maxReplyLines+1)}, exitTemp, "reply without end"},
		{"hangs up", []string{"220 hi"}, exitTemp, "cannot"},
		{"refuses the sender", []string{"220 hi", "250 hi", "550 not you", "221 bye"}, exitFailure,
			"-: <ada@example.com>: 550 not you"},
		{"refuses for now", []string{"220 hi", "250 hi", "250 ok", "451 later", "250 reset",
			"221 bye"}, exitTemp, "-: <ada@example.com>: 451 later"},
		{"refuses DATA", []string{"220 hi", "250-hi\r\n250 SMTPUTF8", "250 ok", "250 ok", "554 no",
			"221 bye"}, exitFailure, "<ada@example.com>: 554 no"},
		{"takes it", []string{"220 hi", "250 hi", "250 ok", "250 ok", "354 go", "250 got it",
			"221 bye"}, 0, "<ada@example.com>: 250 got it"},
		{"hangs up after the message", []string{"220 hi", "250 hi", "250 ok", "250 ok", "354 go"}, exitTemp, "-: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := lmtpServer(t, tt.replies...)
			got := gadwall(t, "body\n", nil, "deliver", "--lmtp", addr, "--to", "ada@example.com", "-")
			if tt.says == "cannot" {
				tt.says = "gadwall: "
			}
			got.want(t, tt.status, tt.says)
		})
	}
}
