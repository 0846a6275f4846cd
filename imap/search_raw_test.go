package imap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/net/html"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"gadwall/internal/mailstore"
)

// What follows evaluates searches on the raw bytes of mail, by the standard library
// and by the words of RFC 3501 section 6.4.4: nothing of the server's own reading of mail is
// used. It takes well-formed mail only.

// rawMail is what the naive evaluation reads in a message.
type rawMail struct {
	fields  []rawField // of the message
	headers []string   // each field of each header, as a line
	texts   []string   // of the text parts
}

type rawField struct{ name, text string } // name in lower case

// readRaw reads a message.
func readRaw(t testing.TB, raw []byte) *rawMail {
	m := &rawMail{}
	m.fields = m.entity(t, raw)
	return m
}

// entity reads a message or part, and returns the fields of its header.
func (m *rawMail) entity(t testing.TB, raw []byte) []rawField {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var fields []rawField
	get := func(name string) string {
		for _, f := range fields {
			if f.name == name {
				return f.text
			}
		}
		return ""
	}
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t").Replace(string(head))
	words := mime.WordDecoder{CharsetReader: func(name string, r io.Reader) (io.Reader, error) {
		enc, err := htmlindex.Get(name)
		if err != nil {
			return nil, err
		}
		return enc.NewDecoder().Reader(r), nil
	}}
	for line := range strings.SplitSeq(unfolded, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			name, value = "", line
		}
		value, err := words.DecodeHeader(value)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		value = strings.Join(strings.Fields(value), " ")
		if ok {
			fields = append(fields, rawField{strings.ToLower(name), value})
			value = name + ": " + value
		}
		m.headers = append(m.headers, value)
	}
	kind, params, err := mime.ParseMediaType(get("content-type"))
	if err != nil {
		kind, params = "text/plain", nil
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			part, err := r.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			// The reader has taken the header off; write it again.
			var again bytes.Buffer
			for name, values := range part.Header {
				for _, v := range values {
					fmt.Fprintf(&again, "%s: %s\r\n", name, v)
				}
			}
			again.WriteString("\r\n")
			io.Copy(&again, part)
			m.entity(t, again.Bytes())
		}
	case kind == "message/rfc822":
		m.entity(t, body)
	case strings.HasPrefix(kind, "text/"):
		m.texts = append(m.texts, rawText(t, kind, params["charset"], get("content-transfer-encoding"), body))
	}
	return fields
}

// rawText is the text of a part as a reader sees it.
func rawText(t testing.TB, kind, charset, encoding string, body []byte) string {
	var r io.Reader = bytes.NewReader(body)
	switch encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	if charset != "" {
		enc, err := htmlindex.Get(charset)
		if err != nil {
			t.Fatal(err)
		}
		r = enc.NewDecoder().Reader(r)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "text/html" {
		return string(text)
	}
	const block = "\x01" // stands for the end of one
	var shown strings.Builder
	hidden := false
	z := html.NewTokenizer(bytes.NewReader(text))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		token := z.Token()
		switch {
		case tt == html.TextToken && !hidden:
			shown.WriteString(strings.ReplaceAll(token.Data, "\u00a0", " "))
		case token.Data == "script" || token.Data == "style":
			hidden = tt == html.StartTagToken
		case tt != html.TextToken && tt != html.CommentToken &&
			!slices.Contains([]string{"b", "i", "span", "a"}, token.Data):
			shown.WriteString(block)
		}
	}
	var lines []string
	for line := range strings.SplitSeq(shown.String(), block) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return strings.Join(lines, "\n")
}

// seen is text as it is compared: what is not seen does not count, nor does case, nor how
// a character is encoded.
func seen(s string) string {
	s = strings.NewReplacer("\u00ad", "", "\u200b", "", "\u200d", "", "\ufeff", "").Replace(s)
	return strings.ToLower(norm.NFKD.String(strings.ToLower(s)))
}

func (m *rawMail) hasField(name, text string) bool {
	return slices.ContainsFunc(m.fields, func(f rawField) bool {
		if f.name != name {
			return false
		}
		if strings.Contains(seen(f.text), seen(text)) {
			return true
		}
		return slices.ContainsFunc(rawAddresses[f.text], func(address string) bool {
			return strings.Contains(seen(address), seen(text))
		})
	})
}

func (m *rawMail) hasBody(text string) bool {
	return slices.ContainsFunc(m.texts, func(s string) bool { return strings.Contains(seen(s), seen(text)) })
}

func (m *rawMail) hasText(text string) bool {
	return m.hasBody(text) ||
		slices.ContainsFunc(m.headers, func(s string) bool { return strings.Contains(seen(s), seen(text)) })
}

// The words of random mail, and the charsets that can be tried for them.
var (
	rawWords = []string{"invoice", "Rechnung", "größe", "日本", "счёт", "Straße", "é", "e\u0301",
		"ﬁne", "Donau\u00addampf",
		"zero\u200bwidth", "x1", "a.b", "Überfall"}
	rawCharsets = []string{"utf-8", "iso-8859-1", "windows-1252", "koi8-r", "shift_jis", "iso-2022-jp", "gb18030"}
)

func drawWords(t *rapid.T, label string, least, most int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(rawWords), least, most).Draw(t, label), " ")
}

// drawCharset draws a charset that has the text, and the text in it.
func drawCharset(t *rapid.T, text string) (name, encoded string) {
	name = rapid.SampledFrom(rawCharsets).Draw(t, "charset")
	enc, err := htmlindex.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err = enc.NewEncoder().String(text)
	if back, backErr := enc.NewDecoder().String(encoded); err != nil || backErr != nil || back != text {
		return "utf-8", text
	}
	return name, encoded
}

// drawValue draws the value of a field: as it is, in encoded words, folded.
func drawValue(t *rapid.T, text string) string {
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 0:
		return text
	case 1:
		return strings.ReplaceAll(text, " ", "\r\n  ")
	}
	var out []string
	for word := range strings.SplitSeq(text, " ") {
		charset, encoded := drawCharset(t, word+" ")
		if rapid.Bool().Draw(t, "q") {
			var q strings.Builder
			for _, c := range []byte(encoded) {
				fmt.Fprintf(&q, "=%02X", c)
			}
			out = append(out, fmt.Sprintf("=?%s?Q?%s?=", charset, q.String()))
			continue
		}
		out = append(out, fmt.Sprintf("=?%s?b?%s?=", charset, base64.StdEncoding.EncodeToString([]byte(encoded))))
	}
	return strings.Join(out, rapid.SampledFrom([]string{" ", "\r\n ", "\r\n\t"}).Draw(t, "between"))
}

// rawAddresses are the values of address fields, and what their addresses are (RFC 5322
// section 3.4) where they do not stand there so.
var rawAddresses = map[string][]string{
	"ann@example.com":                                nil,
	"Ann Lee <ann@example.com>":                      nil,
	`"Lee, Ann" <ann.lee@example.org>`:               nil,
	"ann . lee @ example . org":                      {"<ann.lee@example.org>"},
	"bob (at work) @example.com":                     {"at work <bob@example.com>"},
	"Bob <bob (home) @example.com>, ann@example.com": {"Bob <bob@example.com>"},
	`"\"J\" Ö" <j@x.example>`:                        {`"J" Ö <j@x.example>`},
}

// drawRaw draws a message, or a part of one.
func drawRaw(t *rapid.T, depth int, message bool) string {
	var b strings.Builder
	if message {
		for _, name := range []string{"Subject", "Subject", "X-Tag", "x-tag"} {
			if rapid.Bool().Draw(t, "has "+name) {
				fmt.Fprintf(&b, "%s: %s\r\n", name, drawValue(t, drawWords(t, name, 1, 3)))
			}
		}
		for _, name := range []string{"From", "To", "To", "Cc"} {
			if rapid.Bool().Draw(t, "has "+name) {
				fmt.Fprintf(&b, "%s: %s\r\n", name,
					rapid.SampledFrom(slices.Sorted(maps.Keys(rawAddresses))).Draw(t, name))
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "junk") == 0 {
			b.WriteString("no field is " + drawWords(t, "junk", 1, 2) + "\r\n")
		}
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	kind := "leaf"
	if depth > 0 {
		kind = rapid.SampledFrom([]string{"leaf", "multipart", "message"}).Draw(t, "kind")
	}
	switch kind {
	case "multipart":
		boundary := fmt.Sprintf("b%d", depth)
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s\r\n\r\ninvoice in the preamble\r\n", boundary)
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			fmt.Fprintf(&b, "--%s\r\n%s\r\n", boundary, drawRaw(t, depth-1, false))
		}
		fmt.Fprintf(&b, "--%s--\r\ninvoice in the epilogue\r\n", boundary)
	case "message":
		b.WriteString("Content-Type: message/rfc822\r\n\r\n" + drawRaw(t, depth-1, true))
	default:
		drawLeaf(t, &b)
	}
	return b.String()
}

func drawLeaf(t *rapid.T, b *strings.Builder) {
	kind := rapid.SampledFrom([]string{"text/plain", "text/html", "text/html",
		"application/octet-stream"}).Draw(t, "type")
	text := drawWords(t, "text", 0, 5)
	if kind == "text/html" {
		var page strings.Builder
		for i, word := range strings.Split(text, " ") {
			form := rapid.SampledFrom([]string{"%s ", "<p>%s</p>", "<b>%s</b>", "%s<br>\r\n",
				"<span title='invoice'>%s</span> ", "<!-- invoice -->%s ",
				"<style>invoice</style>%s", "%s&shy;", "&euro;&nbsp;%s "}).Draw(t, "tag")
			if i == 0 {
				form = "<div>" + form
			}
			fmt.Fprintf(&page, form, word)
		}
		text = page.String()
	}
	charset, encoded := drawCharset(t, text)
	fmt.Fprintf(b, "Content-Type: %s; charset=%s\r\n", kind, charset)
	switch rapid.SampledFrom([]string{"8bit", "base64", "quoted-printable"}).Draw(t, "encoding") {
	case "base64":
		fmt.Fprintf(b, "Content-Transfer-Encoding: base64\r\n\r\n%s",
			base64.StdEncoding.EncodeToString([]byte(encoded)))
	case "quoted-printable":
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		w := quotedprintable.NewWriter(b)
		io.WriteString(w, encoded)
		w.Close()
	default:
		fmt.Fprintf(b, "Content-Transfer-Encoding: 8bit\r\n\r\n%s", encoded)
	}
}

// drawRawKey draws a search and what it means.
func drawRawKey(t *rapid.T, depth int) (text string, match func(*rawMail) bool) {
	if depth > 0 {
		switch rapid.IntRange(0, 4).Draw(t, "op") {
		case 0:
			text, kid := drawRawKey(t, depth-1)
			return "NOT " + text, func(m *rawMail) bool { return !kid(m) }
		case 1:
			a, left := drawRawKey(t, depth-1)
			b, right := drawRawKey(t, depth-1)
			return "OR " + a + " " + b, func(m *rawMail) bool { return left(m) || right(m) }
		case 2:
			a, left := drawRawKey(t, depth-1)
			b, right := drawRawKey(t, depth-1)
			return "(" + a + " " + b + ")", func(m *rawMail) bool { return left(m) && right(m) }
		}
	}
	needle := rapid.OneOf(
		rapid.SampledFrom([]string{"nvoic", "INVOICE", "GRÖ", "donaudampf", "ZEROWIDTH", "fine",
			"e", "счЁт", "本", "in\u00advoice r", "preamble",
			"title", "€ ", "mime-version: 1.0", "no field", "nothing", "überfall",
			"ann.lee@example.org", "ann@example", "bob@example.com", "Lee, Ann",
			`"J" ö`, "home", "j@x"}),
		rapid.SampledFrom(rawWords),
		rapid.Custom(func(t *rapid.T) string { return drawWords(t, "two words", 2, 2) }),
	).Draw(t, "needle")
	switch key := rapid.SampledFrom([]string{"TEXT", "BODY", "SUBJECT", "FROM", "TO", "CC",
		"HEADER X-Tag", "HEADER subject"}).Draw(t, "key"); key {
	case "TEXT":
		return "TEXT " + nonSync(needle), func(m *rawMail) bool { return m.hasText(needle) }
	case "BODY":
		return "BODY " + nonSync(needle), func(m *rawMail) bool { return m.hasBody(needle) }
	default:
		name := strings.ToLower(key[strings.LastIndex(key, " ")+1:])
		return key + " " + nonSync(needle), func(m *rawMail) bool { return m.hasField(name, needle) }
	}
}

// TestSearchRaw: random searches of random mail answer what a naive evaluation of the raw
// bytes does, and the same when the texts stored with the messages do not count.
func TestSearchRaw(t *testing.T) {
	const messages = 80
	s := newTestServer(t)
	var raws []string
	var mails []*rawMail
	for i := range messages {
		raw := rapid.Custom(func(t *rapid.T) string { return drawRaw(t, 2, true) }).Example(i)
		s.deliver(t, raw, "")
		raws, mails = append(raws, raw), append(mails, readRaw(t, []byte(raw)))
	}
	c := s.login(t)
	check := func(t *rapid.T) {
		text, match := drawRawKey(t, 3)
		lines, status := c.do("SEARCH CHARSET UTF-8 %s", text)
		if !strings.HasPrefix(status, "OK") || len(lines) != 1 {
			t.Fatalf("%q: %q, %s", text, lines, status)
		}
		found := strings.Fields(lines[0])[2:]
		for i, m := range mails {
			if got, want := slices.Contains(found, strconv.Itoa(i+1)), match(m); got != want {
				t.Fatalf("SEARCH %s\nin\n%s\nis %v, want %v: %+v", text, raws[i], got, want, m)
			}
		}
	}
	c.ok("SELECT INBOX")
	rapid.Check(t, check)
	s.unsetTextRules(t)
	rapid.Check(t, check)
}

// unsetTextRules makes the messages as if they had been stored by an earlier version.
func (s *testServer) unsetTextRules(t *testing.T) {
	t.Helper()
	_, err := s.db.Collection("messages").UpdateMany(t.Context(), bson.D{},
		bson.D{{Key: "$unset", Value: bson.D{{Key: mailstore.DocTextRules, Value: ""}}}})
	if err != nil {
		t.Fatal(err)
	}
}
