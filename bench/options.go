package bench

import (
	"errors"
	"fmt"
	"slices"
)

// CorpusOptions describe a corpus. Zero values mean the defaults.
type CorpusOptions struct {
	Seed uint64

	// DuplicatePercent is the share of attachments that were sent before, in per cent: 35 by
	// default, negative for none. Their share of the decoded bytes of attachments differs by a few
	// per cent (30 to 39 for the seeds 1 to 9 and 5,000 mails, 35 on average).
	DuplicatePercent int

	// NoFiles leaves attachments out.
	NoFiles bool

	// Packed makes all attachments of formats that are compressed already.
	Packed bool

	// FilesPercent is the share of the personal mails that have attachments, in per cent: 27 by
	// default. Notices, posts to lists and replies to replies have as much less as by default.
	FilesPercent int

	// FileBytes is the median size of attachments of most kinds: UsualFileBytes by default. All
	// kinds become larger or smaller in proportion.
	FileBytes int

	// FileKinds are the shares of the kinds of attachments: of FileKindNames those that it has.
	// Packed has its own shares without it, and no texts.
	FileKinds map[string]int

	// Languages are the shares of the languages, by code: of LanguageCodes those that it has.
	Languages map[string]int

	// LegacyPercent is the share of mails with texts in the charset that programs used before
	// UTF-8, in per cent: 6 by default, negative for none.
	LegacyPercent int

	// BrokenPercent is the share of mails that break a rule, in per cent: 1 by default, negative
	// for none. See broken.
	BrokenPercent int

	// ThreadLength is how many mails a thread has at most: 6 by default, and 10 at most. A thread of
	// one is a mail without answers.
	ThreadLength int
}

// UsualFileBytes is the default of CorpusOptions.FileBytes.
const UsualFileBytes = 70_000

const (
	usualDuplicates   = 35
	usualFilesPercent = 27
	usualLegacy       = 6
	usualBroken       = 1
	usualThreadLength = 6
)

// FileKindNames are the kinds of attachments, in the order of their weights.
var FileKindNames = []string{"images", "pdf", "office", "archives", "text"}

// LanguageCodes returns the codes of the languages of a corpus.
func LanguageCodes() (codes []string) {
	for _, l := range languages {
		codes = append(codes, l.code)
	}
	return codes
}

func (o CorpusOptions) withDefaults() CorpusOptions {
	for _, p := range []struct {
		field *int
		usual int
	}{{&o.DuplicatePercent, usualDuplicates}, {&o.FilesPercent, usualFilesPercent}, {&o.FileBytes, UsualFileBytes},
		{&o.LegacyPercent, usualLegacy}, {&o.BrokenPercent, usualBroken}, {&o.ThreadLength, usualThreadLength}} {
		if *p.field == 0 {
			*p.field = p.usual
		}
	}
	return o
}

// Duplicates is the share of attachments that were sent before, in per cent.
func (o CorpusOptions) Duplicates() int { return max(0, o.withDefaults().DuplicatePercent) }

// Check returns what is wrong with the options.
func (o CorpusOptions) Check() error {
	for name, percent := range map[string]int{
		"duplicates": o.DuplicatePercent, "mails with attachments": o.FilesPercent,
		"texts in older charsets": o.LegacyPercent, "broken mails": o.BrokenPercent,
	} {
		if percent > 100 {
			return fmt.Errorf("the share of %s is a percentage", name)
		}
	}
	switch {
	case o.FileBytes < 0:
		return errors.New("the size of attachments is not negative")
	case o.ThreadLength < 0 || o.ThreadLength > blockSize:
		return fmt.Errorf("threads have 1 to %d mails", blockSize)
	}
	if err := checkShares("kind of attachments", o.FileKinds, FileKindNames); err != nil {
		return err
	}
	return checkShares("language", o.Languages, LanguageCodes())
}

func checkShares(what string, shares map[string]int, names []string) error {
	if shares == nil {
		return nil
	}
	sum := 0
	for name, share := range shares {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no %s %q, but %v", what, name, names)
		}
		if share < 0 {
			return fmt.Errorf("the share of %s is not negative", name)
		}
		sum += share
	}
	if sum == 0 {
		return fmt.Errorf("no %s has a share", what)
	}
	return nil
}

// weightsOf returns shares as weights in the order of names; usual without shares.
func weightsOf(shares map[string]int, usual []int, name func(i int) string) []int {
	if shares == nil {
		return usual
	}
	weights := make([]int, len(usual))
	for i := range weights {
		weights[i] = shares[name(i)]
	}
	return weights
}
