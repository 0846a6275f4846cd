package imap

import (
	"math/bits"
	"strings"

	"gadwall/imap/wire"
)

// pattern is a mailbox pattern of LIST (RFC 3501 section 6.3.8): "*" stands for any
// characters, "%" for any but the separator.
//
// A name is matched byte by byte by an automaton whose states are the positions of the
// pattern. The set of states is a bit set, so that a byte of the name costs one step for
// 64 positions, whatever the wildcards.
type pattern struct {
	text  string
	start string // the pattern up to its first wildcard
	rest  string // from there on; bit j of a state is the position before rest[j]
	inbox bool   // matches INBOX, whose name is without case

	class    [256]uint8 // index into literals, 0 for bytes that are not in rest
	literals []bitset   // by class: positions before such a byte
	star     bitset     // positions before "*"
	percent  bitset     // positions before "%"
	wildcard bitset     // positions before either
}

// newPattern joins a reference and a pattern. A first name that is INBOX in another
// case becomes INBOX.
func newPattern(reference, text string) *pattern {
	text = foldInbox(joinWildcards(reference + text))
	p := compilePattern(text)
	p.inbox = compilePattern(strings.ToUpper(text)).matchBytes("INBOX")
	return p
}

// joinWildcards replaces neighbouring wildcards by the stronger one, which means the same.
func joinWildcards(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		if isWildcard(c) {
			for i+1 < len(p) && isWildcard(p[i+1]) {
				if i++; p[i] == '*' {
					c = '*'
				}
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isWildcard(c byte) bool { return c == '*' || c == '%' }

// foldInbox writes a first name that is INBOX in any case in upper case
// (RFC 3501 section 5.1).
func foldInbox(name string) string {
	const inbox = "INBOX"
	if len(name) >= len(inbox) && strings.EqualFold(name[:len(inbox)], inbox) &&
		(len(name) == len(inbox) || name[len(inbox):len(inbox)+1] == separator) {
		return inbox + name[len(inbox):]
	}
	return name
}

func compilePattern(text string) *pattern {
	p := &pattern{text: text, start: text}
	n := strings.IndexAny(text, "*%")
	if n < 0 {
		return p
	}
	p.start, p.rest = text[:n], text[n:]
	size := len(p.rest) + 1
	p.star, p.percent, p.wildcard = newBitset(size), newBitset(size), newBitset(size)
	p.literals = []bitset{newBitset(size)}
	for j := range len(p.rest) {
		switch c := p.rest[j]; c {
		case '*':
			p.star.set(j)
			p.wildcard.set(j)
		case '%':
			p.percent.set(j)
			p.wildcard.set(j)
		default:
			if p.class[c] == 0 {
				p.class[c] = uint8(len(p.literals))
				p.literals = append(p.literals, newBitset(size))
			}
			p.literals[p.class[c]].set(j)
		}
	}
	return p
}

// mayMatchBelow reports whether a pattern can match a name that begins with one of the prefixes, or
// a name above one.
func (p patterns) mayMatchBelow(prefixes ...string) bool {
	for _, one := range p.list {
		for _, prefix := range prefixes {
			if strings.HasPrefix(one.start, prefix) || strings.HasPrefix(prefix, one.start) {
				return true
			}
		}
	}
	return false
}

// matches reports whether name fits the pattern.
func (p *pattern) matches(name string) bool {
	if name == "INBOX" {
		return p.inbox
	}
	return p.matchBytes(name)
}

func (p *pattern) matchBytes(name string) bool {
	if p.rest == "" {
		return name == p.start
	}
	name, ok := strings.CutPrefix(name, p.start)
	if !ok {
		return false
	}
	at := newBitset(len(p.rest) + 1)
	at.set(0)
	p.skipWildcards(at)
	for i := range len(name) {
		if !p.step(at, name[i]) {
			return false
		}
	}
	return at.has(len(p.rest))
}

// step moves all positions over one byte of the name, and reports whether any is left.
func (p *pattern) step(at bitset, c byte) bool {
	literal := p.literals[p.class[c]]
	carry, left := uint64(0), uint64(0)
	for w := range at {
		moved := at[w] & literal[w]
		stays := at[w] & p.star[w]
		if c != separator[0] {
			stays |= at[w] & p.percent[w]
		}
		at[w] = moved<<1 | carry | stays
		carry = moved >> (bits.UintSize - 1)
		left |= at[w]
	}
	p.skipWildcards(at)
	return left != 0
}

// skipWildcards lets wildcards stand for nothing. No two of them are neighbours.
func (p *pattern) skipWildcards(at bitset) {
	carry := uint64(0)
	for w := range at {
		skipped := at[w] & p.wildcard[w]
		at[w] |= skipped<<1 | carry
		carry = skipped >> (bits.UintSize - 1)
	}
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// patterns are the patterns of one LIST.
type patterns struct {
	list   []*pattern
	count  int // of those that the client sent
	length int // of all of them
}

// read reads a pattern. One that is not in modified UTF-7 matches no mailbox.
func (p *patterns) read(dec *wire.Decoder, reference string) (text string, err error) {
	text, err = dec.ListMailbox()
	if err != nil && err != wire.ErrMailboxName {
		return "", err
	}
	p.count++
	p.length += len(reference) + len(text)
	switch {
	case p.count > maxListPatterns:
		return "", wire.Limit("more than %d patterns", maxListPatterns)
	case p.length > maxPatternLength:
		return "", wire.Limit("patterns are longer than %d octets together", maxPatternLength)
	case err == nil:
		p.list = append(p.list, newPattern(reference, text))
	}
	return text, nil
}

// match reports whether name fits one of the patterns.
func (p *patterns) match(name string) bool {
	for _, one := range p.list {
		if one.matches(name) {
			return true
		}
	}
	return false
}
