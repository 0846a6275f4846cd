package mailgen

import (
	"math"
	"sync"
)

// A Corpus makes mails as an organisation gets them: mostly short text with an HTML copy, in
// threads that quote what was said, a logo in most of them, and files of which many are sent again
// and again. All methods may be called by several goroutines.
type Corpus struct {
	seed    uint64
	options CorpusOptions

	mu    sync.Mutex
	files map[int]Attachment // the shared files made so far
}

// CorpusOptions say what a corpus is like. Zero values mean the defaults.
type CorpusOptions struct {
	FilePercent   int // mails with files; 20
	SharedPercent int // of the files, those that come from the common stock; 40
	SharedFiles   int // size of the common stock; 50
	MedianFile    int // octets; 60,000. Half of the files are larger, a few very much
	LargestFile   int // octets; 5,000,000
	MedianText    int // octets of the text; 900
	BrokenPercent int // mails of careless and broken shapes; 0
}

// NewCorpus returns the corpus of a seed.
func NewCorpus(seed uint64, options CorpusOptions) *Corpus {
	defaults := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	defaults(&options.FilePercent, 20)
	defaults(&options.SharedPercent, 40)
	defaults(&options.SharedFiles, 50)
	defaults(&options.MedianFile, 60_000)
	defaults(&options.LargestFile, 5_000_000)
	defaults(&options.MedianText, 900)
	return &Corpus{seed: seed, options: options, files: map[int]Attachment{}}
}

// Message returns mail number n, always the same.
func (c *Corpus) Message(n int) []byte {
	b := newBuilder(c.seed^uint64(n)*0x9e3779b97f4a7c15, 7)
	if b.chance(c.options.BrokenPercent) {
		return Of(Latin1+Shape(b.IntN(int(shapes-Latin1))), b.Uint64())
	}
	c.head(b, n)
	text := b.gen.text(b.around(c.options.MedianText, 40_000))
	if n%8 != 0 {
		text += b.quote(text)
	}
	body := func() { c.body(b, text) }
	if !b.chance(c.options.FilePercent) {
		body()
		return b.Bytes()
	}
	parts := []func(){body}
	for range 1 + min(b.IntN(4), b.IntN(4)) {
		file := c.file(b)
		parts = append(parts, func() { b.attachment(file) })
	}
	b.multipart("mixed", b.boundary(), parts...)
	return b.Bytes()
}

// head appends the header of mail n. Eight mails in a row are a thread.
func (c *Corpus) head(b *builder, n int) {
	id := func(n int) string { return "<" + itoa(n) + "." + itoa(int(c.seed&0xffff)) + "@mail.example.com>" }
	thread := newGen(c.seed^uint64(n/8), 8)
	subject := thread.subject()
	host := pick(b.gen, domains)
	b.line("Received: from ", host, " (", host, " [192.0.2.", itoa(b.IntN(256)),
		"])\r\n\tby mx.example.com (Mailgen) with ESMTPS id ", itoa(b.IntN(1e9)),
		"\r\n\tfor <user@example.com>; ", b.date())
	b.line("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=2019;\r\n"+
		"\th=from:to:subject:date:message-id; bh=", itoa(b.IntN(1e15)), "=;\r\n\tb=",
		itoa(b.IntN(1e15)), itoa(b.IntN(1e15)), "==")
	b.field("Date", b.date())
	b.field("From", b.addressList(b.people(1)))
	b.field("To", b.addressList(b.people(3)))
	if b.chance(30) {
		b.field("Cc", b.addressList(b.people(5)))
	}
	b.field("Message-ID", id(n))
	if first := n - n%8; n > first {
		subject = "Re: " + subject
		b.field("In-Reply-To", id(n-1))
		references := id(first)
		for i := first + 1; i < n; i++ {
			references += " " + id(i)
		}
		b.field("References", references)
	}
	b.field("Subject", b.word(subject))
	b.line("MIME-Version: 1.0")
}

// body appends text as mail programs do: alone, with an HTML copy, or with a logo too.
func (c *Corpus) body(b *builder, text string) {
	switch n := b.IntN(100); {
	case n < 25:
		b.plain(text)
	case n < 60:
		b.multipart("alternative", b.boundary(), func() { b.plain(text) }, func() { b.htmlPart(text) })
	default:
		logo := Attachment{Name: "image001.png", Type: "image/png", Inline: true}
		company := b.IntN(5)
		logo.Data = Random(uint64(company), 6000+3000*company)
		b.multipart("related", b.boundary(),
			func() {
				b.multipart("alternative", b.boundary(), func() { b.plain(text) }, func() { b.htmlPart(text) })
			},
			func() { b.attachment(logo) })
	}
}

func (b *builder) quote(text string) string {
	if len(text) > 3000 {
		text = text[:3000]
	}
	out := "\r\nOn another day someone wrote:\r\n"
	for line := range splitLines(text) {
		out += "> " + line + "\r\n"
	}
	return out
}

// around is a size of which half are above and half below the median, at most largest: log-normal,
// as sizes of files and texts are.
func (b *builder) around(median, largest int) int {
	return min(largest, 1+int(float64(median)*math.Exp(1.4*b.NormFloat64())))
}

// file is one of the common stock, of which few are sent very often, or one of its own.
func (c *Corpus) file(b *builder) Attachment {
	if !b.chance(c.options.SharedPercent) {
		return c.newFile(b)
	}
	n := int(float64(c.options.SharedFiles) * math.Pow(b.Float64(), 3))
	c.mu.Lock()
	defer c.mu.Unlock()
	file, ok := c.files[n]
	if !ok {
		file = c.newFile(newBuilder(c.seed^uint64(n), 9))
		c.files[n] = file
	}
	file.LineLength = pick(b.gen, []int{76, 76, 76, 72, 60})
	return file
}

func (c *Corpus) newFile(b *builder) Attachment {
	size := b.around(c.options.MedianFile, c.options.LargestFile)
	switch b.IntN(10) {
	case 0, 1, 2, 3:
		return Attachment{Name: b.subject() + ".pdf", Type: "application/pdf", Data: PDF(b.Uint64(), size)}
	case 4, 5:
		return Attachment{Name: b.subject() + ".docx",
			Type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
			Data: Random(b.Uint64(), size)}
	case 6:
		return Attachment{Name: "table.csv", Type: "text/csv", Data: Text(b.Uint64(), size)}
	}
	return Attachment{Name: "IMG_" + itoa(b.IntN(10000)) + ".jpg", Type: "image/jpeg", Data: Random(b.Uint64(), size)}
}
