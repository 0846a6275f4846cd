package bench

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A world has the things that the mails of one seed share.
type world struct {
	seed    uint64
	weights []int // of the languages
	lexicon map[string]*lexicon
	people  []*person
	relays  []string // servers between
	mx      []string // our own
	bulk    []*bulkSender
	lists   []*list
	notices []*notifier
}

// A lexicon makes texts in one language, in the words of one world.
type lexicon struct {
	*language
	content []string
}

type person struct {
	given, family string
	local, domain string
	lang          *lexicon
	program       program
	company       int
	signature     []string // lines
	ip            string
}

func (p *person) name() string    { return p.given + " " + p.family }
func (p *person) address() string { return p.local + "@" + p.domain }

// list is a mailing list.
type list struct{ name, domain, title, host string }

const (
	worldPeople  = 160
	worldDomains = 24
	contentWords = 2600
)

func newWorld(seed uint64, weights []int) *world {
	w := &world{seed: seed, weights: weights, lexicon: map[string]*lexicon{}}
	s := newSource(seed, "world")
	for i := range languages {
		lang := &languages[i]
		l := &lexicon{language: lang}
		ls := newSource(seed, "lexicon "+lang.code)
		for range contentWords {
			l.content = append(l.content, l.build(ls))
		}
		w.lexicon[lang.code] = l
	}
	var domains []string
	for range worldDomains {
		domains = append(domains, w.domain(s))
	}
	for range 12 {
		w.relays = append(w.relays,
			fmt.Sprintf("%s%d.%s", pick(s, []string{"mail-", "out", "smtp-", "relay", "mta", "mx-",
				"filter"}), s.IntN(90), w.domain(s)))
	}
	own := w.domain(s)
	for k := range 3 {
		w.mx = append(w.mx, fmt.Sprintf("mx%d.%s", k+1, own))
	}
	for range worldPeople {
		w.people = append(w.people, w.newPerson(s, domains))
	}
	for range 6 {
		d := w.domain(s)
		name := w.lexicon["en"].latin(s)
		w.lists = append(w.lists,
			&list{name: name + pick(s, []string{"-dev", "-users", "-announce", "", "-discuss"}),
				domain: d, title: w.lexicon["en"].words(s, 4), host: "lists." + d})
	}
	for k := range 36 {
		w.bulk = append(w.bulk, w.newBulkSender(k))
	}
	for k := range 20 {
		w.notices = append(w.notices, w.newNotifier(k))
	}
	return w
}

// language returns one by chance.
func (w *world) language(s source) *lexicon { return w.lexicon[languages[s.weighted(w.weights)].code] }

// domain makes a domain name. The top-level domains are those reserved for examples and tests, and
// ordinary labels.
func (w *world) domain(s source) string {
	name := w.lexicon["en"].latin(s)
	if s.chance(30) {
		name += "-" + w.lexicon["en"].latin(s)
	}
	return name + pick(s, []string{".example", ".example.com", ".example.org", ".example.net", ".test"})
}

func (w *world) newPerson(s source, domains []string) *person {
	lang := w.language(s)
	p := &person{lang: lang, company: s.IntN(len(domains)), program: program(s.weighted(programWeights))}
	p.domain = domains[p.company]
	p.given, p.family = capital(pick(s, lang.content)), capital(pick(s, lang.content))
	en := w.lexicon["en"]
	p.local = en.latin(s) + pick(s, []string{".", "", "_"}) + en.latin(s)
	p.ip = fmt.Sprintf("192.0.2.%d", s.IntN(256))
	if s.chance(70) {
		p.signature = []string{p.name(), capital(lang.words(s, 2+s.IntN(3)))}
		if s.chance(60) {
			p.signature = append(p.signature, fmt.Sprintf("Tel. +49 30 %s | %s", s.digits(7), p.address()), "https://www."+p.domain+"/")
		}
		if s.chance(25) { // a notice as companies add
			p.signature = append(p.signature, "", strings.TrimSpace(lang.sentence(s)+" "+
				lang.sentence(s)+" "+lang.sentence(s)))
		}
	}
	return p
}

// build makes a content word.
func (l *lexicon) build(s source) string {
	var b strings.Builder
	syllables := 1 + s.IntN(3)
	if l.code == "ja" {
		syllables = 1
	}
	for range syllables {
		b.WriteString(pick(s, l.onsets))
		b.WriteString(pick(s, l.nuclei))
		if c := pick(s, l.codas); c != "-" {
			b.WriteString(c)
		}
	}
	word := b.String()
	if l.code == "de" && s.chance(40) {
		word = capital(word)
	}
	return word
}

// latin makes a name of ASCII letters.
func (l *lexicon) latin(s source) string {
	for {
		if w := strings.ToLower(l.build(s)); len(w) > 3 &&
			strings.IndexFunc(w, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
			return w
		}
	}
}

func (l *lexicon) word(s source) string {
	if s.chance(48) {
		return often(s, l.function)
	}
	return often(s, l.content)
}

func (l *lexicon) words(s source, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = l.word(s)
	}
	return strings.Join(list, l.space())
}

func (l *lexicon) space() string {
	if l.code == "ja" {
		return ""
	}
	return " "
}

func (l *lexicon) sentence(s source) string {
	var b strings.Builder
	n := 4 + s.IntN(15)
	for i := range n {
		w := l.word(s)
		if i == 0 {
			w = capital(w)
		}
		if s.chance(2) {
			w = s.digits(1 + s.IntN(5))
		}
		b.WriteString(w)
		if i < n-1 {
			if s.chance(9) && l.code != "ja" {
				b.WriteByte(',')
			}
			b.WriteString(l.space())
		}
	}
	b.WriteString(pick(s, []string{".", ".", ".", ".", "?", "!"}))
	return b.String()
}

// paragraphs makes about size bytes of text.
func (l *lexicon) paragraphs(s source, size int) []string {
	var out []string
	for size > 0 {
		var p []string
		for range 1 + s.IntN(5) {
			p = append(p, l.sentence(s))
		}
		text := strings.Join(p, l.space())
		size -= len(text) + 2
		out = append(out, text)
	}
	return out
}

func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
