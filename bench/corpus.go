package bench

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Seeds from TrainingSeed on are for training dictionaries. No measurement uses them.
const TrainingSeed = 1 << 32

// MeasureSeed is the seed of the measurements in the documentation: of the first nine the one whose
// share of duplicate bytes is nearest to 35 %.
const MeasureSeed = 9

// A Corpus makes mails. All methods may be called by several goroutines.
type Corpus struct {
	options CorpusOptions // with the defaults
	w       *world
}

// NewCorpus returns the corpus of a seed.
func NewCorpus(options CorpusOptions) *Corpus {
	options = options.withDefaults()
	return &Corpus{options: options, w: newWorld(options.Seed, weightsOf(options.Languages, languageWeights,
		func(i int) string { return languages[i].code }))}
}

// A Message is a mail of the corpus.
type Message struct {
	From string // the envelope's sender
	Raw  []byte
}

// kind is a sort of mail.
type kind int

const (
	personal kind = iota
	newsletter
	notice
	listPost
)

// blockSize is the number of consecutive mails some of which are one thread.
const blockSize = 10

func (c *Corpus) source(purpose string, numbers ...int) source {
	return newSource(c.options.Seed, purpose, numbers...)
}

// place returns the kind of mail n, and for a mail of a thread its position in it.
func (c *Corpus) place(n int) (k kind, thread, position int) {
	block := n / blockSize
	length := 1 + c.source("thread", block).IntN(c.options.ThreadLength)
	if p := n % blockSize; p < length {
		if c.source("threadkind", block).chance(15) {
			return listPost, block, p
		}
		return personal, block, p
	}
	return []kind{personal, newsletter, notice, listPost}[c.source("kind", n).
		weighted([]int{18, 40, 32, 10})], -1 - n, 0
}

func when(n int) time.Time { return epoch.Add(time.Duration(n) * 193 * time.Second) }

// Message returns mail number n, always the same.
func (c *Corpus) Message(n int) *Message {
	m := c.whole(n)
	if s := c.source("broken", n); s.chance(c.options.BrokenPercent) {
		m.Raw = broken(s, m.Raw)
	}
	return m
}

// whole makes a mail before any damage.
func (c *Corpus) whole(n int) *Message {
	b := &builder{source: c.source("mail", n), w: c.w,
		legacy: c.source("charset", n).chance(c.options.LegacyPercent)}
	k, thread, position := c.place(n)
	switch k {
	case newsletter:
		return b.newsletter(n)
	case notice:
		return c.notice(b, n)
	}
	return c.conversation(b, n, thread, position, k == listPost)
}

// author returns the writer of a mail of a thread.
func (c *Corpus) author(thread, position int) *person {
	s := c.source("authors", thread)
	first, second := often(s, c.w.people), pick(s, c.w.people)
	if s.chance(30) && position > 1 {
		return pick(c.source("author", thread, position), c.w.people)
	}
	if position%2 == 0 {
		return first
	}
	return second
}

func (c *Corpus) messageID(thread, position int) string {
	p := c.author(thread, position)
	s := c.source("id", thread, position)
	switch p.program {
	case webmail:
		return "<CA" + s.token(46) + "@mail." + p.domain + ">"
	case exchange:
		return "<" + strings.ToUpper(s.token(28)) + "@" + strings.ToUpper(s.token(15)) + "." + p.domain + ">"
	}
	b := &builder{source: s}
	return "<" + b.uuid() + "@" + p.domain + ">"
}

// own returns the paragraphs of a mail of a thread, without quotes.
func (c *Corpus) own(thread, position int) []string {
	p := c.author(thread, position)
	s := c.source("text", thread, position)
	paragraphs := p.lang.paragraphs(s, s.around(420, 1.0, 12_000))
	if s.chance(60) {
		greeting := strings.ReplaceAll(pick(s, p.lang.greetings), "NAME", pick(s, c.w.people).given)
		paragraphs = append([]string{greeting}, paragraphs...)
	}
	if s.chance(65) {
		paragraphs = append(paragraphs, pick(s, p.lang.closings)+"\n"+p.given)
	}
	return paragraphs
}

// forwardPercent is the share of mails in conversations that have another mail attached, in per
// cent.
const forwardPercent = 3

// quoteDepth is the greatest number of earlier mails of a thread that a reply quotes.
const quoteDepth = 4

// said is the text of a mail. A list of them has the mail's own text first, then the quoted ones,
// newest first.
type said struct {
	by         *person
	when       time.Time
	paragraphs []string
	signature  []string
}

func (c *Corpus) conversation(b *builder, n, thread, position int, onList bool) *Message {
	p := c.author(thread, position)
	lang := c.author(thread, 0).lang
	subject := strings.TrimSpace(capital(lang.words(c.source("subject", thread), 2+
		c.source("subject", thread).IntN(6))))
	e := &envelope{n: n, when: when(n), from: b.mailbox(p), fromAddress: p.address(),
		subject: subject, id: c.messageID(thread, position), program: p.program, ip: p.ip}
	var texts []said
	for at := position; at >= 0 && at > position-quoteDepth; at-- {
		a := c.author(thread, at)
		texts = append(texts, said{a, when(n - position + at), c.own(thread, at), a.signature})
	}
	if position > 0 {
		e.subject = pick(b.source, []string{"Re: ", "Re: ", "RE: ", "AW: ", "Fwd: "}) + subject
		for at := max(0, position-9); at < position; at++ {
			e.references = append(e.references, c.messageID(thread, at))
		}
	}
	e.to = []string{b.mailbox(c.author(thread, position+1))}
	for range b.IntN(3) {
		e.cc = append(e.cc, b.mailbox(often(b.source, c.w.people)))
	}
	if onList {
		e.list = c.w.lists[max(thread, -thread)%len(c.w.lists)]
		e.to = []string{e.list.name + "@" + e.list.domain}
		e.subject = strings.Replace(e.subject, subject, "["+e.list.name+"] "+subject, 1)
	}
	b.head(e)
	if p.program == script {
		p.program = thunder
	}
	var parts []func()
	if onList || b.chance(22) {
		parts = append(parts, func() { b.text("plain", plainText(texts), p.lang, p.program) })
	} else {
		parts = append(parts, func() { b.alternative(texts, p) })
	}
	for slot := range c.files(n) {
		parts = append(parts, func() { c.attach(b, n, slot, p.program) })
	}
	if earlier := c.forwarded(n); earlier >= 0 {
		parts = append(parts, func() { c.attachMail(b, earlier) })
	}
	b.multipart("mixed", "", p.program, parts...)
	return &Message{From: p.address(), Raw: b.Bytes()}
}

// files returns the number of attachments of mail n.
func (c *Corpus) files(n int) int {
	if c.options.NoFiles {
		return 0
	}
	k, _, position := c.place(n)
	s := c.source("files", n)
	percent := map[kind]int{personal: usualFilesPercent, notice: 16, listPost: 3}[k] *
		c.options.FilesPercent / usualFilesPercent
	if position > 1 {
		percent /= 2
	}
	if !s.chance(percent) {
		return 0
	}
	return 1 + min(s.IntN(5), s.IntN(5))
}

// fileNumber returns the number of the file in a slot of mail n: a new file, or one of an earlier
// mail.
func (c *Corpus) fileNumber(n, slot int) (number int, again bool) {
	s := c.source("slot", n, slot)
	if n > 0 && s.chance(c.options.DuplicatePercent) {
		// Some mails ago: mostly few.
		from := n - 1 - min(int(float64(n)*s.Float64()*s.Float64()), n-1)
		for m := from; m >= 0 && m > from-200; m-- {
			if k := c.files(m); k > 0 {
				number, _ := c.fileNumber(m, s.IntN(k))
				return number, true
			}
		}
	}
	return n*8 + slot, false
}

// forwarded returns the number of the earlier mail that mail n has as an attachment, with its own
// attachments; -1 for none.
func (c *Corpus) forwarded(n int) int {
	s := c.source("forward", n)
	if n == 0 || c.options.NoFiles || c.options.DuplicatePercent < 0 || !s.chance(forwardPercent) {
		return -1
	}
	return max(0, n-1-s.IntN(300))
}

func (c *Corpus) attachMail(b *builder, n int) {
	raw := c.Message(n).Raw
	b.line("Content-Type: message/rfc822; name=\"forwarded message.eml\"")
	b.line("Content-Disposition: attachment; filename=\"forwarded message.eml\"")
	if bytes.ContainsFunc(raw, func(r rune) bool { return r >= 0x80 }) {
		b.line("Content-Transfer-Encoding: 8bit")
	} else {
		b.line("Content-Transfer-Encoding: 7bit")
	}
	b.line()
	b.Write(raw)
}

// attach writes an attachment as a part. A person who sends it again may use another program, and
// another name for it.
func (c *Corpus) attach(b *builder, n, slot int, p program) {
	number, again := c.fileNumber(n, slot)
	f := c.w.newFile(number, &c.options)
	name := f.name
	if again && b.chance(25) {
		name = pick(b.source, []string{"Copy of ", "final_", "FW "}) + name
	}
	kind := f.kind
	if b.chance(7) {
		kind = "application/octet-stream"
	}
	b.line("Content-Type: ", kind, "; name=\"", b.encoded(name), "\"")
	b.line(fmt.Sprintf("Content-Disposition: attachment; filename=\"%s\"; size=%d", b.encoded(name), len(f.data)))
	if p == webmail {
		b.line("X-Attachment-Id: f_", b.token(10))
		b.line("Content-ID: <f_", b.token(10), ">")
	}
	switch {
	case strings.HasPrefix(f.kind, "text/") &&
		strings.Contains(string(f.data[:min(len(f.data), 400)]), "\r\n") && b.chance(30):
		b.line("Content-Transfer-Encoding: quoted-printable")
		b.line()
		b.quotedPrintable(f.data, 76)
	default:
		b.line("Content-Transfer-Encoding: base64")
		b.line()
		b.base64(f.data, []int{76, 76, 76, 72, 60}[b.IntN(5)])
	}
}
