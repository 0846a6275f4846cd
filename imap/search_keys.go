package imap

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
)

// key reads one key: a list in parentheses, a message set, or a named one.
func (p *searchParser) key(depth int) (*search.Key, error) {
	if depth > search.MaxDepth {
		return nil, wire.Errorf("SEARCH nested deeper than %d", search.MaxDepth)
	}
	if p.dec.Peek() == '(' {
		var kids []*search.Key
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
		return search.All(kids...), nil
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
	if p.keys++; p.keys > search.MaxKeys {
		return wire.Errorf("more than %d SEARCH keys", search.MaxKeys)
	}
	return nil
}

func (p *searchParser) set(uid bool) (*search.Key, error) {
	set, err := p.dec.NumSet(uid)
	if err != nil {
		return nil, err
	}
	if !uid && p.uidOnly && !imap.IsSearchRes(set) {
		return nil, errUIDRequired
	}
	p.numbered = p.numbered || !uid && !imap.IsSearchRes(set)
	p.sets = append(p.sets, set)
	return search.Blank(len(p.sets) - 1), nil
}

// plainKeys are the keys without an argument.
var plainKeys = map[string]*search.Key{
	"ALL":        search.All(),
	"ANSWERED":   search.Flag(mailstore.Answered),
	"DELETED":    search.Flag(mailstore.Deleted),
	"DRAFT":      search.Flag(mailstore.Draft),
	"FLAGGED":    search.Flag(mailstore.Flagged),
	"SEEN":       search.Flag(mailstore.Seen),
	"UNANSWERED": search.Not(search.Flag(mailstore.Answered)),
	"UNDELETED":  search.Not(search.Flag(mailstore.Deleted)),
	"UNDRAFT":    search.Not(search.Flag(mailstore.Draft)),
	"UNFLAGGED":  search.Not(search.Flag(mailstore.Flagged)),
	"UNSEEN":     search.Not(search.Flag(mailstore.Seen)),
	// Every message has a save date (RFC 8514 section 4.3).
	"SAVEDATESUPPORTED": search.All(),
	// No message is \Recent here.
	"NEW":    search.Any(),
	"RECENT": search.Any(),
	"OLD":    search.All(),
}

// named reads the arguments of the key called name (upper case).
func (p *searchParser) named(name string, depth int) (*search.Key, error) {
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
func (p *searchParser) argument(name string) func(depth int) (*search.Key, error) {
	switch name {
	case "NOT":
		return p.not
	case "OR":
		return p.or
	case "UID":
		return func(int) (*search.Key, error) { return p.set(true) }
	case "KEYWORD", "UNKEYWORD":
		return func(int) (*search.Key, error) { return p.keyword(name == "UNKEYWORD") }
	case "BEFORE", "ON", "SINCE":
		return func(int) (*search.Key, error) { return p.date(search.Internal, name) }
	case "SENTBEFORE", "SENTON", "SENTSINCE":
		return func(int) (*search.Key, error) { return p.date(search.Sent, name[len("SENT"):]) }
	case "SAVEDBEFORE", "SAVEDON", "SAVEDSINCE":
		return func(int) (*search.Key, error) { return p.date(search.Saved, name[len("SAVED"):]) }
	case "LARGER", "SMALLER":
		return func(int) (*search.Key, error) { return p.size(name == "LARGER") }
	case "YOUNGER", "OLDER":
		return func(int) (*search.Key, error) { return p.within(name == "YOUNGER") }
	case "BODY":
		return func(int) (*search.Key, error) { return p.text(search.Body) }
	case "TEXT":
		return func(int) (*search.Key, error) { return p.text(search.Text) }
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		return func(int) (*search.Key, error) { return p.header(name) }
	case "HEADER":
		return p.namedHeader
	case "EMAILID":
		return func(int) (*search.Key, error) { return p.objectID(mailstore.ParseEmailID, search.Number) }
	case "THREADID":
		return func(int) (*search.Key, error) { return p.objectID(mailstore.ParseThreadID, search.Thread) }
	case "MODSEQ":
		return p.modSeq
	}
	return nil
}

func (p *searchParser) not(depth int) (*search.Key, error) {
	kid, err := p.key(depth + 1)
	if err != nil {
		return nil, err
	}
	return search.Not(kid), nil
}

func (p *searchParser) or(depth int) (*search.Key, error) {
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
	return search.Any(left, right), nil
}

func (p *searchParser) keyword(negate bool) (*search.Key, error) {
	name, err := p.dec.Atom()
	if err != nil {
		return nil, err
	}
	if negate {
		return search.Not(search.Keyword(name)), nil
	}
	return search.Keyword(name), nil
}

// objectID reads the argument of EMAILID and THREADID (RFC 8474 section 6). No message has an id
// that is none of this server.
func (p *searchParser) objectID(
	parse func(string) (mailstore.Number, bool), key func(mailstore.Number) *search.Key,
) (*search.Key, error) {
	id, err := p.dec.Atom()
	if err != nil {
		return nil, err
	}
	owner := ""
	if i := strings.IndexByte(id, '_'); i >= 0 {
		id, owner = id[:i], id[i:]
	}
	n, ok := parse(id)
	if !ok {
		return search.Any(), nil
	}
	p.ids = append(p.ids, objectID{owner, key(n)})
	return search.Blank(-len(p.ids)), nil
}

// date reads a date. Time and time zone of messages are disregarded
// (RFC 3501 section 6.4.4): an internal date counts by the day that FETCH INTERNALDATE shows, a
// save date by the day that FETCH SAVEDATE shows (RFC 8514 section 4.3), a Date field by the day
// that it names.
func (p *searchParser) date(key func(from, to time.Time) *search.Key, when string) (*search.Key, error) {
	day, err := p.dec.Date()
	if err != nil {
		return nil, err
	}
	switch when {
	case "BEFORE":
		return key(time.Time{}, day), nil
	case "SINCE":
		return key(day, time.Time{}), nil
	}
	return key(day, day.AddDate(0, 0, 1)), nil
}

func (p *searchParser) size(larger bool) (*search.Key, error) {
	n, err := p.dec.Number64()
	if err != nil {
		return nil, err
	}
	if larger {
		return search.Larger(int64(n)), nil
	}
	return search.Smaller(int64(n)), nil
}

// within reads the interval of YOUNGER and OLDER, in seconds (RFC 5032 section 3).
func (p *searchParser) within(younger bool) (*search.Key, error) {
	n, err := p.dec.Number()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, wire.Errorf("the interval must not be 0")
	}
	at := p.now.Add(-time.Duration(n) * time.Second)
	if younger {
		return search.Internal(at, time.Time{}), nil
	}
	return search.Internal(time.Time{}, at.Add(time.Second)), nil
}

// string reads a string to look for, in the charset that was named. Without one
// it is UTF-8, of which US-ASCII is a part.
func (p *searchParser) string() (string, error) {
	s, err := p.dec.AString()
	if err != nil {
		return "", err
	}
	if p.decode == nil {
		if !utf8.ValidString(s) {
			return "", wire.Errorf("search string is not UTF-8")
		}
		return s, nil
	}
	text, ok := p.decode(s)
	if !ok {
		return "", wire.Errorf("search string is not in the charset that was named")
	}
	return text, nil
}

func (p *searchParser) text(key func(text string) *search.Key) (*search.Key, error) {
	text, err := p.string()
	if err != nil {
		return nil, err
	}
	return key(text), nil
}

func (p *searchParser) namedHeader(int) (*search.Key, error) {
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
	return p.header(name)
}

// header reads the string to look for in fields called name.
func (p *searchParser) header(name string) (*search.Key, error) {
	text, err := p.string()
	if err != nil {
		return nil, err
	}
	return search.Header(name, text), nil
}

// modSeq reads "[entry-name entry-type] mod-sequence" (RFC 7162 section 3.1.5). There
// is one mod-sequence for all flags of a message, so that the entry says
// nothing more.
func (p *searchParser) modSeq(int) (*search.Key, error) {
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
	p.modseq = true
	return search.ModSeq(int64(n)), nil
}
