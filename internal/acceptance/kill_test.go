package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// killCount is how often TestKill ends the server; GADWALL_TEST_KILLS says otherwise.
const killCount = 200

const killSenders = 8

// killTimes returns how often a test ends the server.
func killTimes(t *testing.T, otherwise int) int {
	v := os.Getenv("GADWALL_TEST_KILLS")
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitAck waits until a client was acknowledged something. A client that found a fault has ended.
func awaitAck(t *testing.T, ack <-chan struct{}) {
	t.Helper()
	if t.Failed() {
		t.FailNow()
	}
	select {
	case <-ack:
	case <-time.After(programTimeout):
		t.Fatalf("nothing was acknowledged within %v", programTimeout)
	}
}

// TestKill ends the server with SIGKILL again and again while senders deliver. Every message that
// was acknowledged must be there, whole; none may be there in part; UIDs and counters must be
// right.
func TestKill(t *testing.T) {
	kills := killTimes(t, killCount)
	s := startServer(t)

	var (
		mu    sync.Mutex
		acked = map[string]bool{}
	)
	ack := make(chan struct{}, killSenders)
	done := make(chan struct{})
	var senders sync.WaitGroup
	end := sync.OnceFunc(func() { close(done); senders.Wait() })
	defer end() // also when the test fails
	for id := range killSenders {
		senders.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(id)))
			var c *lmtpConn
			defer func() {
				if c != nil {
					c.Close()
				}
			}()
			for n := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				token := fmt.Sprintf("%d-%d", id, n)
				var err error
				if c == nil {
					s.awaitStart()
					if c, err = dialLMTP(s.lmtp); err != nil {
						continue // the server is down just now
					}
				}
				if err = c.send("grace@example.net", []string{testUser},
					bytes.NewReader(sealed(token, rng))); err != nil {
					c.Close()
					c = nil
					if rng.IntN(2) == 0 {
						n++ // sometimes the sender gives up on it, mostly it tries the same again
					}
					continue
				}
				mu.Lock()
				acked[token] = true
				mu.Unlock()
				n++
				select {
				case ack <- struct{}{}:
				case <-done:
					return
				}
			}
		})
	}

	rng := rand.New(rand.NewPCG(2, 2))
	for range kills {
		for range 1 + rng.IntN(2*killSenders) {
			awaitAck(t, ack)
		}
		s.restart(t, func() {})
	}
	end()
	s.kill()
	s.start(t)

	c := s.login(t)
	seen := map[string]int{}
	var uids []imap.UID
	sel := fetchAll(t, c, "INBOX", func(m fetched) {
		_, rest, err := splitTrace(m.body)
		if err != nil {
			t.Errorf("UID %d: %v", m.uid, err)
			return
		}
		token, err := unseal(rest)
		if err != nil {
			t.Errorf("UID %d: %v", m.uid, err)
			return
		}
		if int(m.size) != len(m.body) {
			t.Errorf("UID %d: RFC822.SIZE %d, body has %d", m.uid, m.size, len(m.body))
		}
		seen[token]++
		uids = append(uids, m.uid)
	})
	for i := 1; i < len(uids); i++ {
		if uids[i] <= uids[i-1] {
			t.Fatalf("UIDs do not ascend: %d after %d", uids[i], uids[i-1])
		}
	}
	for token := range acked {
		if seen[token] == 0 {
			t.Errorf("message %s was acknowledged and is gone", token)
		}
	}
	if len(uids) > 0 && sel.UIDNext <= uids[len(uids)-1] {
		t.Errorf("UIDNEXT %d, but UID %d exists", sel.UIDNext, uids[len(uids)-1])
	}
	st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if int(*st.NumMessages) != len(uids) || int(*st.NumUnseen) != len(uids) {
		t.Errorf("STATUS says %d messages, %d unseen; there are %d, all unseen", *st.NumMessages,
			*st.NumUnseen, len(uids))
	}
	t.Logf("%d kills, %d messages acknowledged, %d stored", kills, len(acked), len(uids))
}

// sealed makes a message whose body proves that it is whole: its hash stands in the header. Some
// carry an attachment that goes to a blob, the same one in many messages.
func sealed(token string, rng *rand.Rand) []byte {
	var body bytes.Buffer
	switch rng.IntN(3) {
	case 0:
		fmt.Fprintf(&body, "Content-Type: text/plain\r\n\r\nmessage %s\r\n", token)
	default:
		seed := uint64(rng.IntN(4)) // few, so that attachments are shared
		if rng.IntN(2) == 0 {
			seed = rng.Uint64()
		}
		fmt.Fprintf(&body, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nmessage %s\r\n--b\r\n"+
			"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n", token)
		writeBase64(&body, seed, 20_000+rng.IntN(3)*200_000, 76)
		body.WriteString("--b--\r\n")
	}
	sum := sha256.Sum256(body.Bytes())
	return append(fmt.Appendf(nil, "X-Token: %s\r\nX-Sum: %s\r\nMIME-Version: 1.0\r\n", token,
		hex.EncodeToString(sum[:])), body.Bytes()...)
}

// unseal returns the token of a sealed message, or an error when the message is not whole.
func unseal(msg []byte) (string, error) {
	head, body, ok := strings.Cut(string(msg), "MIME-Version: 1.0\r\n")
	if !ok {
		return "", fmt.Errorf("not one of ours: %.100q", msg)
	}
	var token, want string
	if _, err := fmt.Sscanf(head, "X-Token: %s\r\nX-Sum: %s\r\n", &token, &want); err != nil {
		return "", fmt.Errorf("header %q: %w", head, err)
	}
	sum := sha256.Sum256([]byte(body))
	if got := hex.EncodeToString(sum[:]); got != want {
		return "", fmt.Errorf("message %s is not whole: its hash is %s, want %s", token, got, want)
	}
	return token, nil
}
