package contents

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gadwall/internal/dbtest"
)

// Lines that all end softly behind a blank leave a decoder nothing to be certain of. What follows
// deviates.
func TestNothingCertainBeforeADeviation(t *testing.T) {
	for name, line := range map[string]string{
		"blanks": strings.Repeat(" ", 75) + "=\r\n",
		"words":  strings.Repeat("x", 74) + " =\r\n",
	} {
		for _, lines := range []int{55, 60, 300} {
			t.Run(fmt.Sprint(name, lines), func(t *testing.T) {
				s := newStore(t, dbtest.Database(t))
				mail := attachment("application/x", "quoted-printable", "a", strings.Repeat(line, lines)+"!=zz end")
				stored := mustPut(t, s, []byte(mail))
				checkContent(t, s, stored.ID, []byte(mail))
				if extra := audit(t, s); extra != 0 {
					t.Errorf("%d references or chunks too many", extra)
				}
			})
		}
	}
}

// Bodies made to lead decoders astray come back as they were, whole and in ranges.
func TestHostileBodies(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(41, seed))
		mail := hostileMail(rng)
		stored := mustPut(t, s, mail)
		c := load(t, s, stored.ID, Want{})
		if got := read(t, c, 0, stored.Size); !bytes.Equal(got, mail) {
			t.Fatalf("seed %d: the mail differs", seed)
		}
		for range 8 {
			off := rng.Int64N(stored.Size)
			n := min(stored.Size-off, rng.Int64N(20_000))
			if got := read(t, c, off, n); !bytes.Equal(got, mail[off:off+n]) {
				t.Fatalf("seed %d: the %d bytes at %d differ", seed, n, off)
			}
		}
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

// hostileMail is a mail whose bodies are made of pieces of encodings, right ones and almost right
// ones, long enough for thresholds, batches and marks to lie in any of them.
func hostileMail(rng *rand.Rand) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for range 1 + rng.IntN(3) {
		encoding := []string{"base64", "quoted-printable"}[rng.IntN(2)]
		kind := []string{"application/x", "text/plain", "text/html"}[rng.IntN(3)]
		fmt.Fprintf(&b, "--b\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", kind, encoding)
		hostileBody(&b, rng, encoding == "base64")
		b.WriteString("\r\n")
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

func hostileBody(b *bytes.Buffer, rng *rand.Rand, base64 bool) {
	eol := []string{"\r\n", "\n"}[rng.IntN(2)]
	width := []int{4, 8, 12, 60, 72, 76, 76, 76, 77, 75, 998, 4000}[rng.IntN(12)]
	for range 1 + rng.IntN(4) {
		line := hostileLine(rng, base64, width)
		size := []int{1, 100, 4000, 5700, 6000, 17_000, 70_000, 200_000}[rng.IntN(8)]
		same := rng.IntN(2) == 0
		for n := 0; n < size; n += len(line) + len(eol) {
			b.WriteString(line + eol)
			if !same {
				line = hostileLine(rng, base64, width)
			}
		}
		b.WriteString([]string{"", "", "\r", "\n", "=", "==", "=\r\n", "=0D=0A", "=3d", "\x00",
			" \r\n", "A", "AA==", "A===", "!", "\t"}[rng.IntN(16)])
		if rng.IntN(8) == 0 {
			eol = []string{"\r\n", "\n", "\r"}[rng.IntN(3)]
		}
	}
}

func hostileLine(rng *rand.Rand, base64 bool, width int) string {
	if base64 {
		raw := make([]byte, width/4*3)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		line := encode(raw, 0, "")
		switch rng.IntN(40) {
		case 0:
			return line[:len(line)-1]
		case 1:
			return line[:len(line)-1] + "="
		case 2:
			return line + " "
		case 3:
			return ""
		}
		return line
	}
	soft := rng.IntN(3) > 0
	room := width
	if soft {
		room--
	}
	var b strings.Builder
	blanks := rng.IntN(4) == 0
	for {
		token := string(rune('!' + rng.IntN(28)))
		switch {
		case blanks && rng.IntN(2) == 0:
			token = " "
		case rng.IntN(10) == 0:
			token = fmt.Sprintf("=%02X", []byte{0, '\r', '\n', 0xc3, 0xff, '=', '\t', ' ', 1, 0x7f}[rng.IntN(10)])
		case rng.IntN(2000) == 0:
			token = []string{"=3d", "=41", "=0", "\x80", "="}[rng.IntN(5)]
		case rng.IntN(10) == 0:
			token = " "
		}
		if b.Len()+len(token) > room {
			break
		}
		b.WriteString(token)
	}
	if soft {
		b.WriteString("=")
	}
	return b.String()
}
