package contents

import (
	"bytes"
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
