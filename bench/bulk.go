package bench

import (
	"fmt"
	"strings"
)

// A bulkSender sends newsletters, made from a template of its own.
type bulkSender struct {
	name, address, domain string
	links                 string // where links lead
	lang                  *lexicon
	style                 string
	classes               []string
	attributes            []string // of cells
	blocks                []string // markup of articles and offers, with places for what differs
	colors                []string
	footer                []string
	esp                   string // field of the sending service
}

// newsletterSize is the median size of the HTML of a newsletter. Guides ask for less than 50 KB,
// and for 100 KB at most, beyond which web mail cuts them off.
const newsletterSize = 28_000

// newBulkSender makes sender number k, with the HTML and CSS that all its mails share.
func (w *world) newBulkSender(k int) *bulkSender {
	s := newSource(w.seed, "bulk", k)
	t := &bulkSender{lang: w.language(s), domain: w.domain(s)}
	t.name = capital(w.lexicon["en"].latin(s)) + pick(s, []string{" News", "", " Shop", " Team", " Weekly"})
	t.address = pick(s, []string{"news", "newsletter", "hello", "info", "no-reply", "marketing"}) +
		"@" + pick(s, []string{"mail.", "news.", "e.", ""}) + t.domain
	t.links = "https://" + pick(s, []string{"click.", "links.", "t.", "email.", "trk."}) + t.domain + pick(s, []string{"/ls/click?upn=", "/f/a/", "/c/", "/track/click/", "/CL0/"})
	t.esp = pick(s, []string{"X-Mailgun-Sid", "X-SG-EID", "X-MC-User", "X-campaignid",
		"X-SES-Outgoing", "X-CSA-Complaints"})
	for range 8 {
		t.classes = append(t.classes, w.lexicon["en"].latin(s))
		t.colors = append(t.colors, "#"+s.hex(6))
	}
	properties := []string{"padding", "margin", "font-size", "line-height", "border-radius",
		"width", "max-width", "border", "text-align", "font-family", "color", "background-color",
		"display", "mso-line-height-rule", "-webkit-text-size-adjust", "vertical-align",
		"text-decoration", "font-weight", "border-collapse"}
	value := func(p string) string {
		switch p {
		case "color", "background-color":
			return pick(s, t.colors)
		case "text-align":
			return pick(s, []string{"left", "center"})
		case "font-family":
			return pick(s, []string{"Arial, Helvetica, sans-serif", "Georgia, serif",
				"'Open Sans', Arial, sans-serif", "Roboto, Tahoma, sans-serif"})
		case "display":
			return pick(s, []string{"block", "inline-block", "none"})
		case "mso-line-height-rule":
			return "exactly"
		case "-webkit-text-size-adjust", "width", "max-width":
			return pick(s, []string{"100%", "600px", "auto"})
		case "vertical-align":
			return "top"
		case "text-decoration":
			return "none"
		case "font-weight":
			return pick(s, []string{"bold", "normal", "700"})
		case "border-collapse":
			return "collapse"
		}
		return fmt.Sprintf("%dpx", s.IntN(40))
	}
	rule := func(n int) string {
		var b strings.Builder
		for range n {
			p := pick(s, properties)
			b.WriteString(p + ":" + pick(s, []string{"", " "}) + value(p) + ";")
		}
		return b.String()
	}
	var css strings.Builder
	for range 20 + s.IntN(90) {
		fmt.Fprintf(&css, "%s {%s}\n", pick(s, []string{"body", "table", "td", "a", "img", "p",
			"h1", "h2", "#outlook a", ".ExternalClass", "." + pick(s, t.classes), "." +
				pick(s, t.classes) + " td"}), rule(1+s.IntN(6)))
	}
	t.style = "<style type=\"text/css\">\n" + css.String() +
		"@media only screen and (max-width: 600px) {\n." + t.classes[0] + " { width: 100% !important; }\n}\n</style>"
	for range 6 {
		t.attributes = append(t.attributes,
			fmt.Sprintf(`align="%s" valign="top" class="%s" style="%s"`,
				pick(s, []string{"left", "center"}), pick(s, t.classes), rule(3+s.IntN(6))))
	}
	for range 3 + s.IntN(3) {
		t.blocks = append(t.blocks, t.newBlock(s, rule))
	}
	for range 4 {
		t.footer = append(t.footer, t.lang.sentence(s))
	}
	return t
}

// newBlock makes the markup of an article or offer as template editors write it: tables in tables,
// each with its style, and the same once more for one family of mail programs, in comments. The
// words in capitals differ from mail to mail.
func (t *bulkSender) newBlock(s source, rule func(n int) string) string {
	var b strings.Builder
	table := func() string {
		return fmt.Sprintf(`<table align="center" border="0" cellpadding="0" cellspacing="0" role="presentation" class="%s" style="%s"><tbody><tr><td %s>`, pick(s, t.classes), rule(2+s.IntN(3)), pick(s, t.attributes))
	}
	outlook := func(inner string) { b.WriteString("<!--[if mso | IE]>" + inner + "<![endif]-->\n") }
	outlook(table())
	depth := 1 + s.IntN(3)
	for range depth {
		b.WriteString(table() + "\n")
		if s.chance(50) {
			fmt.Fprintf(&b, "<div class=\"%s\" style=\"%s\"></div>\n", pick(s, t.classes), rule(3))
		}
	}
	columns := 1 + s.IntN(2)
	for range columns {
		fmt.Fprintf(&b, "<div class=\"%s\" style=\"%s\">\n<table border=\"0\" cellpadding=\"0\" "+
			"cellspacing=\"0\" role=\"presentation\" width=\"100%%\">\n", pick(s, t.classes), rule(5))
		if s.chance(85) {
			fmt.Fprintf(&b, "<tr><td %s><a href=\"LINK\" target=\"_blank\" style=\"%s\"><img src=\"https://images.%s/IMAGE.png\" width=\"%d\" alt=\"TITLE\" border=\"0\" style=\"%s\" /></a></td></tr>\n", pick(s, t.attributes), rule(2), t.domain, 100+s.IntN(500), rule(4))
		}
		fmt.Fprintf(&b, "<tr><td %s><h2 style=\"%s\">TITLE</h2></td></tr>\n"+
			"<tr><td %s><div style=\"%s\">TEXT</div></td></tr>\n", pick(s, t.attributes), rule(5),
			pick(s, t.attributes), rule(5))
		if s.chance(75) {
			fmt.Fprintf(&b, "<tr><td %s><table border=\"0\" cellpadding=\"0\" cellspacing=\"0\" "+
				"role=\"presentation\" style=\"%s\"><tr><td align=\"center\" bgcolor=\"%s\" "+
				"style=\"%s\"><a href=\"LINK\" style=\"%s\" target=\"_blank\">BUTTON</a></td>"+
				"</tr></table></td></tr>\n", pick(s, t.attributes), rule(3), pick(s, t.colors), rule(3), rule(6))
		}
		b.WriteString("</table></div>\n")
	}
	b.WriteString(strings.Repeat("</td></tr></tbody></table>\n", depth))
	outlook("</td></tr></tbody></table>")
	return b.String()
}

// page is the HTML of one mail and its text.
func (t *bulkSender) page(s source) (markup, plain string) {
	var h, p strings.Builder
	h.WriteString("<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html xmlns=\"http://www.w3.org/1999/xhtml\" xmlns:o=\"urn:schemas-microsoft-com:office:office\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\" />\n<title></title>\n" + t.style + "\n<!--[if mso]><xml><o:OfficeDocumentSettings><o:AllowPNG/><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml><![endif]-->\n</head>\n<body bgcolor=\"" + t.colors[0] + "\">\n<table role=\"presentation\" width=\"100%\" border=\"0\" cellspacing=\"0\" cellpadding=\"0\"><tbody>\n")
	link := func() string { return t.links + s.token(60+s.IntN(240)) }
	size := s.around(newsletterSize, 0.55, 140_000)
	for h.Len() < size {
		title, text := capital(t.lang.words(s, 2+s.IntN(5))), strings.Join(t.lang.paragraphs(s, 60+s.IntN(400)), " ")
		target := link()
		h.WriteString("<tr>\n<td>\n" + strings.NewReplacer("LINK", target, "IMAGE", s.hex(8)+"/"+
			s.hex(24), "TITLE", title, "TEXT", text, "BUTTON", t.lang.words(s, 2)).
			Replace(pick(s, t.blocks)) + "</td>\n</tr>\n")
		p.WriteString(title + "\n\n" + wrap(text, 76) + "\n" + target + "\n\n")
	}
	fmt.Fprintf(&h, "<tr><td %s>%s<br /><a href=\"%s\">%s</a></td></tr>\n</tbody></table>\n"+
		"<img src=\"%s\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block\" />\n</body>\n"+
		"</html>\n", t.attributes[0], strings.Join(t.footer, " "), link(), t.lang.words(s, 2), link())
	p.WriteString(wrap(strings.Join(t.footer, " "), 76) + "\n")
	return h.String(), p.String()
}

func (b *builder) newsletter(n int) *Message {
	t := often(b.source, b.w.bulk)
	bounce := "bounce-" + b.hex(20) + "@" + t.domain
	e := &envelope{n: n, when: when(n), from: b.encoded(t.name) + " <" + t.address + ">",
		fromAddress: t.address, to: []string{"user@" + domainOf(b.w.mx[0])},
		subject: capital(t.lang.words(b.source, 4+b.IntN(6))) +
			pick(b.source, []string{"", "!", " 🎉", "?"}), id: "<" + b.token(40) + "@" + t.domain + ">",
		program: script, bulk: t, ip: "198.51.100." + b.digits(2)}
	b.head(e)
	b.line("List-Unsubscribe: <", t.links, b.token(180), ">,\r\n <mailto:unsubscribe-", b.token(30), "@", t.domain, ">")
	b.line("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
	b.line("Feedback-ID: ", b.digits(6), ":", b.digits(5), ":", t.domain)
	b.line(t.esp, ": ", b.signature(b.IntN(200)+20))
	b.line("Precedence: bulk")
	b.line("Reply-To: ", t.address)
	markup, plain := t.page(b.source)
	if b.chance(25) {
		b.text("html", markup, t.lang, script)
		return &Message{From: bounce, Raw: b.Bytes()}
	}
	b.multipart("alternative", "", script,
		func() { b.text("plain", plain, t.lang, script) },
		func() { b.text("html", markup, t.lang, script) })
	return &Message{From: bounce, Raw: b.Bytes()}
}

// A notifier sends mails of one form with other values.
type notifier struct {
	name, address, domain string
	lang                  *lexicon
	lines                 []string // with # for numbers, % for words, @ for identifiers
	subject               string
	html                  string // around the lines; empty for text alone
}

func (w *world) newNotifier(k int) *notifier {
	s := newSource(w.seed, "notice", k)
	t := &notifier{lang: w.language(s), domain: w.domain(s)}
	t.name = capital(w.lexicon["en"].latin(s))
	t.address = pick(s, []string{"no-reply", "notifications", "billing", "alerts", "root"}) + "@" + t.domain
	t.subject = t.lang.words(s, 3) + " #"
	for range 4 + s.IntN(14) {
		line := t.lang.sentence(s)
		switch s.IntN(4) {
		case 0:
			line = capital(t.lang.words(s, 2)) + ": #"
		case 1:
			line = capital(t.lang.words(s, 1)) + ": % (@)"
		case 2:
			line += " https://" + t.domain + "/" + w.lexicon["en"].latin(s) + "/@"
		}
		t.lines = append(t.lines, line)
	}
	if s.chance(60) {
		t.html = `<html><head><style>body { font-family: ` +
			pick(s, []string{"Helvetica", "Verdana", "Segoe UI"}) + `; color: #` + s.hex(6) +
			`; } td { padding: ` + s.digits(1) + `px; } .` + w.lexicon["en"].latin(s) +
			` { border: 1px solid #` + s.hex(6) +
			`; }</style></head><body><table width="100%" cellpadding="0" cellspacing="0">`
	}
	return t
}

func (c *Corpus) notice(b *builder, n int) *Message {
	t := often(b.source, c.w.notices)
	fill := func(line string) string {
		var out strings.Builder
		for _, r := range line {
			switch r {
			case '#':
				out.WriteString(b.digits(3 + b.IntN(6)))
			case '%':
				out.WriteString(t.lang.words(b.source, 1+b.IntN(4)))
			case '@':
				out.WriteString(b.hex(8 + b.IntN(24)))
			default:
				out.WriteRune(r)
			}
		}
		return out.String()
	}
	e := &envelope{n: n, when: when(n), from: t.name + " <" + t.address + ">",
		fromAddress: t.address, to: []string{"user@" + domainOf(b.w.mx[0])},
		subject: capital(fill(t.subject)), id: "<" + b.hex(30) + "@" + t.domain + ">",
		program: script, ip: "203.0.113." + b.digits(2)}
	b.head(e)
	b.line("Auto-Submitted: auto-generated")
	b.line("X-Auto-Response-Suppress: All")
	lines := make([]string, 0, len(t.lines))
	for _, l := range t.lines {
		lines = append(lines, fill(l))
	}
	body := func() { b.text("plain", wrap(strings.Join(lines, "\n"), 76)+"\n", t.lang, script) }
	if t.html != "" {
		plain := body
		body = func() {
			b.multipart("alternative", "", script, plain, func() {
				b.text("html", t.html+"<tr><td>"+strings.Join(lines, "</td></tr>\n<tr><td>")+
					"</td></tr>\n</table></body></html>\n", t.lang, script)
			})
		}
	}
	parts := []func(){body}
	for slot := range c.files(n) {
		parts = append(parts, func() { c.attach(b, n, slot, script) })
	}
	b.multipart("mixed", "", script, parts...)
	return &Message{From: t.address, Raw: b.Bytes()}
}
