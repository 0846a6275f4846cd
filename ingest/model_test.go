package ingest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is what a conversation must lead to: the codes of all replies, and the bodies delivered.
type model struct {
	lmtp      bool
	max       int
	hello     bool
	mail      bool
	rcpts     []string
	chunks    bool // a body has begun
	body      string
	mistakes  int
	codes     []string
	delivered []string
}

func (m *model) answer(codes ...string) { m.codes = append(m.codes, codes...) }

func (m *model) reset() { m.mail, m.rcpts, m.chunks, m.body = false, nil, false, "" }

// end answers the body that has come in whole.
func (m *model) end() {
	code := "250"
	if len(m.body) > m.max {
		code = "552"
	} else {
		for _, user := range slices.Compact(slices.Sorted(slices.Values(m.rcpts))) {
			m.delivered = append(m.delivered, user+": "+m.body)
		}
	}
	n := 1
	if m.lmtp {
		n = len(m.rcpts)
	}
	for range n {
		m.answer(code)
	}
	m.reset()
	m.mistakes = 0
}

// send returns what the client sends for a step, and notes what must come of it.
func (m *model) send(step, body string) string {
	switch step {
	case "hello":
		m.reset()
		m.hello = true
		m.answer("250")
		if m.lmtp {
			return "LHLO c\r\n"
		}
		return "EHLO c\r\n"
	case "MAIL FROM:<>\r\n":
		if !m.hello || m.mail {
			m.answer("503")
			return step
		}
		m.mail = true
		m.answer("250")
	case "RCPT TO:<ada@example.com>\r\n", "RCPT TO:<bob@example.com>\r\n", "RCPT TO:<x@example.com>\r\n":
		user := step[len("RCPT TO:<"):strings.IndexByte(step, '>')]
		switch {
		case !m.hello, !m.mail, m.chunks:
			m.answer("503")
		case user == "x@example.com":
			m.answer("550")
		default:
			m.rcpts = append(m.rcpts, user)
			m.answer("250")
		}
	case "DATA\r\n":
		if len(m.rcpts) == 0 || m.chunks {
			m.answer("503")
			return step
		}
		m.answer("354")
		m.body = body
		if body != "" && !strings.HasSuffix(body, "\r\n") {
			m.body += "\r\n"
		}
		m.end()
		return step + stuff(body)
	case "BDAT", "LAST":
		if len(m.rcpts) == 0 {
			m.answer("503")
		} else if m.chunks, m.body = true, m.body+body; step == "LAST" {
			m.end()
		} else {
			m.answer("250")
		}
		if step == "LAST" {
			return fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body)
		}
		return fmt.Sprintf("bdat %d\r\n%s", len(body), body)
	case "RSET\r\n":
		m.reset()
		m.answer("250")
	case "NOOP\r\n":
		m.answer("250")
	case "FOO\r\n":
		if m.mistakes++; m.mistakes > maxMistakes-1 {
			return "" // the next one would end the connection
		}
		m.answer("500")
	}
	return step
}

// Whatever a client does, in whatever pieces it arrives: bodies are bodies, although they look like
// commands, every command has its answer, and QUIT ends it.
func TestConversationModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { checkConversation(t, rt) })
}

// FuzzConversation is TestConversationModel with choices by the fuzzer.
func FuzzConversation(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) {
		rapid.MakeFuzz(func(rt *rapid.T) { checkConversation(t, rt) })(t, input)
	})
}

var (
	modelSteps = []string{
		"hello", "MAIL FROM:<>\r\n", "RCPT TO:<ada@example.com>\r\n", "RCPT TO:<bob@example.com>\r\n",
		"RCPT TO:<x@example.com>\r\n", "DATA\r\n", "BDAT", "LAST", "RSET\r\n", "NOOP\r\n", "FOO\r\n",
	}
	modelOpening = []string{"hello", "MAIL FROM:<>\r\n", "RCPT TO:<ada@example.com>\r\n"}
	modelText    = []string{
		"QUIT\r\n", "RSET\r\n", "BDAT 9\r\n", "MAIL FROM:<>\r\n", "DATA\r\n", ".\r\n",
		".", "\r\n", "\n", "\r", "x",
	}
)

func checkConversation(t *testing.T, rt *rapid.T) {
	m := &model{lmtp: rapid.Bool().Draw(rt, "lmtp"), max: 20}
	var sent strings.Builder
	for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
		list := rapid.SliceOfN(rapid.SampledFrom(modelSteps), 0, 6).Draw(rt, "steps")
		if rapid.Bool().Draw(rt, "transaction") {
			list = append(slices.Clone(modelOpening), list...)
		}
		for _, step := range list {
			body := rapid.SliceOfN(rapid.SampledFrom(modelText), 0, 5).Draw(rt, "body")
			sent.WriteString(m.send(step, strings.Join(body, "")))
		}
	}
	pieces := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 20).Draw(rt, "pieces")
	wire := sent.String() + "QUIT\r\n"

	st := newFakeStore("ada@example.com", "bob@example.com")
	ts := startServer(t, st, Options{LMTP: m.lmtp, MaxMessageSize: int64(m.max)})
	c := ts.dial(t)
	defer c.conn.Close()
	go sendPieces(c.conn, wire, pieces)
	c.want("220 ")
	var codes []string
	for len(codes) == 0 || codes[len(codes)-1] != "221" {
		codes = append(codes, c.reply()[:3])
	}
	c.wantClosed()
	ts.stop(t)
	st.check(t)
	if want := append(m.codes, "221"); !slices.Equal(codes, want) {
		rt.Fatalf("%q\nanswered %v\nwant     %v", wire, codes, want)
	}
	var delivered []string
	for _, got := range st.messages() {
		delivered = append(delivered, got.user+": "+got.body)
	}
	if slices.Sort(delivered); !slices.Equal(delivered, slices.Sorted(slices.Values(m.delivered))) {
		rt.Fatalf("%q\ndelivered %q\nwant      %q", wire, delivered, m.delivered)
	}
}

// sendPieces writes s in pieces of the given sizes, over and over.
func sendPieces(conn net.Conn, s string, sizes []int) {
	for i := 0; s != ""; i++ {
		n := min(len(s), sizes[i%len(sizes)])
		if _, err := conn.Write([]byte(s[:n])); err != nil {
			return // the test will miss replies
		}
		s = s[n:]
	}
}
