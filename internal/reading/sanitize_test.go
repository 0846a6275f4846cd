package reading

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// checkSafe fails if HTML could run something, load something, or send something.
func checkSafe(t *testing.T, safe string) {
	t.Helper()
	tokens := html.NewTokenizer(strings.NewReader(safe))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		switch token.Data {
		case "script", "style", "iframe", "object", "embed", "form", "input", "base", "meta", "link", "svg", "math",
			"video", "audio", "frame", "template":
			t.Errorf("<%s> in %s", token.Data, safe)
		}
		for _, attr := range token.Attr {
			value := strings.ToLower(strings.TrimSpace(attr.Val))
			switch {
			case strings.HasPrefix(attr.Key, "on"), attr.Key == "srcset", attr.Key == "background",
				attr.Key == "src" && !strings.HasPrefix(value, "cid:"),
				attr.Key == "style" && (strings.Contains(value, "url") || strings.Contains(value, "expression")),
				strings.HasPrefix(value, "javascript:"), strings.HasPrefix(value, "vbscript:"):
				t.Errorf("%s=%q in %s", attr.Key, attr.Val, safe)
			}
		}
	}
}

var hostile = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<a href="javascript:alert(1)">x</a>`,
	`<a href=" java&#x09;script:alert(1)">x</a>`, `<svg><script>alert(1)</script></svg>`, `<base href="http://e">`,
	`<meta http-equiv=refresh content="0;url=http://e">`, `<link rel=stylesheet href="http://e">`,
	`<style>@import "http://e"</style>`, `<p style="background:url(http://e)">x</p>`,
	`<p style="background-color:red;color:expression(alert(1))">x</p>`, `<form action="http://e"><input name=x></form>`,
	`<img src="http://e/t.gif">`, `<img src="//e/t.gif">`, `<img srcset="http://e/t.gif 1x">`,
	`<img src="data:image/svg+xml,<svg onload=alert(1)>">`, `<table background="http://e/x">`,
	`<iframe src="http://e"></iframe>`, `<video src="http://e" poster="http://e"></video>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, "<scr\x00ipt>alert(1)</script>", `<<script>alert(1)//<</script>`,
}

func TestSafeHTML(t *testing.T) {
	for _, in := range hostile {
		checkSafe(t, SafeHTML(in))
	}
	for in, want := range map[string]string{
		`<b>bold</b> &amp; <i>more</i>`: `<b>bold</b> &amp; <i>more</i>`,
		`<img src="cid:logo" alt="l">`:  `<img src="cid:logo" alt="l">`,
		`<img src="http://e/t.gif">`:    `<img src="cid:remote">`,
		`<p style="color: red">x</p>`:   `<p style="color: red">x</p>`,
	} {
		if got := SafeHTML(in); got != want {
			t.Errorf("%s became %s", in, got)
		}
	}
	link := SafeHTML(`<a href="https://example.com/">x</a>`)
	for _, want := range []string{`href="https://example.com/"`, "noopener", "noreferrer", "nofollow"} {
		if !strings.Contains(link, want) {
			t.Errorf("a link became %s", link)
		}
	}
}

func FuzzSafeHTML(f *testing.F) {
	for _, in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) { checkSafe(t, SafeHTML(in)) })
}
