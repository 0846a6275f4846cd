package envelope

import (
	"iter"
	"strings"
)

// What stands for the missing half of an address. Clients know these words from Dovecot.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
	syntaxError    = "SYNTAX_ERROR"
	invalidRoute   = "INVALID_ROUTE"
)

// maxLiteral is the length of a domain literal, brackets included; a longer one is taken for a
// broken one.
const maxLiteral = 256

type entryKind uint8

const (
	mailboxEntry entryKind = iota
	groupStart             // mailbox is the group's name
	groupEnd
)

// An entry is an address of an address list, or the start or end of a group (RFC 5322 section 3.4).
type entry struct {
	kind                       entryKind
	name, route, mailbox, host string
	local                      bool // there is a local part, which may be an empty quoted string
}

// An addressParser reads an address list, RFC 5322 section 4.4 with its obsolete forms, and makes
// something of what is not even that. What it cannot use it steps over up to the next comma, so
// that one broken address does not hide those behind it.
type addressParser struct {
	rest    string
	comment string // the last one stepped over
	group   bool
	yield   func(entry) bool
	ended   bool // yield wants no more
}

// parseAddresses iterates over the addresses of an unfolded field value.
func parseAddresses(value string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		p := addressParser{rest: value, yield: yield}
		for !p.ended {
			p.skip()
			if p.rest == "" {
				break
			}
			p.element()
		}
		p.endGroup()
	}
}

// emit gives an entry to the reader of the list.
func (p *addressParser) emit(e entry) {
	p.ended = p.ended || !p.yield(e)
}

// element reads one address, the start or end of a group, or a separator.
func (p *addressParser) element() {
	switch p.rest[0] {
	case ',', '>':
		p.rest = p.rest[1:]
		return
	case ';':
		p.rest = p.rest[1:]
		p.endGroup()
		return
	}
	p.comment = ""
	words := p.words()
	switch p.peek() {
	case ':':
		p.rest = p.rest[1:]
		if !p.group && len(words) > 0 {
			p.group = true
			p.emit(entry{kind: groupStart, mailbox: phrase(words)})
		}
		return
	case '<':
		p.rest = p.rest[1:]
		p.angle(phrase(words))
	default:
		p.bare(words)
	}
	p.garbage()
}

func (p *addressParser) endGroup() {
	if p.group {
		p.group = false
		p.emit(entry{kind: groupEnd})
	}
}

// bare reads an address without angle brackets, whose words have been read. A comment after it is
// the name, an old custom: cron writes "root (Cron Daemon)".
func (p *addressParser) bare(words []word) {
	local, ok := localPart(words)
	e := entry{mailbox: local, local: len(words) > 0}
	switch {
	case p.peek() == '@' && ok:
		p.rest = p.rest[1:]
		e.host = p.domain()
	case !ok || p.peek() != '@' && isName(words, p.comment != ""):
		e.name, e.mailbox, e.local = phrase(words), "", false
		p.comment = ""
	}
	if p.comment != "" {
		e.name = p.comment
	}
	p.add(e)
}

// isName reports whether words with no at sign after them are a person's name where an address
// should be, rather than a local part without its domain. A quoted string with a comment after it
// is no name, since the comment is one. Encoded words are in names only (RFC 2047 section 5).
func isName(words []word, comment bool) bool {
	for i, w := range words {
		last := i == len(words)-1
		switch {
		case w.quoted && !(len(words) == 1 && comment), !last && w.endsDotted():
			return true
		case !w.quoted && strings.HasPrefix(w.text, "=?") && strings.HasSuffix(w.text, "?="):
			return true
		}
	}
	return false
}

// angle reads what follows an opening angle bracket.
func (p *addressParser) angle(name string) {
	e := entry{name: name}
	p.skip()
	if p.peek() == '@' {
		e.route = p.routeList()
	}
	words := p.words()
	local, ok := localPart(words)
	if !ok {
		local = words[0].text
	}
	e.mailbox, e.local = local, len(words) > 0
	if ok && p.peek() == '@' {
		p.rest = p.rest[1:]
		e.host = p.domain()
	}
	if !ok || p.peek() != '>' {
		e.host = syntaxError
	} else {
		p.rest = p.rest[1:]
	}
	p.add(e)
}

// routeList reads the obsolete "@a,@b:" before an address.
func (p *addressParser) routeList() string {
	var route []string
	for p.peek() == '@' {
		p.rest = p.rest[1:]
		route = append(route, "@"+p.domain())
		for p.peek() == ',' {
			p.rest = p.rest[1:]
			p.skip()
		}
	}
	if p.peek() != ':' {
		return invalidRoute
	}
	p.rest = p.rest[1:]
	p.skip()
	return strings.Join(route, ",")
}

func (p *addressParser) add(e entry) {
	if !e.local {
		e.mailbox = missingMailbox
	}
	if e.host == "" {
		e.host = missingDomain
	}
	p.emit(e)
}

// garbage steps over what is left of an element.
func (p *addressParser) garbage() {
	for p.skip(); p.rest != ""; p.skip() {
		switch p.rest[0] {
		case ',', ';':
			return
		case '"':
			p.quoted()
		default:
			p.rest = p.rest[1:]
		}
	}
}

func (p *addressParser) peek() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// skip steps over white space and comments, and remembers the last comment.
func (p *addressParser) skip() {
	for p.rest != "" {
		switch {
		case isSpace(p.rest[0]):
			p.rest = p.rest[1:]
		case p.rest[0] == '(':
			p.readComment()
		default:
			return
		}
	}
}

// readComment reads a comment; parentheses nest and a backslash takes away the meaning of what
// follows.
func (p *addressParser) readComment() {
	var sb strings.Builder
	depth := 0
	i := 0
	for ; i < len(p.rest); i++ {
		c := p.rest[i]
		switch c {
		case '\\':
			if i++; i < len(p.rest) {
				sb.WriteByte(p.rest[i])
			}
			continue
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			depth--
		}
		if depth == 0 {
			i++
			break
		}
		sb.WriteByte(c)
	}
	p.comment = human(sb.String())
	p.rest = p.rest[i:]
}

// A word is an atom, with the dots in and around it, or a quoted string.
type word struct {
	text   string
	quoted bool
}

// words reads a run of words. Only octets that mean something to an address list end an atom.
func (p *addressParser) words() []word {
	var words []word
	for p.skip(); p.rest != ""; p.skip() {
		if p.rest[0] == '"' {
			words = append(words, word{p.quoted(), true})
			continue
		}
		n := strings.IndexAny(p.rest, "<>():;@,\" \t\r\n")
		if n < 0 {
			n = len(p.rest)
		}
		if n == 0 {
			break
		}
		words = append(words, word{p.rest[:n], false})
		p.rest = p.rest[n:]
	}
	return words
}

// quoted reads a quoted string, perhaps without its end.
func (p *addressParser) quoted() string {
	var sb strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return sb.String()
		case '\\':
			if i++; i < len(p.rest) {
				sb.WriteByte(p.rest[i])
			}
		default:
			sb.WriteByte(c)
		}
	}
	p.rest = ""
	return sb.String()
}

// domain reads what follows an at sign: a domain literal, or atoms and dots.
func (p *addressParser) domain() string {
	p.skip()
	if p.peek() == '[' {
		end := strings.IndexByte(p.rest[:min(len(p.rest), maxLiteral)], ']')
		if end < 0 {
			return ""
		}
		d := p.rest[:end+1]
		p.rest = p.rest[end+1:]
		p.skip()
		return d
	}
	var sb strings.Builder
	dotted := true // the next atom belongs to the domain
	for {
		n := strings.IndexAny(p.rest, "<>():;@,\"[]\\ \t\r\n")
		if n < 0 {
			n = len(p.rest)
		}
		if n == 0 || !dotted && p.rest[0] != '.' {
			return sb.String()
		}
		sb.WriteString(p.rest[:n])
		dotted = p.rest[n-1] == '.'
		p.rest = p.rest[n:]
		p.skip()
	}
}

// phrase is what words say as a name.
func phrase(words []word) string {
	var sb strings.Builder
	for i, w := range words {
		if i > 0 {
			sb.WriteByte(' ')
		}
		sb.WriteString(w.text)
	}
	return human(sb.String())
}

// localPart is what words say as a local part: words joined by dots. ok is false if some are not.
func localPart(words []word) (local string, ok bool) {
	var sb strings.Builder
	for i, w := range words {
		if i > 0 && !words[i-1].endsDotted() && !w.startsDotted() {
			return "", false
		}
		sb.WriteString(w.text)
	}
	return sb.String(), true
}

func (w word) endsDotted() bool   { return !w.quoted && strings.HasSuffix(w.text, ".") }
func (w word) startsDotted() bool { return !w.quoted && strings.HasPrefix(w.text, ".") }
