package contents

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

// The store's decoded form of a body is what a decoder makes of the body: for mail of every shape,
// and of parts large and small.
func TestWriteDecoded(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	const wrapped = "Gr=C3=BC=C3=9Fe, and a line that goes on for a while so that it has to be =\r\nwrapped.\r\n"
	messages := [][]byte{}
	for seed := range uint64(5 * len(mailgen.Shapes())) {
		messages = append(messages, mailgen.Message(seed))
	}
	for _, body := range []string{
		strings.Repeat(wrapped, 40),
		strings.Repeat(wrapped, 4000),
		strings.Repeat("=3D=0D=0A", 100), strings.Repeat("a=20\r\n", 100), strings.Repeat("x =\r\n", 100) + "=",
	} {
		messages = append(messages,
			[]byte("Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+body))
	}
	decoded := 0
	for _, raw := range messages {
		c := load(t, s, mustPut(t, s, raw).ID, Want{Parts: true})
		c.Root().Walk(func(p *mimestream.Part) bool {
			if p.Kind != mimestream.Leaf {
				return true
			}
			var got bytes.Buffer
			ok, err := c.WriteDecoded(t.Context(), &got, p.BodyOffset, p.BodySize)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if got.Len() > 0 {
					t.Errorf("%d octets of a body that is not decoded", got.Len())
				}
				return true
			}
			decoded++
			want, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, bytes.NewReader(raw[p.BodyOffset:p.End()])))
			if err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s %s/%s of %d octets: %d octets, want %d (%v)\n%.80q\n%.80q", p.Encoding, p.Type, p.Subtype,
					p.BodySize, got.Len(), len(want), err, got.Bytes(), want)
			}
			return true
		})
	}
	if decoded < 10 {
		t.Errorf("only %d bodies are kept decoded", decoded)
	}
}

// WritePart gives every range of what a decoder makes of the body of a part, stored decoded or not.
func TestWritePart(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/x\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n"
	messages := [][]byte{
		[]byte(mixed + strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\n", 5000) + "--b--"),
		[]byte(mixed + strings.Repeat("QUJD  REVG\r\n!R0hJSktMTU5PUFFSU1RV\r\n", 5000) + "--b--"),
	}
	for seed := range uint64(2 * len(mailgen.Shapes())) {
		messages = append(messages, mailgen.Message(seed))
	}
	for _, raw := range messages {
		c := load(t, s, mustPut(t, s, raw).ID, Want{Parts: true})
		c.Root().Walk(func(p *mimestream.Part) bool {
			whole := raw[p.BodyOffset:p.End()]
			if p.Kind == mimestream.Leaf {
				whole, _ = io.ReadAll(mimestream.NewDecoder(p.Encoding, bytes.NewReader(whole)))
			}
			size := int64(len(whole))
			if size != p.DecodedSize {
				t.Fatalf("%s %s: size %d, want %d", p.MediaType(), p.Encoding, p.DecodedSize, size)
			}
			for _, r := range [][2]int64{
				{0, size}, {0, 0}, {size / 3, size / 3}, {max(size-1, 0), min(size, 1)}, {size, 0},
			} {
				var got bytes.Buffer
				err := c.WritePart(t.Context(), &got, p, r[0], r[1])
				if err != nil || !bytes.Equal(got.Bytes(), whole[r[0]:r[0]+r[1]]) {
					t.Errorf("%s %s, %d octets at %d: %d octets, %v",
						p.MediaType(), p.Encoding, r[1], r[0], got.Len(), err)
				}
			}
			for _, r := range [][2]int64{{-1, 1}, {0, size + 1}, {size, 1}, {size + 1, 0}} {
				if err := c.WritePart(t.Context(), io.Discard, p, r[0], r[1]); !errors.Is(err, ErrRange) {
					t.Errorf("%d octets at %d of %d: %v", r[1], r[0], size, err)
				}
			}
			return true
		})
	}
}
