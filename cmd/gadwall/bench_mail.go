package main

import (
	"errors"
	"fmt"

	"gadwall/bench"
	"gadwall/internal/config"
)

// benchMail has the flags that say what generated mail is like.
type benchMail struct {
	Seed            uint64         `default:"9" help:"Other seeds make other mail, and other random choices."`
	Duplicates      int            `default:"35" help:"Attachments in a hundred that were sent before."`
	Packed          bool           `help:"Attachments of formats that are compressed already, and of no others."`
	Attachments     int            `default:"27" help:"Personal mails in a hundred that have attachments; notices and posts to lists have as much less as usual. 0: none has."`
	AttachmentSize  config.Size    `default:"70000" placeholder:"SIZE" help:"Median size of an attachment of most kinds; others in proportion."`
	AttachmentKinds map[string]int `mapsep:"," placeholder:"KIND=N,..." help:"Shares of images, pdf, office, archives and text among attachments, such as images=1,pdf=2."`
	Languages       map[string]int `mapsep:"," placeholder:"CODE=N,..." help:"Shares of the languages en, de, fr, es, ru and ja."`
	LegacyCharsets  int            `default:"6" help:"Mails in a hundred whose texts have a charset that is older than UTF-8."`
	Broken          int            `default:"1" help:"Mails in a hundred that break a rule of RFC 5322 or MIME."`
	ThreadLength    int            `default:"6" help:"Mails that a thread has at most, 1 to 10."`
}

// corpus are the options of the mail. A share of 0 means none, and not the usual one.
func (m *benchMail) corpus() (bench.CorpusOptions, error) {
	none := func(percent int) int {
		if percent == 0 {
			return -1
		}
		return percent
	}
	o := bench.CorpusOptions{
		Seed: m.Seed, DuplicatePercent: none(m.Duplicates), Packed: m.Packed, NoFiles: m.Attachments == 0,
		FilesPercent: m.Attachments, FileBytes: int(m.AttachmentSize), FileKinds: m.AttachmentKinds,
		Languages: m.Languages, LegacyPercent: none(m.LegacyCharsets), BrokenPercent: none(m.Broken),
		ThreadLength: m.ThreadLength,
	}
	return o, m.check(o)
}

// check looks at what makes options mean something else than their flags say.
func (m *benchMail) check(o bench.CorpusOptions) error {
	for flag, percent := range map[string]int{"--duplicates": m.Duplicates, "--attachments": m.Attachments,
		"--legacy-charsets": m.LegacyCharsets, "--broken": m.Broken} {
		if percent < 0 || percent > 100 {
			return fmt.Errorf("%s is a percentage", flag)
		}
	}
	if m.AttachmentSize < 1 || m.ThreadLength < 1 {
		return errors.New("--attachment-size and --thread-length are at least 1")
	}
	return o.Check()
}
