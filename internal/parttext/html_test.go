package parttext

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func htmlToText(t testing.TB, page string, chunk int) string {
	var out bytes.Buffer
	h := NewHTML(&out)
	for page != "" {
		n := min(chunk, len(page))
		if _, err := h.Write([]byte(page[:n])); err != nil {
			t.Fatal(err)
		}
		page = page[n:]
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestHTMLText(t *testing.T) {
	tests := []struct{ page, want string }{
		{"plain", "plain"},
		{"a \r\n\t b", "a b"},
		{"<html><body><p>one</p><p>two</p>", "one\ntwo"},
		{"<b>in</b>voice <span class='x'>42</span>", "invoice 42"},
		{"a<br>b", "a\nb"},
		{"a <p> b</p>c <b> d </b> e <p>", "a\nb\nc d e"},
		{"<td>a</td><td>b</td>", "a\nb"},
		{"5 &lt; 6 &amp;&#32;x&eacute;&#x20ac;&nbsp;y", "5 < 6 & xé€ y"},
		{"&unknown; &; & &amp", "&unknown; &; & &"},
		{"1 < 2 <3", "1 < 2 <3"},
		{"<script>var a = '<b>no</b>';</script>yes", "yes"},
		{"<SCRIPT type=x>if (a</b) {}</SCRIPT >yes", "yes"},
		{"<style>p{}</styles></style>yes", "yes"},
		{"<!-- no > no --><!doctype html>yes<!---->x<!-->y", "yesxy"},
		{`<a title="a > b" href='>'>link</a>`, "link"},
		{`<a title = "a > b">link</a>`, "link"},
		{`<img src="data:image/png;base64,` + strings.Repeat("A", 10000) + `">x`, "x"},
		{"<p unclosed", ""},
		{"<", "<"},
		{"a</>b", "ab"},
	}
	for _, tt := range tests {
		for _, chunk := range []int{1 << 20, 1, 3} {
			got := htmlToText(t, tt.page, chunk)
			if got != tt.want {
				t.Errorf("%.60q in pieces of %d: got %q, want %q", tt.page, chunk, got, tt.want)
				break
			}
		}
	}
}

// TestHTMLTextPieces: the pieces in which a page comes do not matter, and the
// memory kept does not grow with the page.
func TestHTMLTextPieces(t *testing.T) {
	piece := rapid.SampledFrom([]string{"<", ">", "&", ";", "a", " ", "\"", "'", "=", "-", "!", "/",
		"<!--", "-->", "<script>",
		"</script>", "&amp;", "<p x=", "</p>", "é", "\xff", "#65"})
	rapid.Check(t, func(t *rapid.T) {
		page := strings.Join(rapid.SliceOfN(piece, 0, 60).Draw(t, "page"), "")
		var whole, parts bytes.Buffer
		h := NewHTML(&whole)
		h.Write([]byte(page))
		h.Close()
		g := NewHTML(&parts)
		for rest := page; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			g.Write([]byte(rest[:n]))
			rest = rest[n:]
			if len(g.tag) > maxHTMLTag {
				t.Fatalf("keeps %d octets", len(g.tag))
			}
		}
		g.Close()
		if whole.String() != parts.String() {
			t.Fatalf("%q: %q whole, %q in pieces", page, whole.String(), parts.String())
		}
	})
}

// FuzzHTMLText: whatever the page and wherever it is cut, the text is the same, and little
// is kept.
func FuzzHTMLText(f *testing.F) {
	f.Add("<p>a&amp;<b title='x>'>b</b><!-- c --><script>d</script>", 7)
	f.Fuzz(func(t *testing.T, page string, cut int) {
		cut = min(max(cut, 0), len(page))
		var whole, pieces strings.Builder
		h := NewHTML(&whole)
		h.Write([]byte(page))
		h.Close()
		h = NewHTML(&pieces)
		h.Write([]byte(page[:cut]))
		if len(h.tag) > maxHTMLTag {
			t.Fatalf("%d octets kept", len(h.tag))
		}
		h.Write([]byte(page[cut:]))
		h.Close()
		if whole.String() != pieces.String() {
			t.Fatalf("%q cut at %d: %q, whole %q", page, cut, pieces.String(), whole.String())
		}
	})
}
