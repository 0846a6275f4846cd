package imap

import (
	"encoding/base64"
	"maps"
	"mime/quotedprintable"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// A needleMail is a mail with texts that are looked for in all mail. Those that begin with "!" are
// not in this one, for a reader.
type needleMail struct {
	raw     string
	needles []string
}

// texts of many scripts, each with a charset that has its characters.
var needleTexts = []struct {
	charset string
	enc     encoding.Encoding // nil: UTF-8
	text    string
}{
	{"utf-8", nil, "Grüße aus Zürich: naïve Überweisung über 1.234,56 € – „bitte prüfen“"},
	{"iso-8859-1", charmap.ISO8859_1, "Señor Ibáñez, el año pasado pagó la factura nº 42"},
	{"iso-8859-2", charmap.ISO8859_2, "Příliš žluťoučký kůň úpěl ďábelské ódy"},
	{"iso-8859-15", charmap.ISO8859_15, "Le cœur de l'œuvre coûte 12 € à Besançon"},
	{"windows-1252", charmap.Windows1252, "“Smart quotes” – and a dash… €99 for Zoë"},
	{"windows-1251", charmap.Windows1251, "Счёт за октябрь оплачен полностью"},
	{"koi8-r", charmap.KOI8R, "Договор поставки подписан вчера"},
	{"iso-8859-7", charmap.ISO8859_7, "Το τιμολόγιο πληρώθηκε ΣΉΜΕΡΑ"},
	{"iso-8859-9", charmap.ISO8859_9, "Şirketimizin yıllık raporu ekte İSTANBUL"},
	{"windows-1255", charmap.Windows1255, "החשבונית מצורפת בזאת"},
	{"windows-1256", charmap.Windows1256, "الفاتورة المرفقة للشهر الماضي"},
	{"shift_jis", japanese.ShiftJIS, "請求書を送付いたします。ご確認ください"},
	{"iso-2022-jp", japanese.ISO2022JP, "会議の資料は明日までに提出"},
	{"euc-jp", japanese.EUCJP, "見積書とカタログを添付しました"},
	{"gb18030", simplifiedchinese.GB18030, "合同已经签署，请查收附件"},
	{"gbk", simplifiedchinese.GBK, "发票金额为一万元"},
	{"big5", traditionalchinese.Big5, "會議記錄已經寄出"},
	{"euc-kr", korean.EUCKR, "청구서를 보내드립니다 확인 바랍니다"},
}

// needlesOf are words of a text and pieces that begin and end within them.
func needlesOf(text string) []string {
	words := strings.Fields(text)
	chars := []rune(text)
	list := []string{words[0], words[len(words)-1], strings.ToUpper(words[len(words)/2])}
	for _, from := range []int{1, len(chars) / 2, len(chars) - 7} {
		list = append(list, string(chars[from:from+4]), string(chars[from:from+2]))
	}
	return list
}

func needleMails(t *testing.T) []needleMail {
	t.Helper()
	var mails []needleMail
	add := func(raw string, needles ...string) {
		mails = append(mails, needleMail{strings.ReplaceAll(raw, "\n", "\r\n"), needles})
	}
	const head = "From: Ann <ann@example.com>\nTo: bob@example.org\nMIME-Version: 1.0\n"
	for i, text := range needleTexts {
		octets := text.text
		if text.enc != nil {
			var err error
			if octets, err = text.enc.NewEncoder().String(text.text); err != nil {
				t.Fatal(text.charset, err)
			}
		}
		base := base64.StdEncoding.EncodeToString([]byte(octets))
		var quoted strings.Builder
		w := quotedprintable.NewWriter(&quoted)
		w.Write([]byte(octets))
		w.Close()
		subject := "Subject: =?" + text.charset + "?B?" + base + "?=\n"
		content := "Content-Type: text/plain; charset=" + text.charset + "\nContent-Transfer-Encoding: "
		body := [3]string{
			"base64\n\n" + base,
			"quoted-printable\n\n" + strings.ReplaceAll(quoted.String(), "\r\n", "\n"),
			"8bit\n\n" + octets,
		}[i%3]
		add(head+subject+content+body+"\n", needlesOf(text.text)...)
	}
	add(head+"Subject: =?utf-8?Q?in?= =?utf-8?Q?voice_?= =?utf-8?B?4oKs?= =?us-ascii?q?_plain?= tail\n\nx\n",
		"invoice", "invoice €", "€ plain", "plain tail", "!voice_", "!?q?")
	add(head+"Subject: =?utf-8?B?w7ZmZg==?==?utf-8?B?w7ZmZg==?= =?bogus?X?abc?= =?utf-8?Q?half\n\nx\n",
		"öff", "bogus", "half")
	add(head+"Subject: folded\n  over\n\tlines\nX-Odd: one\n\n first line\nsecond line  here\n",
		"folded over", "over lines", "line\r\nsecond", "first line", "line  here", "x-odd: one")
	add(head+"Subject: page\nContent-Type: text/html; charset=utf-8\n\n"+
		"<html><head><title>Titel</title><style>.hidden{}"+
		"</style></head><body><p>Sehr geehrte <b>Da</b>men &amp; Herren,</p><table><tr><td>netto</td><td>19&nbsp;%"+
		"</td></tr></table><a href=\"https://example.net/target\">Link text</a><!-- comment --><img alt=\"pict\">"+
		"gr&uuml;ne &#1044;&#x430;</body></html>\n",
		"sehr geehrte", "geehrte Damen", "damen & herren", "netto", "link text", "grüne", "grüne да", "titel",
		"19 %", "!.hidden", "!example.net/target", "!comment", "!pict", "!<b>", "!href")
	add(head+"Subject: soft\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"+
		"a long wo=\nrd and =C3=A4 trailing =20\n=\nequals =3D sign =ZZ broken\n",
		"long word", "ä trailing", "= sign", "=zz broken", "!=3d", "trailing")
	add(head+"Subject: parts\nContent-Type: multipart/mixed; boundary=b\n\npreamble text\n--b\n\n"+
		"plain first part\n--b\n"+
		"Content-Type: text/x-unknown; charset=x-none\nContent-Description: described part\n\nunknown subtype\n--b\n"+
		"Content-Type: application/pdf; name=report.pdf\nContent-Transfer-Encoding: base64\n"+
		"Content-Disposition: attachment; filename=report.pdf\n\naGlkZGVuIHRleHQ=\n--b\n"+
		"Content-Type: message/rfc822\n\n"+
		"Subject: =?utf-8?Q?inner_s=C3=BCbject?=\nFrom: inner@example.net\n\ninner body text\n--b--\nepilogue text\n",
		"first part", "unknown subtype", "described part", "report.pdf", "!hidden text",
		"inner sübject", "inner@example.net",
		"inner body", "!preamble", "!epilogue", "!aGlkZGVu")
	add(head+"Subject: alternative\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nonly in plain\n--c\n"+
		"Content-Type: text/html\n\n<p>only in <i>html</i></p>\n--c\nContent-Type: text/calendar; charset=utf-8\n\n"+
		"BEGIN:VCALENDAR\nSUMMARY:Besprechung Köln\n--c--\n",
		"only in plain", "only in html", "besprechung köln", "vcalendar")
	add(head+"Subject: report\nContent-Type: multipart/report; boundary=d; report-type=delivery-status\n\n--d\n\n"+
		"could not be delivered\n--d\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"+
		"Final-Recipient: rfc822; lost@example.net\nStatus: 5.1.1\n--d\nContent-Type: text/rfc822-headers\n\n"+
		"Subject: the lost one\n--d--\n",
		"could not be", "mx.example.net", "lost@example.net", "the lost one")
	add("From: \"Doe, Jane\" <jane@example.com>\nTo: undisclosed-recipients:;\n"+
		"Cc: =?utf-8?Q?J=C3=B6rg?= <joerg@example.de>\nSubject: addresses\n"+
		"Message-ID: <abc.123@mail.example.com>\nReferences: <ref.1@example.com> <ref.2@example.com>\n\nx\n",
		"Doe, Jane", "jane@example.com", "undisclosed", "jörg", "joerg@", "<abc.123@mail.example.com>", "ref.2@example",
		"ref.1@example.com> <ref.2")
	add(head+"Subject: e\u0301tude ﬁnal ＦＵＬＬ Straße ǅ\n\nO\u0308l and Å and ½ and ㎏\n",
		"étude", "final", "full", "!STRASSE", "straße", "Öl", "å", "1⁄2", "kg", "ǆ")
	return mails
}

// needleDifferences are the texts for which the answers differ from Dovecot's, with the reason. What
// differs in mail with HTML (htmlNeedleMails) is that Dovecot searches its source. All is explained in
// docs/imap-differences.md.
var needleDifferences = map[string]string{
	"בזאת":        "Dovecot loses the last letter of a text in windows-1255",
	"folded over": "white space of header fields is one space",
	"final":       "the ligature is its letters",
	"kg":          "the unit is its letters",
}

// htmlNeedleMails tells the mails with HTML.
func htmlNeedleMails(mails []needleMail) map[string]bool {
	list := make(map[string]bool)
	for i, m := range mails {
		if strings.Contains(m.raw, "Content-Type: text/html") {
			list[strconv.Itoa(i+1)] = true
		}
	}
	return list
}

// TestNeedlesLikeDovecot looks for hundreds of texts in mail of many charsets and shapes, in subjects,
// bodies and everywhere, and compares with what Dovecot finds.
func TestNeedlesLikeDovecot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Dovecot")
	}
	mails := needleMails(t)
	var raw [][]byte
	for _, m := range mails {
		raw = append(raw, []byte(m.raw))
	}
	theirs, ours := bothServers(t, raw)
	html, unused, htmlUsed := htmlNeedleMails(mails), maps.Clone(needleDifferences), false
	compare := func(key, needle string) (found string) {
		criteria := "CHARSET UTF-8 " + key + " " + nonSync(needle)
		found, want := searched(t, ours, criteria), searched(t, theirs, criteria)
		if found == want {
			return found
		}
		if _, ok := needleDifferences[needle]; ok {
			delete(unused, needle)
			return found
		}
		for _, n := range append(difference(found, want), difference(want, found)...) {
			if htmlUsed = true; !html[n] {
				t.Errorf("%s %q: found [%s], Dovecot [%s]", key, needle, found, want)
				break
			}
		}
		return found
	}
	asked := 0
	for i, m := range mails {
		number := strconv.Itoa(i + 1)
		for _, needle := range m.needles {
			needle, absent := strings.CutPrefix(needle, "!")
			var found []string
			for _, key := range []string{"SUBJECT", "BODY", "TEXT"} {
				found = append(found, strings.Fields(compare(key, needle))...)
				asked++
			}
			if slices.Contains(found, number) == absent {
				t.Errorf("%q is found in %v, and mail %s has it: %v", needle, found, number, !absent)
			}
		}
	}
	if asked < 600 {
		t.Errorf("only %d searches", asked)
	}
	if len(unused) > 0 || !htmlUsed {
		t.Errorf("no such differences: %v", slices.Collect(maps.Keys(unused)))
	}
}
