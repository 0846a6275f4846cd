package mimestream_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"gadwall/mimestream"
)

// pieces is a next function for parse that cuts oddly, but not too small.
func pieces() func() int {
	n := 0
	return func() int { n++; return 1 + n*7919%4093 }
}

func TestDepthLimit(t *testing.T) {
	var sb strings.Builder
	depth := mimestream.MaxDepth + 20
	for i := range depth {
		fmt.Fprintf(&sb, "Content-Type: multipart/mixed; boundary=%d.\r\n\r\n--%d.\r\n", i, i)
	}
	root, _ := parse(t, []byte(sb.String()), pieces())
	deepest, p := 0, root
	for ; p.Kind == mimestream.Multipart; p = p.Children[0] {
		deepest++
	}
	if deepest != mimestream.MaxDepth || p.Degraded != mimestream.DegradedNesting ||
		p.MediaType() != "application/octet-stream" {
		t.Errorf("%d levels, then %v degraded by %v", deepest, p.MediaType(), p.Degraded)
	}
}

func TestPartsLimit(t *testing.T) {
	message := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat("--b\r\n\r\nx\r\n", mimestream.MaxParts+50) + "--b--\r\n"
	root, _ := parse(t, []byte(message), pieces())
	if n := len(root.Children); n != mimestream.MaxParts-1 {
		t.Fatalf("%d children", n)
	}
	last := root.Children[len(root.Children)-1]
	if last.Degraded != mimestream.DegradedParts || last.End() != int64(len(message)) {
		t.Errorf("the last part ends at %d of %d, degraded by %v", last.End(), len(message), last.Degraded)
	}
}

// The part that reaches the limit may be a message part whose header a boundary line cuts short.
func TestPartsLimitAtMessage(t *testing.T) {
	for _, n := range []int{mimestream.MaxParts - 3, mimestream.MaxParts - 2, mimestream.MaxParts - 1} {
		message := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", n) +
			strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n", 5) + "\r\nSubject: x\r\n\r\n--b\r\n"
		root, _ := parse(t, []byte(message), pieces())
		total := 0
		root.Walk(func(*mimestream.Part) bool { total++; return true })
		if total < n || total > mimestream.MaxParts {
			t.Errorf("%d parts", total)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	const limit = mimestream.MaxHeaderBytes
	fill := func(n int) string { return "X: " + strings.Repeat("x", n-len("X: \r\n")) + "\r\n" }
	for _, tt := range []struct {
		name, message string
		header        int
		degraded      mimestream.Degraded
	}{
		{"exactly full", fill(limit-2) + "\r\nbody", limit, 0},
		{"empty line does not fit", fill(limit-1) + "\r\nbody", limit, mimestream.DegradedHeader},
		{"cut between lines", fill(limit) + "Y: y\r\n\r\nbody", limit, mimestream.DegradedHeader},
		{"cut within a line", fill(limit-3) + "Y: y\r\n\r\nbody", limit, mimestream.DegradedHeader},
		{"cut between CR and LF", fill(limit+1) + "\r\nbody", limit, mimestream.DegradedHeader},
		{"one line", strings.Repeat("x", limit+5), limit, mimestream.DegradedHeader},
		{"ends with the limit", strings.Repeat("x", limit-1), limit - 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, _ := parse(t, []byte(tt.message), pieces())
			if root.HeaderSize != int64(tt.header) || root.Degraded != tt.degraded {
				t.Errorf("header of %d, degraded by %v", root.HeaderSize, root.Degraded)
			}
			once, _ := parse(t, []byte(tt.message), func() int { return len(tt.message) })
			if dump(root) != dump(once) {
				t.Error("tree depends on pieces")
			}
		})
	}
}

// A header that is cut does not hide the boundary that ends its part, and makes no multipart.
func TestHeaderLimitWithinMultipart(t *testing.T) {
	long := "Content-Type: multipart/mixed; boundary=c\r\nX: " +
		strings.Repeat("x", mimestream.MaxHeaderBytes) + "\r\n\r\n--c\r\n\r\n"
	message := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + long + "\r\n--b\r\n\r\nnext\r\n--b--\r\n"
	root, _ := parse(t, []byte(message), pieces())
	if len(root.Children) != 2 {
		t.Fatalf("%d children", len(root.Children))
	}
	first := root.Children[0]
	if first.Kind != mimestream.Leaf || first.Degraded != mimestream.DegradedHeader ||
		first.MediaType() != "application/octet-stream" {
		t.Errorf("first is %v %v, degraded by %v", first.Kind, first.MediaType(), first.Degraded)
	}
}

func TestFieldLimits(t *testing.T) {
	t.Run("length", func(t *testing.T) {
		root := mimestream.Parse([]byte("Subject: " + strings.Repeat("x", mimestream.MaxFieldBytes) + "\r\n\r\n"))
		s, _ := root.Header.Get("subject")
		if len(s) > mimestream.MaxFieldBytes || len(s) < mimestream.MaxFieldBytes-20 ||
			root.Degraded != mimestream.DegradedFields {
			t.Errorf("%d octets, degraded by %v", len(s), root.Degraded)
		}
	})
	// However many fields of other names come before, a field is there.
	t.Run("many", func(t *testing.T) {
		for n, degraded := range map[int]mimestream.Degraded{
			300: 0, mimestream.MaxHeaderBytes / 25: mimestream.DegradedFields,
		} {
			root := mimestream.Parse([]byte(strings.Repeat("To: a@b\r\nSubject: 1\r\n", n) +
				"Content-Type: text/html\r\nContent-Type: text/plain\r\nSubject: 2\r\nFrom: c@d\r\nFrom: e@f\r\n\r\n"))
			subject, _ := root.Header.Get("subject")
			if from := root.Header.Values("from"); subject != "1" || len(from) != 2 || root.Subtype != "html" {
				t.Errorf("after %d fields: subject %q, from %q, type %s", n, subject, from, root.MediaType())
			}
			to := len(root.Header.Values("to"))
			if root.Degraded != degraded || degraded == 0 && to != n || to*70 > 2*mimestream.MaxFieldBytes {
				t.Errorf("%d of %d recipients, degraded by %v", to, n, root.Degraded)
			}
		}
	})
	// What describes a body is there in every part, whatever came before.
	t.Run("parts", func(t *testing.T) {
		fill := "--b\r\nContent-Type: text/plain; name=" + strings.Repeat("x", 4000) + "\r\n\r\nx\r\n"
		root := mimestream.Parse([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
			strings.Repeat(fill, 200) +
			"--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=y\r\n" +
			"Content-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--\r\n"))
		last := root.Children[len(root.Children)-1]
		if last.MediaType() != "image/png" || last.Disposition != "attachment" || last.Encoding != "base64" ||
			last.DecodedSize != 1 {
			t.Errorf("%s %s %s, decoded %d", last.MediaType(), last.Disposition, last.Encoding, last.DecodedSize)
		}
		if before := root.Children[199]; before.Degraded != mimestream.DegradedFields {
			t.Errorf("the part before is degraded by %v", before.Degraded)
		}
	})
	t.Run("sum", func(t *testing.T) {
		part := "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: " + strings.Repeat("x", 60_000) + "\r\n\r\nx\r\n"
		root := mimestream.Parse([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(part, 20)))
		if n := len(root.Children); n != 20 {
			t.Fatalf("%d children", n)
		}
		kept := 0
		root.Walk(func(p *mimestream.Part) bool {
			for _, f := range p.Header {
				kept += len(f.Value)
			}
			return true
		})
		if kept > mimestream.MaxKeptBytes || kept < mimestream.MaxKeptBytes*3/4 {
			t.Errorf("%d octets kept", kept)
		}
	})
	t.Run("params", func(t *testing.T) {
		root := mimestream.Parse([]byte("Content-Type: text/plain" + strings.Repeat("; a=b", 500) +
			"; x=" + strings.Repeat("y", 9000)))
		if n := len(root.Params); n != mimestream.MaxParams {
			t.Errorf("%d parameters", n)
		}
		root = mimestream.Parse([]byte("Content-Type: text/plain; x=" + strings.Repeat("y", 9000)))
		if n := len(root.Param("x")); n != mimestream.MaxParamBytes {
			t.Errorf("parameter of %d octets", n)
		}
	})
}

// endless gives its parts again and again.
type endless struct {
	once, again string
	rest        string
	size        int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.size <= 0 {
		return 0, io.EOF
	}
	if e.rest == "" {
		e.rest, e.once = e.once+e.again, ""
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	e.size -= n
	return n, nil
}

// Whatever comes, a parser holds little memory while and after it parses.
func TestConstantMemory(t *testing.T) {
	const size = 24 << 20
	long := strings.Repeat("x", 9<<10)
	for name, e := range map[string]endless{
		"one line":           {"", long, "", size},
		"header lines":       {"", "To: " + long + "\r\n", "", size},
		"short header lines": {"", "To:a\nCc:b\nFrom:c\n", "", size},
		"continuation lines": {"To: a@b,\r\n", " c@d,\r\n", "", size},
		"parts": {"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
			"--b\r\nContent-Type: text/plain; name=" + long + "\r\n\r\nx\r\n", "", size},
		"small parts":       {"Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n", "", size},
		"messages":          {"", "Content-Type: message/rfc822\r\nSubject: " + long + "\r\n\r\n", "", size},
		"nested multiparts": {"", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", "", size},
		"parameters":        {"Content-Type: text/plain", "; a*1=b; c=\"d\"", "", size},
		"boundary-like lines": {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n",
			"--\r\n--a\r\n\n--", "", size},
		"quoted-printable": {"Content-Transfer-Encoding: quoted-printable\r\n\r\n", "     =   \t  \r", "", size},
		"line ends, CR and LF": {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n",
			"\r\r\n\n\r", "", size},
		"headers of many parts": {"Content-Type: multipart/digest; boundary=b\r\n\r\n",
			"--b\r\n\r\nFrom: " + long[:500] + "\r\nContent-ID: " + long[:400] + "\r\n\r\n", "", size},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			p := mimestream.NewParser(mimestream.NopHandler{})
			if _, err := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{&e},
				make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
			grown := int64(heap()) - int64(before)
			root, err := p.Close()
			if err != nil {
				t.Fatal(err)
			}
			if grown > 3<<20 {
				t.Errorf("the parser holds %d KiB", grown>>10)
			}
			runtime.KeepAlive(root)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDegradedNames(t *testing.T) {
	all := mimestream.Degraded(0xff)
	if got := all.String(); got != "nesting,parts,header,fields,boundary,unclosed" {
		t.Error(got)
	}
	if got := bytes.Count([]byte(mimestream.Degraded(0).String()), nil); got != 1 {
		t.Error("no reasons must give no text")
	}
}
