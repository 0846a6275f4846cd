package imap

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// searchReturn is the set of results that RETURN asks for (RFC 4731 section 3.1).
type searchReturn uint8

const (
	returnMin searchReturn = 1 << iota
	returnMax
	returnAll
	returnCount
)

// searchRequest is a SEARCH command.
type searchRequest struct {
	extended bool // RETURN was given: the answer is an ESEARCH response
	results  searchReturn
	modseq   bool // a MODSEQ key was given: the answer carries the highest one
	key      *searchKey
}

// searchParser reads the arguments of SEARCH (RFC 3501 section 6.4.4).
type searchParser struct {
	dec     *wire.Decoder
	resolve func(imap.NumSet) (uidset.Set, error) // to UIDs of the view
	now     time.Time                             // for YOUNGER and OLDER

	req   searchRequest
	keys  int // keys read so far
	texts int // octets of their strings
}

// badCharset is the answer to a charset that is not known (RFC 3501 section 6.4.4).
func badCharset() error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: "BADCHARSET (US-ASCII UTF-8)",
		Text: "Unknown charset"}
}

// parse reads from after the command's name to before the end of the line.
func (p *searchParser) parse() (*searchRequest, error) {
	if err := p.dec.SP(); err != nil {
		return nil, err
	}
	first := true
	var keys []*searchKey
	for {
		if p.dec.AtNumSet() || p.dec.Peek() == '(' {
			key, err := p.key(0)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		} else {
			name, err := p.dec.Keyword()
			if err != nil {
				return nil, err
			}
			switch {
			case first && name == "RETURN" && !p.req.extended:
				err = p.returns()
			case first && name == "CHARSET":
				err = p.charset()
				first = false
			default:
				var key *searchKey
				key, err = p.named(name, 0)
				keys = append(keys, key)
				first = false
			}
			if err != nil {
				return nil, err
			}
			if len(keys) == 0 { // options are followed by a key
				if err := p.dec.SP(); err != nil {
					return nil, err
				}
				continue
			}
		}
		first = false
		if !p.dec.Accept(' ') {
			break
		}
	}
	p.req.key = allOf(keys...)
	return &p.req, nil
}

// returns reads " (MIN MAX)". An empty list means ALL (RFC 4731 section 3.1).
func (p *searchParser) returns() error {
	p.req.extended = true
	if err := p.dec.SP(); err != nil {
		return err
	}
	err := p.dec.List(func() error {
		name, err := p.dec.Keyword()
		if err != nil {
			return err
		}
		switch name {
		case "MIN":
			p.req.results |= returnMin
		case "MAX":
			p.req.results |= returnMax
		case "ALL":
			p.req.results |= returnAll
		case "COUNT":
			p.req.results |= returnCount
		default:
			return wire.Errorf("unknown SEARCH result %s", clip(name))
		}
		return nil
	})
	if p.req.results == 0 {
		p.req.results = returnAll
	}
	return err
}

// charset reads " name". Strings are taken as UTF-8 in any case, of which
// US-ASCII is a part.
func (p *searchParser) charset() error {
	if err := p.dec.SP(); err != nil {
		return err
	}
	name, err := p.dec.AString()
	if err != nil {
		return err
	}
	if !strings.EqualFold(name, "UTF-8") && !strings.EqualFold(name, "US-ASCII") {
		return badCharset()
	}
	return nil
}

// key reads one key: a list in parentheses, a message set, or a named one.
func (p *searchParser) key(depth int) (*searchKey, error) {
	if depth > maxSearchDepth {
		return nil, wire.Errorf("SEARCH nested deeper than %d", maxSearchDepth)
	}
	if p.dec.Peek() == '(' {
		var kids []*searchKey
		err := p.dec.List(func() error {
			kid, err := p.key(depth + 1)
			kids = append(kids, kid)
			return err
		})
		if err == nil && len(kids) == 0 {
			err = wire.Errorf("empty list of SEARCH keys")
		}
		if err != nil {
			return nil, err
		}
		return allOf(kids...), nil
	}
	if p.dec.AtNumSet() {
		if err := p.count(); err != nil {
			return nil, err
		}
		return p.set(false)
	}
	name, err := p.dec.Keyword()
	if err != nil {
		return nil, err
	}
	return p.named(name, depth)
}

func (p *searchParser) count() error {
	if p.keys++; p.keys > maxSearchKeys {
		return wire.Errorf("more than %d SEARCH keys", maxSearchKeys)
	}
	return nil
}

func (p *searchParser) set(uid bool) (*searchKey, error) {
	set, err := p.dec.NumSet(uid)
	if err != nil {
		return nil, err
	}
	ranges, err := p.resolve(set)
	if err != nil {
		return nil, err
	}
	return &searchKey{op: searchUIDs, uids: ranges}, nil
}

// plainKeys are the keys without an argument.
var plainKeys = map[string]*searchKey{
	"ALL":        allOf(),
	"ANSWERED":   flagKey(mailstore.Answered),
	"DELETED":    flagKey(mailstore.Deleted),
	"DRAFT":      flagKey(mailstore.Draft),
	"FLAGGED":    flagKey(mailstore.Flagged),
	"SEEN":       flagKey(mailstore.Seen),
	"UNANSWERED": not(flagKey(mailstore.Answered)),
	"UNDELETED":  not(flagKey(mailstore.Deleted)),
	"UNDRAFT":    not(flagKey(mailstore.Draft)),
	"UNFLAGGED":  not(flagKey(mailstore.Flagged)),
	"UNSEEN":     not(flagKey(mailstore.Seen)),
	// No message is \Recent here.
	"NEW":    anyOf(),
	"RECENT": anyOf(),
	"OLD":    allOf(),
}

func flagKey(f mailstore.Flags) *searchKey { return &searchKey{op: searchFlag, flag: f} }

// named reads the arguments of the key called name (upper case).
func (p *searchParser) named(name string, depth int) (*searchKey, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	if key, ok := plainKeys[name]; ok {
		return key, nil
	}
	read := p.argument(name)
	if read == nil {
		return nil, wire.Errorf("unknown SEARCH key %s", clip(name))
	}
	if err := p.dec.SP(); err != nil {
		return nil, err
	}
	return read(depth)
}

// argument returns the function that reads the arguments of a key, nil for an
// unknown one.
func (p *searchParser) argument(name string) func(depth int) (*searchKey, error) {
	switch name {
	case "NOT":
		return p.not
	case "OR":
		return p.or
	case "UID":
		return func(int) (*searchKey, error) { return p.set(true) }
	case "KEYWORD", "UNKEYWORD":
		return func(int) (*searchKey, error) { return p.keyword(name == "UNKEYWORD") }
	case "BEFORE", "ON", "SINCE":
		return func(int) (*searchKey, error) { return p.date(searchInternal, name) }
	case "SENTBEFORE", "SENTON", "SENTSINCE":
		return func(int) (*searchKey, error) { return p.date(searchSent, name[len("SENT"):]) }
	case "LARGER", "SMALLER":
		return func(int) (*searchKey, error) { return p.size(name == "LARGER") }
	case "YOUNGER", "OLDER":
		return func(int) (*searchKey, error) { return p.within(name == "YOUNGER") }
	case "BODY":
		return func(int) (*searchKey, error) { return p.content(searchBody) }
	case "TEXT":
		return func(int) (*searchKey, error) { return p.content(searchText) }
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		return func(int) (*searchKey, error) { return p.header(strings.ToLower(name)) }
	case "HEADER":
		return p.namedHeader
	case "MODSEQ":
		return p.modseq
	}
	return nil
}

func (p *searchParser) not(depth int) (*searchKey, error) {
	kid, err := p.key(depth + 1)
	if err != nil {
		return nil, err
	}
	return not(kid), nil
}

func (p *searchParser) or(depth int) (*searchKey, error) {
	left, err := p.key(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.dec.SP(); err != nil {
		return nil, err
	}
	right, err := p.key(depth + 1)
	if err != nil {
		return nil, err
	}
	return anyOf(left, right), nil
}

func (p *searchParser) keyword(negate bool) (*searchKey, error) {
	name, err := p.dec.Atom()
	if err != nil {
		return nil, err
	}
	key := &searchKey{op: searchKeyword, name: name}
	if len(name) > mailstore.MaxKeywordLength { // no message has it
		key = anyOf()
	}
	if negate {
		return not(key), nil
	}
	return key, nil
}

// date reads a date. Time and time zone of messages are disregarded
// (RFC 3501 section 6.4.4): an internal date counts by the day that FETCH INTERNALDATE shows, a
// Date field by the day that it names.
func (p *searchParser) date(op searchOp, when string) (*searchKey, error) {
	day, err := p.dec.Date()
	if err != nil {
		return nil, err
	}
	next := day.AddDate(0, 0, 1)
	switch when {
	case "BEFORE":
		return &searchKey{op: op, to: day}, nil
	case "SINCE":
		return &searchKey{op: op, from: day}, nil
	}
	return &searchKey{op: op, from: day, to: next}, nil
}

func (p *searchParser) size(larger bool) (*searchKey, error) {
	n, err := p.dec.Number64()
	if err != nil {
		return nil, err
	}
	switch {
	case larger:
		return &searchKey{op: searchSize, min: int64(n) + 1, max: maxSize}, nil
	case n == 0:
		return anyOf(), nil
	}
	return &searchKey{op: searchSize, max: int64(n) - 1}, nil
}

// maxSize is larger than any message.
const maxSize = 1<<63 - 1

// within reads the interval of YOUNGER and OLDER, in seconds (RFC 5032 section 3).
func (p *searchParser) within(younger bool) (*searchKey, error) {
	n, err := p.dec.Number()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, wire.Errorf("the interval must not be 0")
	}
	at := p.now.Add(-time.Duration(n) * time.Second)
	if younger {
		return &searchKey{op: searchInternal, from: at}, nil
	}
	return &searchKey{op: searchInternal, to: at.Add(time.Second)}, nil
}

// text reads a string to look for, and normalises it as what it is compared
// with.
func (p *searchParser) text() (string, error) {
	s, err := p.dec.AString()
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(s) {
		return "", wire.Errorf("search string is not UTF-8")
	}
	s = envelope.Normalize(s)
	p.texts += len(s)
	if len(s) > maxSearchText || p.texts > maxSearchTexts {
		return "", wire.Errorf("search strings are too long")
	}
	return s, nil
}

func (p *searchParser) content(op searchOp) (*searchKey, error) {
	text, err := p.text()
	if err != nil {
		return nil, err
	}
	if text == "" {
		return allOf(), nil // every text holds it
	}
	return &searchKey{op: op, text: text}, nil
}

func (p *searchParser) namedHeader(int) (*searchKey, error) {
	name, err := p.dec.AString()
	if err != nil {
		return nil, err
	}
	if len(name) > maxHeaderName {
		return nil, wire.Errorf("header field name is too long")
	}
	if err := p.dec.SP(); err != nil {
		return nil, err
	}
	return p.header(strings.ToLower(name))
}

// header reads the string to look for in fields called name.
func (p *searchParser) header(name string) (*searchKey, error) {
	text, err := p.text()
	if err != nil {
		return nil, err
	}
	text = collapseSpace(text)
	// That a field is there, whatever it says, only the header itself tells.
	if field, ok := storedFields[name]; ok && text != "" {
		return &searchKey{op: searchField, name: name, field: field, text: text}, nil
	}
	return &searchKey{op: searchHeader, name: name, text: text}, nil
}

// collapseSpace makes each run of white space one space. Header fields are
// compared so, since they may be folded anywhere.
func collapseSpace(s string) string {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case !isSpace(c):
			b = append(b, c)
		case i == 0 || !isSpace(s[i-1]):
			b = append(b, ' ')
		}
	}
	return string(b)
}

// modseq reads "[entry-name entry-type] mod-sequence" (RFC 7162 section 3.1.5). There
// is one mod-sequence for all flags of a message, so that the entry says
// nothing more.
func (p *searchParser) modseq(int) (*searchKey, error) {
	if p.dec.Peek() == '"' {
		if _, err := p.dec.String(); err != nil {
			return nil, err
		}
		if err := p.dec.SP(); err != nil {
			return nil, err
		}
		kind, err := p.dec.Keyword()
		if err != nil {
			return nil, err
		}
		if kind != "PRIV" && kind != "SHARED" && kind != "ALL" {
			return nil, wire.Errorf("unknown entry type %s", clip(kind))
		}
		if err := p.dec.SP(); err != nil {
			return nil, err
		}
	}
	n, err := p.dec.Number64()
	if err != nil {
		return nil, err
	}
	p.req.modseq = true
	return &searchKey{op: searchModSeq, min: int64(n)}, nil
}
