package mailgen

import (
	"iter"
	"math/rand/v2"
	"strings"
)

// A gen is the source of chance of one message.
type gen struct{ *rand.Rand }

func newGen(seed, stream uint64) gen { return gen{rand.New(rand.NewPCG(seed, stream^0x6761647761))} }

func (g gen) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g gen, list []T) T { return list[g.IntN(len(list))] }

var english = strings.Fields(`about after again all also always and any are around ask back because been before
begin best between both budget but call can case change check client close come company contract could
customer day deadline delivery department did different do document done draft each early email end every
example fact feel few figure file final find first follow for found from further get give go good group
had hand has have he help her here high him his hour how idea if important in information into invoice is
it job just keep know large last late leave left let letter life line list little long look made make
many market may me meeting might month more most much must my name need never new next no not now number of
office on one only open or order other our out over own page paper part people perhaps place plan point
possible present price problem product project question quite rather read ready real reason reply report
result review right room said same say schedule see send set several shall she should show since small so
some something start state still such summary support system table take team tell than thank that the their them then
there these they thing think this those three through time to today together tomorrow too total travel
two under until up update upon us use very visit want was way we week well went were what when where which
while who why will wish with without word work would write year yes yesterday yet you your`)

var languages = map[string][]string{
	"de": strings.Fields("Grüße Übersicht für möglich nächste Woche Angebot schöne Straße Größe " +
		"Änderung Prüfung über Büro Termin bestätigen bitte Rückfrage"),
	"fr": strings.Fields("réunion déjà très à bientôt été même où français école équipe problème " +
		"résumé façon clé année prévu ça"),
	"ru": strings.Fields("договор отчёт встреча завтра пожалуйста спасибо документ проект срок " +
		"вопрос ответ неделя письмо счёт"),
	"ja": strings.Fields("会議 資料 明日 確認 お願いします 請求書 契約 予定 報告 質問 回答 来週 添付 連絡"),
	"ar": strings.Fields("اجتماع تقرير شكرا غدا مشروع سؤال عقد رسالة موعد فاتورة"),
	"el": strings.Fields("συνάντηση αναφορά ευχαριστώ αύριο έργο ερώτηση σύμβαση"),
	"xx": strings.Fields("🎉 ✅ 🚀 naïve café ﬁnal Ångström İstanbul ẞ 👩‍👩‍👧 “quoted” – …"),
}

var languageNames = []string{"de", "fr", "ru", "ja", "ar", "el", "xx"}

// sentence is words n of a list.
func (g gen) sentence(list []string, n int) string {
	var sb strings.Builder
	for i := range n {
		if i > 0 {
			sb.WriteByte(' ')
		}
		sb.WriteString(pick(g, list))
	}
	return sb.String()
}

// subject is a short line of English.
func (g gen) subject() string {
	s := g.sentence(english, 2+g.IntN(6))
	return strings.ToUpper(s[:1]) + s[1:]
}

// text is about size octets of English, in lines of at most 76 and paragraphs, with CRLF.
func (g gen) text(size int) string { return g.textOf(english, size) }

func (g gen) textOf(list []string, size int) string {
	var sb strings.Builder
	sb.Grow(size + 80)
	column := 0
	for sb.Len() < size {
		word := pick(g, list)
		switch {
		case column+len(word) > 75:
			sb.WriteString("\r\n")
			column = 0
		case column > 0:
			sb.WriteByte(' ')
			column++
		}
		sb.WriteString(word)
		column += len(word)
		if g.IntN(12) == 0 {
			sb.WriteByte('.')
			if column++; g.IntN(6) == 0 {
				sb.WriteString("\r\n\r\n")
				column = 0
			}
		}
	}
	sb.WriteString("\r\n")
	return sb.String()
}

// html wraps text as a mail program does: much markup, little content.
func (g gen) html(text string) string {
	var sb strings.Builder
	sb.WriteString("<!DOCTYPE html>\r\n<html><head><meta http-equiv=\"Content-Type\" " +
		"content=\"text/html; charset=utf-8\">\r\n" +
		"<style>p.MsoNormal{margin:0cm;font-size:11.0pt;font-family:\"Calibri\",sans-serif;" +
		"}</style></head>\r\n<body>\r\n")
	for p := range strings.SplitSeq(text, "\r\n\r\n") {
		sb.WriteString("<p class=\"MsoNormal\"><span style=\"color:black\">")
		sb.WriteString(strings.NewReplacer("&", "&amp;", "<", "&lt;", "\r\n", "<br>\r\n").Replace(p))
		sb.WriteString("</span></p>\r\n")
	}
	sb.WriteString("</body></html>\r\n")
	return sb.String()
}

var (
	givenNames = strings.Fields("Ada Ben Clara David Eva Felix Greta Hugo Ines Jonas Karla Leo " +
		"Maria Nils Olga Paul Rosa Sven Tina Udo Vera Willi Xenia Yara Zoë Jürgen Małgorzata Søren Łukasz Ольга 太郎")
	familyNames = strings.Fields("Adler Baker Costa Dietz Evans Fuchs Garcia Huber Ivanov Jansen " +
		"Keller Lopez Müller Novak O'Brien Petit Quinn Rossi Schmidt Torres Ulrich Vogel Weber " +
		"Young Zimmermann Kowalski")
	domains = strings.Fields("example.com example.org example.net mail.example.com corp.example uni.example")
)

// A person has a name, possibly beyond ASCII, and an address.
type person struct{ name, address string }

// person number n, always the same one.
func personOf(n int) person {
	given := givenNames[n%len(givenNames)]
	family := familyNames[n/len(givenNames)%len(familyNames)]
	local := "user" + itoa(n)
	return person{given + " " + family, local + "@" + domains[n%len(domains)]}
}

func (g gen) person() person { return personOf(g.IntN(400)) }

// people are one to most persons.
func (g gen) people(most int) []person {
	list := make([]person, 1+g.IntN(most))
	for i := range list {
		list[i] = g.person()
	}
	return list
}

// splitLines yields the lines of text without their CRLF.
func splitLines(text string) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n")
}
