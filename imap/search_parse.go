package imap

import (
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/search"
	"gadwall/internal/search/order"
	"gadwall/internal/search/thread"
	"gadwall/internal/uidset"
)

// searchRequest is a command that searches: SEARCH, SORT, THREAD or ESEARCH.
type searchRequest struct {
	sources []searchSource // of ESEARCH; nil: the selected mailbox
	returns returnOptions
	modseq  bool // a MODSEQ key was given: the answer carries the highest one
	// program is what is searched for. A Blank in it is the set of that number in sets.
	program *search.Key
	sets    []imap.NumSet
	// numbered: some of the sets are of sequence numbers.
	numbered bool
	// ids are the messages that EMAILID and THREADID name. The Blank -1 is the first one.
	ids []objectID

	order  []order.Criterion // of SORT; nil: in the order of the mailbox
	thread thread.Algorithm  // of THREAD
}

// objectID is the argument of EMAILID or THREADID.
type objectID struct {
	owner string // the end of the id, see idOf
	key   *search.Key
}

// keyIn is the program for a mailbox of a user whose ids end with owner, and in which resolve gives
// the UIDs of a set.
func (r *searchRequest) keyIn(owner string, resolve func(imap.NumSet) uidset.Set) *search.Key {
	return r.program.Fill(func(i int) *search.Key {
		switch {
		case i >= 0:
			return search.UIDs(resolve(r.sets[i]))
		case r.ids[-1-i].owner != owner:
			return search.Any() // a number of another user's
		}
		return r.ids[-1-i].key
	})
}

// searchParser reads the arguments of commands that search (RFC 3501 section 6.4.4). Each of its
// methods reads up to a space or the end of the line.
type searchParser struct {
	dec     *wire.Decoder
	uidOnly bool // message numbers are an error
	// onlyUTF8: SEARCH must not name a charset (RFC 9755 section 3).
	onlyUTF8 bool
	now      time.Time // for YOUNGER and OLDER

	searchRequest
	decode func(string) (text string, ok bool) // of the charset; nil: UTF-8
	keys   int                                 // keys read so far
}

// badCharset is the answer to a charset that is not known (RFC 3501
// section 6.4.4). Of those that are known it lists the ones that clients use.
func badCharset(name string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: "BADCHARSET (US-ASCII UTF-8 " +
		"ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1251 WINDOWS-1252 KOI8-R " +
		"ISO-2022-JP EUC-JP SHIFT_JIS GB18030 BIG5 EUC-KR)",
		Text: "Unknown charset " + clip(name)}
}

// search reads " [RETURN (...)] [CHARSET name] key ..." (RFC 4731 section 4).
func (p *searchParser) search() error {
	word, err := p.word()
	if err != nil {
		return err
	}
	return p.searchFrom(word)
}

// esearch reads the same with sources before it: " [IN (...)]" (RFC 7377 section 4).
func (p *searchParser) esearch() error {
	word, err := p.word()
	if err == nil && word == "IN" {
		if err = p.parseSources(); err == nil {
			word, err = p.word()
		}
	}
	if err != nil {
		return err
	}
	p.returns.given = true
	return p.searchFrom(word)
}

// searchFrom is search, whose first word was read.
func (p *searchParser) searchFrom(word string) (err error) {
	if word == "RETURN" {
		if err = p.parseReturns(); err == nil {
			word, err = p.word()
		}
	}
	if err == nil && word == "CHARSET" && p.onlyUTF8 {
		err = wire.Errorf("CHARSET is not possible after ENABLE UTF8=ACCEPT")
	}
	if err == nil && word == "CHARSET" {
		if err = p.dec.SP(); err == nil {
			err = p.charset()
		}
		if err == nil {
			word, err = p.word()
		}
	}
	if err != nil {
		return err
	}
	p.returns.complete()
	return p.criteria(word)
}

// sort reads " [RETURN (...)] (criterion ...) charset key ..." (RFC 5256 section 5, RFC 5267
// section 5).
func (p *searchParser) sort() error {
	word, err := p.word()
	if err == nil && word == "RETURN" {
		if err = p.parseReturns(); err == nil {
			word, err = p.word()
		}
	}
	if err == nil && word != "" {
		err = wire.Errorf("expected sort criteria")
	}
	if err == nil {
		err = p.sortCriteria()
	}
	if err != nil {
		return err
	}
	p.returns.complete()
	return p.afterCharset()
}

// threads reads " algorithm charset key ..." (RFC 5256 section 5).
func (p *searchParser) threads() error {
	name, err := p.word()
	if err != nil {
		return err
	}
	var ok bool
	if p.thread, ok = thread.Parse(name); !ok {
		return wire.Errorf("unknown threading algorithm %s", clip(name))
	}
	return p.afterCharset()
}

// afterCharset reads " charset key ...".
func (p *searchParser) afterCharset() error {
	if err := p.dec.SP(); err != nil {
		return err
	}
	if err := p.charset(); err != nil {
		return err
	}
	word, err := p.word()
	if err != nil {
		return err
	}
	return p.criteria(word)
}

// sortCriteria reads "([REVERSE] key ...)".
func (p *searchParser) sortCriteria() error {
	err := p.dec.List(func() error {
		if len(p.order) >= maxSortCriteria {
			return wire.Errorf("more than %d sort criteria", maxSortCriteria)
		}
		var c order.Criterion
		name, err := p.dec.Keyword()
		if err == nil && name == "REVERSE" {
			c.Reverse = true
			if err = p.dec.SP(); err == nil {
				name, err = p.dec.Keyword()
			}
		}
		if err != nil {
			return err
		}
		var ok bool
		if c.By, ok = order.Parse(name); !ok {
			return wire.Errorf("unknown sort criterion %s", clip(name))
		}
		p.order = append(p.order, c)
		return nil
	})
	if err == nil && len(p.order) == 0 {
		err = wire.Errorf("no sort criteria")
	}
	return err
}

// word reads a space, and the keyword that follows. It is empty if a list or a set follows.
func (p *searchParser) word() (string, error) {
	if err := p.dec.SP(); err != nil {
		return "", err
	}
	if p.dec.AtNumSet() || p.dec.Peek() == '(' {
		return "", nil
	}
	return p.dec.Keyword()
}

// criteria reads "key ...", of which the first word was read.
func (p *searchParser) criteria(word string) error {
	var keys []*search.Key
	for {
		var key *search.Key
		var err error
		if word != "" {
			key, err = p.named(word, 0)
		} else {
			key, err = p.key(0)
		}
		if err != nil {
			return err
		}
		keys = append(keys, key)
		if word = ""; !p.dec.Accept(' ') {
			p.program = search.All(keys...)
			return nil
		}
	}
}

// charset reads the name of a charset.
func (p *searchParser) charset() error {
	name, err := p.dec.AString()
	if err != nil {
		return err
	}
	if p.dec.AtEnd() {
		return wire.Errorf("no search key after the charset %s", clip(name))
	}
	if p.decode = search.Charset(name); p.decode == nil {
		return badCharset(name)
	}
	return nil
}
