package main

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	space  = `[ \t]*\s[ \t]*` // a blank or one line end
	number = `(?:[1-9][0-9]*(?:\.[0-9]+)*|[A-Z](?:\.[0-9]+)*)\b`
)

var (
	// mention finds everything that may be meant as a citation.
	mention = regexp.MustCompile(`(?i)\bRFCs?(?:[ \t]*\s?[ \t]*|-)[0-9]+`)
	// citation is the one form; its two words stand in one line, for `git grep`. What may follow is
	// one, several, or neither; loose is what may not.
	citation = regexp.MustCompile(`^RFC ([0-9]+)\b`)
	// one and several are how sections follow.
	one     = regexp.MustCompile(`^` + space + `section` + space + number)
	several = regexp.MustCompile(`^` + space + `sections` + space + number +
		`(?:,` + space + number + `)*` + space + `(?:and|to)` + space + number)
	// more is what follows one section if there are several.
	more = regexp.MustCompile(`^(?:,|` + space + `and)` + space + `[1-9][0-9]*(?:\.[0-9]+)+`)
	// loose are sections in another form than the one.
	loose = regexp.MustCompile(`(?i)^(?:,?` + space + `[1-9][0-9]*(?:\.[0-9]+)*\b(?:[^%]|$)|,?` + space +
		`(?:§|sec\.|sect|section)|/[0-9]|#)`)
	// section is a section by itself, with a dot at least: other numbers may be anything.
	section = regexp.MustCompile(`(?i)\bsections?` + space + `[1-9][0-9]*\.[0-9]`)
)

// names are no citations: they are items of IMAP, media types and layouts of package time.
var names = regexp.MustCompile(`(?i)^(?:rfc822|RFC3339|RFC1123|RFC850)`)

// citationFaults returns the citations of another form than the one.
func (r *repository) citationFaults() []fault {
	var faults []fault
	for _, f := range r.files {
		for _, t := range f.texts {
			for _, bad := range t.badCitations() {
				faults = append(faults, fault{f.name, t.at(bad.at), bad.text})
			}
		}
	}
	return faults
}

type badCitation struct {
	at   int
	text string
}

func (t text) badCitations() []badCitation {
	var bad []badCitation
	first := -1 // where the first RFC is named
	for _, m := range mention.FindAllStringIndex(t.s, -1) {
		at, rest := m[0], t.s[m[0]:]
		if names.MatchString(rest) || at > 0 && strings.ContainsAny(t.s[at-1:at], "/.#") {
			continue
		}
		if first < 0 {
			first = at
		}
		head := citation.FindString(rest)
		if head == "" {
			bad = append(bad, badCitation{at, fmt.Sprintf("%q: write \"RFC 3501\"", oneLine(rest, m[1]-m[0]))})
			continue
		}
		rest = rest[len(head):]
		switch tail := several.FindString(rest); {
		case tail != "":
		case one.MatchString(rest):
			tail = one.FindString(rest)
			if more.MatchString(rest[len(tail):]) {
				bad = append(bad, badCitation{at, fmt.Sprintf("%q: write \"sections 1.1 and 1.2\"",
					oneLine(t.s[at:], len(head)+len(tail)+10))})
			}
		case loose.MatchString(rest):
			bad = append(bad, badCitation{at, fmt.Sprintf("%q: write \"RFC 3501 section 6.4.5\"",
				oneLine(t.s[at:], len(head)+12))})
		}
	}
	if !t.prose {
		return bad
	}
	if s := section.FindStringIndex(t.s); s != nil && (first < 0 || s[0] < first) {
		bad = append(bad, badCitation{s[0], fmt.Sprintf("%q: name the RFC first", oneLine(t.s[s[0]:], s[1]-s[0]+4))})
	}
	return bad
}

// cited returns the numbers of the RFCs that the text cites.
func (t text) cited() []string {
	var numbers []string
	for _, m := range mention.FindAllStringIndex(t.s, -1) {
		rest := t.s[m[0]:]
		if names.MatchString(rest) {
			continue
		}
		if c := citation.FindStringSubmatch(rest); c != nil {
			numbers = append(numbers, c[1])
		}
	}
	return numbers
}

// oneLine returns at most the first n bytes of s, for a message.
func oneLine(s string, n int) string {
	return strings.Join(strings.Fields(s[:min(n, len(s))]), " ")
}
