package language

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gadwall/internal/mailstore"
	"gadwall/internal/search"
)

// Bounds of a search that is typed; past them Parse fails.
const (
	MaxLength = 1000 // octets
	maxTerms  = 50
	maxDepth  = 8 // of parentheses
)

// Query is a search that was read.
type Query struct {
	Key *search.Key
	// In names the folders to search, Not those to leave out; both empty for all.
	In, Not []string
	// Needles are the texts to mark where they are found: those of terms that must match.
	Needles []string
}

// SyntaxError says what is wrong with a search, in words for the person who typed it.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

func wrong(format string, args ...any) error { return &SyntaxError{fmt.Sprintf(format, args...)} }

// Parse reads a search. now is what ages are counted from. The error is a *SyntaxError.
//
//	from: to: cc: bcc: subject: body:   text in that place; to: looks at Cc, too
//	has:attachment
//	is:unread is:read is:flagged is:answered is:draft
//	in:folder                           not within OR or parentheses
//	before:2026-11-30 after:2026-11-30  by the day of arrival; after: includes the day
//	older:7d newer:2w                   by age, in hours, days, weeks (h d w) or years (y)
//	larger:5M smaller:10k               by size, in octets or with k, M, G (1000s)
//	word "exact phrase" -term a OR b (...)
func Parse(text string, now time.Time) (Query, error) {
	if len(text) > MaxLength {
		return Query{}, wrong("a search has at most %d octets", MaxLength)
	}
	if !utf8.ValidString(text) {
		return Query{}, wrong("a search is UTF-8")
	}
	p := &parser{rest: text, now: now}
	key, err := p.alternatives(0)
	if err != nil {
		return Query{}, err
	}
	if p.skip(); p.rest != "" {
		return Query{}, wrong("a parenthesis closes that was not opened")
	}
	p.query.Key = key
	return p.query, nil
}

type parser struct {
	rest  string
	now   time.Time
	terms int
	query Query
}

func (p *parser) skip() { p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace) }

// alternatives reads terms with OR between them, up to the end or a closing parenthesis.
func (p *parser) alternatives(depth int) (*search.Key, error) {
	if depth > maxDepth {
		return nil, wrong("parentheses are nested more than %d times", maxDepth)
	}
	var any, all []*search.Key
	for {
		p.skip()
		if p.rest == "" || p.rest[0] == ')' {
			break
		}
		if word, after := p.peekWord(); word == "OR" {
			if len(all) == 0 {
				return nil, wrong("OR stands between two terms")
			}
			p.rest = after
			any, all = append(any, allOf(all)), nil
			continue
		}
		key, err := p.term(depth, len(any) > 0 || p.orAhead())
		if err != nil {
			return nil, err
		}
		if key != nil {
			all = append(all, key)
		}
	}
	if len(any) == 0 {
		return allOf(all), nil
	}
	if len(all) == 0 {
		return nil, wrong("OR stands between two terms")
	}
	return search.Any(append(any, allOf(all))...), nil
}

// allOf returns the key of messages that match all keys.
func allOf(keys []*search.Key) *search.Key {
	if len(keys) == 1 {
		return keys[0]
	}
	return search.All(keys...)
}

// orAhead reports whether an OR comes at some later place.
func (p *parser) orAhead() bool { return slices.Contains(strings.Fields(p.rest), "OR") }

// peekWord returns what comes up to a space or a parenthesis, and what follows it.
func (p *parser) peekWord() (word, after string) {
	i := strings.IndexFunc(p.rest, func(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == ')' })
	if i < 0 {
		return p.rest, ""
	}
	return p.rest[:i], p.rest[i:]
}

// term reads a term. The key is nil for one that is no condition on a message (in:).
func (p *parser) term(depth int, alternative bool) (*search.Key, error) {
	if p.terms++; p.terms > maxTerms {
		return nil, wrong("a search has at most %d terms", maxTerms)
	}
	not := false
	for strings.HasPrefix(p.rest, "-") && len(p.rest) > 1 {
		not, p.rest = !not, p.rest[1:]
	}
	var key *search.Key
	if strings.HasPrefix(p.rest, "(") {
		p.rest = p.rest[1:]
		needles := len(p.query.Needles)
		var err error
		if key, err = p.alternatives(depth + 1); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(p.rest, ")") {
			return nil, wrong("a parenthesis is not closed")
		}
		p.rest = p.rest[1:]
		if not {
			p.query.Needles = p.query.Needles[:needles]
		}
	} else {
		name := p.name()
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		if name == "in" {
			return nil, p.folder(value, not, depth > 0 || alternative)
		}
		if key, err = p.named(name, value, !not); err != nil {
			return nil, err
		}
	}
	if not {
		key = search.Not(key)
	}
	return key, nil
}

// names are the names that a term can have.
var names = []string{"from", "to", "cc", "bcc", "subject", "body", "has", "is", "in",
	"before", "after", "older", "newer", "larger", "smaller"}

// name reads a name with its colon, if there is one that is known. Other words may have colons.
func (p *parser) name() string {
	for _, name := range names {
		if len(p.rest) > len(name) && strings.EqualFold(p.rest[:len(name)], name) && p.rest[len(name)] == ':' {
			p.rest = p.rest[len(name)+1:]
			return name
		}
	}
	return ""
}

// value reads a word, or a phrase in quotes. A quote that is not closed ends with the search.
func (p *parser) value() (string, error) {
	value := ""
	if strings.HasPrefix(p.rest, `"`) {
		value, p.rest, _ = strings.Cut(p.rest[1:], `"`)
	} else {
		value, p.rest = p.peekWord()
	}
	if value = strings.TrimSpace(value); value == "" {
		return "", wrong("a term is empty")
	}
	return value, nil
}

func (p *parser) folder(name string, not, alternative bool) error {
	if alternative {
		return wrong("in: cannot stand in parentheses or beside OR")
	}
	if not {
		p.query.Not = append(p.query.Not, name)
	} else {
		p.query.In = append(p.query.In, name)
	}
	return nil
}

// named returns the key of a term.
func (p *parser) named(name, value string, wanted bool) (*search.Key, error) {
	switch name {
	case "has":
		if !strings.EqualFold(value, "attachment") {
			return nil, wrong("has:attachment is known, has:%s is not", value)
		}
		return search.Attached(), nil
	case "is":
		return state(value)
	case "before", "after":
		day, err := time.Parse(time.DateOnly, value)
		if err != nil {
			return nil, wrong("%s: needs a day such as 2026-11-30", name)
		}
		if name == "before" {
			return search.Internal(time.Time{}, day), nil
		}
		return search.Internal(day, time.Time{}), nil
	case "older", "newer":
		age, err := parseAge(value)
		if err != nil {
			return nil, wrong("%s: needs an age such as 12h, 7d, 2w or 1y", name)
		}
		if name == "older" {
			return search.Internal(time.Time{}, p.now.Add(-age)), nil
		}
		return search.Internal(p.now.Add(-age), time.Time{}), nil
	case "larger", "smaller":
		size, err := parseSize(value)
		if err != nil {
			return nil, wrong("%s: needs a size such as 500000, 100k, 5M or 1G", name)
		}
		if name == "larger" {
			return search.Larger(size), nil
		}
		return search.Smaller(size), nil
	}
	if wanted {
		p.query.Needles = append(p.query.Needles, value)
	}
	switch name {
	case "":
		return search.Text(value), nil
	case "body":
		return search.Body(value), nil
	case "to":
		return search.Any(search.Header("to", value), search.Header("cc", value)), nil
	}
	return search.Header(name, value), nil
}

func state(value string) (*search.Key, error) {
	switch strings.ToLower(value) {
	case "unread", "unseen":
		return search.Not(search.Flag(mailstore.Seen)), nil
	case "read", "seen":
		return search.Flag(mailstore.Seen), nil
	case "flagged", "starred":
		return search.Flag(mailstore.Flagged), nil
	case "answered":
		return search.Flag(mailstore.Answered), nil
	case "draft":
		return search.Flag(mailstore.Draft), nil
	}
	return nil, wrong("is: needs unread, read, flagged, answered or draft")
}

// parseAge reads a whole number and a unit.
func parseAge(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'h': time.Hour, 'd': day, 'w': 7 * day, 'y': 365 * day}
	unit, ok := units[s[len(s)-1]|0x20]
	n, err := strconv.Atoi(s[:len(s)-1])
	if !ok || err != nil || n < 0 || n > 100*365*24 || time.Duration(n) > 200*365*day/unit {
		return 0, strconv.ErrSyntax
	}
	return time.Duration(n) * unit, nil
}

// parseSize reads a whole number, with a unit of 1000, 1000^2 or 1000^3 octets or without.
func parseSize(s string) (int64, error) {
	unit := int64(1)
	for i, c := range []byte{'k', 'm', 'g'} {
		if s[len(s)-1]|0x20 == c {
			s = s[:len(s)-1]
			for range i + 1 {
				unit *= 1000
			}
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<50/unit {
		return 0, strconv.ErrSyntax
	}
	return n * unit, nil
}
