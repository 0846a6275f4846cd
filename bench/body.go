package bench

import (
	"fmt"
	"html"
	"strings"
)

// plainText returns a thread as text: each mail quotes the one before.
func plainText(texts []said) string {
	var b strings.Builder
	prefix := ""
	for i, t := range texts {
		if i > 0 {
			attribution := strings.NewReplacer("DATE", t.when.Format("Mon, Jan 2, 2006 at 3:04 PM"),
				"NAME", t.by.name()+" <"+t.by.address()+">").Replace(texts[i-1].by.lang.wrote)
			b.WriteString(prefix + "\n" + prefix + attribution + "\n")
			prefix += ">"
		}
		lead := prefix
		if lead != "" {
			lead += " "
		}
		for _, p := range t.paragraphs {
			for line := range strings.SplitSeq(wrap(p, 74), "\n") {
				b.WriteString(lead + line + "\n")
			}
			b.WriteString(strings.TrimRight(lead, " ") + "\n")
		}
		if len(t.signature) > 0 && i == 0 {
			b.WriteString("-- \n" + wrap(strings.Join(t.signature, "\n"), 74) + "\n")
		}
	}
	return b.String()
}

// wrap breaks lines at spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
			column = 0
		}
		for k, word := range strings.Split(line, " ") {
			switch {
			case k == 0:
			case column+1+len(word) > width:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += len(word)
		}
	}
	return b.String()
}

// alternative writes the text and its HTML, perhaps with a picture of the company.
func (b *builder) alternative(texts []said, p *person) {
	logo := b.chance(18)
	markup := b.markup(texts, p, logo)
	both := func() {
		b.multipart("alternative", "", p.program,
			func() { b.text("plain", plainText(texts), p.lang, p.program) },
			func() { b.text("html", markup, p.lang, p.program) })
	}
	if !logo {
		both()
		return
	}
	b.multipart("related", `type="multipart/alternative"; `, p.program, both, func() {
		s := newSource(b.w.seed, "logo", p.company)
		b.line("Content-Type: image/png; name=\"image001.png\"")
		b.line("Content-Description: image001.png")
		b.line("Content-Disposition: inline; filename=\"image001.png\"")
		b.line("Content-ID: <image001.png@01DA", strings.ToUpper(b.hex(4)), ".", strings.ToUpper(b.hex(8)), ">")
		b.line("Content-Transfer-Encoding: base64")
		b.line()
		b.base64(append([]byte("\x89PNG\r\n\x1a\n"), s.bytes(s.around(7000, 0.7, 60_000))...), 76)
	})
}

// markup returns the HTML of a thread as mail programs write it.
func (b *builder) markup(texts []said, p *person, logo bool) string {
	var out strings.Builder
	switch p.program {
	case exchange:
		out.WriteString("<html xmlns:v=\"urn:schemas-microsoft-com:vml\" xmlns:o=\"urn:schemas-microsoft-com:office:office\" xmlns:w=\"urn:schemas-microsoft-com:office:word\" xmlns=\"http://www.w3.org/TR/REC-html40\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\n<meta name=\"Generator\" content=\"Microsoft Word 15 (filtered medium)\">\n<style><!--\n/* Font Definitions */\n@font-face\n\t{font-family:\"Cambria Math\";\n\tpanose-1:2 4 5 3 5 4 6 3 2 4;}\n@font-face\n\t{font-family:Calibri;\n\tpanose-1:2 15 5 2 2 2 4 3 2 4;}\n/* Style Definitions */\np.MsoNormal, li.MsoNormal, div.MsoNormal\n\t{margin:0cm;\n\tfont-size:11.0pt;\n\tfont-family:\"Calibri\",sans-serif;\n\tmso-fareast-language:EN-US;}\na:link, span.MsoHyperlink\n\t{mso-style-priority:99;\n\tcolor:#0563C1;\n\ttext-decoration:underline;}\nspan.EmailStyle17\n\t{mso-style-type:personal-compose;\n\tfont-family:\"Calibri\",sans-serif;\n\tcolor:windowtext;}\n.MsoChpDefault\n\t{mso-style-type:export-only;}\n@page WordSection1\n\t{size:612.0pt 792.0pt;\n\tmargin:70.85pt 70.85pt 2.0cm 70.85pt;}\ndiv.WordSection1\n\t{page:WordSection1;}\n--></style>\n</head>\n<body lang=\"EN-US\" link=\"#0563C1\" vlink=\"#954F72\" style=\"word-wrap:break-word\">\n<div class=\"WordSection1\">\n")
	case webmail:
		out.WriteString("<div dir=\"ltr\">")
	default:
		out.WriteString("<html><head><meta http-equiv=\"content-type\" content=\"text/html; " +
			"charset=utf-8\"></head><body style=\"overflow-wrap: break-word; -webkit-nbsp-mode: " +
			"space; line-break: after-white-space;\">")
	}
	for i, t := range texts {
		if i > 0 {
			b.attribution(&out, texts[i-1].by, t, p.program)
		}
		for _, para := range t.paragraphs {
			text := strings.ReplaceAll(html.EscapeString(para), "\n", "<br>\n")
			switch p.program {
			case exchange:
				out.WriteString("<p class=\"MsoNormal\"><span lang=\"" +
					strings.ToUpper(p.lang.code) + "\">" + wrap(text, 76) +
					"<o:p></o:p></span></p>\n<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n")
			case webmail:
				out.WriteString("<div>" + text + "</div><div><br></div>")
			case apple:
				out.WriteString("<div>" + text + "</div><div><br></div>\n")
			default:
				out.WriteString("<p>" + wrap(text, 74) + "</p>\n    ")
			}
		}
		if len(t.signature) > 0 && i == 0 {
			out.WriteString(signatureMarkup(t.signature, p, logo))
		}
	}
	if p.program == webmail {
		out.WriteString(strings.Repeat("</div>", 1+len(texts)))
	} else {
		out.WriteString("</div></body></html>\n")
	}
	return out.String()
}

// attribution writes the line that names the author of a quote.
func (b *builder) attribution(out *strings.Builder, reader *person, t said, p program) {
	words := strings.NewReplacer("DATE", t.when.Format("Mon, Jan 2, 2006 at 3:04 PM"), "NAME",
		html.EscapeString(t.by.name())+" &lt;<a href=\"mailto:"+t.by.address()+"\">"+t.by.address()+
			"</a>&gt;").Replace(reader.lang.wrote)
	switch p {
	case exchange:
		fmt.Fprintf(out, "<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt "+
			"0cm 0cm 0cm\">\n<p class=\"MsoNormal\"><b><span lang=\"EN-US\">From:</span></b>"+
			"<span lang=\"EN-US\"> %s &lt;%s&gt;<br>\n<b>Sent:</b> %s<br>\n<b>To:</b> %s<br>\n"+
			"<b>Subject:</b> <o:p></o:p></span></p>\n</div>\n", html.EscapeString(t.by.name()),
			t.by.address(), t.when.Format("Monday, January 2, 2006 3:04 PM"), html.EscapeString(reader.name()))
	case webmail:
		fmt.Fprintf(out, "<br><div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">"+
			"%s<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;"+
			"border-left:1px solid rgb(204,204,204);padding-left:1ex\">", words)
	case apple:
		fmt.Fprintf(out, "<div><br><blockquote type=\"cite\"><div>%s</div><br "+
			"class=\"Apple-interchange-newline\"><div>", words)
	default:
		fmt.Fprintf(out, "<div class=\"moz-cite-prefix\">%s<br>\n    </div>\n"+
			"    <blockquote type=\"cite\" cite=\"mid:%s@%s\">\n      ", words, b.token(20), t.by.domain)
	}
}

func signatureMarkup(lines []string, p *person, logo bool) string {
	var out strings.Builder
	out.WriteString(map[program]string{exchange: "<p class=\"MsoNormal\">",
		webmail: "<div dir=\"ltr\" class=\"gmail_signature\" data-smartmail=\"gmail_signature\">"}[p.program])
	for _, l := range lines {
		if strings.HasPrefix(l, "https://") {
			l = "<a href=\"" + l + "\" target=\"_blank\">" + l + "</a>"
		} else {
			l = html.EscapeString(l)
		}
		out.WriteString("<span style=\"font-size:10.0pt;font-family:&quot;Arial&quot;,sans-serif;" +
			"color:#44546A\">" + l + "</span><br>\n")
	}
	if logo {
		out.WriteString("<img width=\"180\" height=\"60\" style=\"width:1.875in;height:.625in\" " +
			"id=\"Picture_x0020_1\" src=\"cid:image001.png@01DA\" alt=\"\">")
	}
	out.WriteString(map[program]string{exchange: "</p>", webmail: "</div>"}[p.program])
	return out.String()
}
