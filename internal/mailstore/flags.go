package mailstore

import (
	"errors"
	"slices"
	"strings"
)

// Flags is a set of the system flags of RFC 9051 section 2.3.2. Keywords are kept beside it. There
// is no \Recent.
type Flags uint32

const (
	Seen     Flags = 1
	Answered Flags = 2
	Flagged  Flags = 4
	Deleted  Flags = 8
	Draft    Flags = 16

	// AllFlags is every system flag.
	AllFlags = Seen | Answered | Flagged | Deleted | Draft
)

var flagNames = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// String lists the flags as IMAP writes them, separated by spaces.
func (f Flags) String() string { return strings.Join(f.Names(), " ") }

// Names returns the flags as IMAP writes them.
func (f Flags) Names() []string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseFlag returns the system flag that name (with its backslash, in any case) stands for.
func ParseFlag(name string) (Flags, bool) {
	for i, known := range flagNames {
		if strings.EqualFold(name, known) {
			return 1 << i, true
		}
	}
	return 0, false
}

// ErrInvalidKeyword: a keyword that is not an IMAP atom, is too long, or one too many.
var ErrInvalidKeyword = errors.New("invalid keyword")

var errManyKeywords = invalid(ErrInvalidKeyword,
	"a mailbox can have seen %d different keywords", MaxMailboxKeywords)

// checkKeywords returns an error if a list of keywords is wrong: a keyword is an atom (RFC 9051
// section 9: flag-keyword), at most MaxKeywordLength long, and a message carries at most
// MaxKeywords.
func checkKeywords(keywords []string) error {
	if len(keywords) > MaxKeywords {
		return invalid(ErrInvalidKeyword, "a message can have %d keywords", MaxKeywords)
	}
	for _, k := range keywords {
		if k == "" || len(k) > MaxKeywordLength {
			return invalid(ErrInvalidKeyword, "a keyword has 1 to %d octets", MaxKeywordLength)
		}
		for i := range len(k) {
			if k[i] <= ' ' || k[i] >= 0x7f || strings.IndexByte(`(){%*"\]`, k[i]) >= 0 {
				return invalid(ErrInvalidKeyword, "%q is not an atom", k)
			}
		}
	}
	return nil
}

// FindKeyword returns the index of name in keywords, which are compared without regard to case
// (RFC 9051 section 2.3.2), or -1.
func FindKeyword(keywords []string, name string) int {
	return slices.IndexFunc(keywords, func(k string) bool { return strings.EqualFold(k, name) })
}

// spellings returns keywords as this mailbox spells them (as first seen), and those that the
// mailbox does not know yet. It leaves out doubles.
func spellings(known, keywords []string) (spelled, fresh []string) {
	for _, k := range keywords {
		if FindKeyword(spelled, k) >= 0 {
			continue
		}
		if i := FindKeyword(known, k); i >= 0 {
			k = known[i]
		} else {
			fresh = append(fresh, k)
		}
		spelled = append(spelled, k)
	}
	return spelled, fresh
}
