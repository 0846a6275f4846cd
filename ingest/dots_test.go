package ingest

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// decodeAll runs the decoder with the given sizes of source and destination
// pieces.
func decodeAll(src []byte, srcPiece, dstPiece int) (body []byte, used int, ended bool) {
	var d bodyDecoder
	dst := make([]byte, dstPiece)
	for used < len(src) && d.state != atEnd {
		piece := src[used:min(len(src), used+srcPiece)]
		for len(piece) > 0 && d.state != atEnd {
			n, m := d.decode(dst, piece)
			body = append(body, dst[:n]...)
			piece = piece[m:]
			used += m
		}
	}
	return body, used, d.state == atEnd
}

var stuffed = regexp.MustCompile(`(^|\r\n)\.`)

// stuff is the sender's side of RFC 5321 section 4.5.2.
func stuff(body string) string {
	s := stuffed.ReplaceAllString(body, "$1..")
	if body != "" && !strings.HasSuffix(body, "\r\n") {
		s += "\r\n"
	}
	return s + ".\r\n"
}

func TestBodyDecoderUndoesStuffing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SampledFrom([]string{"\r", "\n", "\r\n", ".", "x", "..", "\r\n."})
		body := strings.Join(rapid.SliceOf(pieces).Draw(t, "body"), "")
		rest := rapid.SampledFrom([]string{"", ".\r\n", "QUIT\r\n", "\r\n.\r\n"}).Draw(t, "rest")
		wire := stuff(body)
		want := body
		if body != "" && !strings.HasSuffix(body, "\r\n") {
			want += "\r\n"
		}
		src, dst := rapid.IntRange(1, 9).Draw(t, "src"), rapid.IntRange(1, 9).Draw(t, "dst")
		got, used, ended := decodeAll([]byte(wire+rest), src, dst)
		if !ended || used != len(wire) || string(got) != want {
			t.Fatalf("%q became %q, %d of %d octets used, ended %v", wire, got, used, len(wire), ended)
		}
	})
}

// FuzzBodyDecoder: pieces do not matter, and the end is where CRLF . CRLF first
// stands, counting the start as a line's start.
func FuzzBodyDecoder(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nQUIT\r\n"), uint8(1), uint8(1))
	f.Add([]byte(".\r\r\n.\r\n"), uint8(2), uint8(3))
	f.Add([]byte("\n.\n\r.\r\r\r\n.\r\n"), uint8(7), uint8(1))
	f.Fuzz(func(t *testing.T, src []byte, a, b uint8) {
		body, used, ended := decodeAll(src, 1<<20, 1<<20)
		body2, used2, ended2 := decodeAll(src, int(a)+1, int(b)+1)
		if !bytes.Equal(body, body2) || used != used2 || ended != ended2 {
			t.Fatalf("%q/%d/%v in one piece, %q/%d/%v in pieces", body, used, ended, body2, used2, ended2)
		}
		end := bytes.Index(append([]byte("\r\n"), src...), []byte("\r\n.\r\n"))
		if ended != (end >= 0) || ended && used != end+3 {
			t.Fatalf("ended %v after %d octets, but the end is at %d", ended, used, end+3)
		}
	})
}

func BenchmarkBodyDecoder(b *testing.B) {
	src := bytes.Repeat([]byte(strings.Repeat("A", 76)+"\r\n"), 800)
	dst := make([]byte, len(src))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		var d bodyDecoder
		d.decode(dst, src)
	}
}
