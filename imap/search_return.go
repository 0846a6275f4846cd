package imap

import (
	"strconv"

	"gadwall/imap/wire"
)

// returnItems is the set of results that RETURN asks for (RFC 4731 section 3.1, RFC 5182, RFC 5267
// section 4, RFC 9394).
type returnItems uint8

const (
	returnMin returnItems = 1 << iota
	returnMax
	returnAll
	returnCount
	returnPartial
	returnSave
	returnUpdate

	// returnData are those that the response tells.
	returnData = returnMin | returnMax | returnAll | returnCount | returnPartial
)

// has reports whether one of the items is asked for.
func (r returnItems) has(items returnItems) bool { return r&items != 0 }

// returnOptions is what RETURN says.
type returnOptions struct {
	given   bool // the answer is an ESEARCH response
	items   returnItems
	partial partialRange
	fetch   *fetchRequest // of new messages, with UPDATE (RFC 5465 section 7); nil: nothing
}

// complete puts in what is meant when nothing is asked for: ALL (RFC 4731 section 3.1).
func (o *returnOptions) complete() {
	if o.given && !o.items.has(returnData|returnSave|returnUpdate) {
		o.items |= returnAll
	}
}

// whole reports whether every message found is needed to answer, even those that the response does
// not name.
func (o *returnOptions) whole() bool {
	return !o.given || o.items.has(returnAll|returnUpdate) || o.savesAll()
}

// savesAll reports whether SAVE saves everything found, and not only what MIN, MAX and PARTIAL name
// (RFC 5182 section 2.4, RFC 9394 section 3.2).
func (o *returnOptions) savesAll() bool {
	return o.items.has(returnSave) &&
		(o.items.has(returnAll|returnCount) || !o.items.has(returnMin|returnMax|returnPartial))
}

// partialRange is the argument of PARTIAL: first <= last, counted from the last result if fromEnd
// is set. text is what the client wrote.
type partialRange struct {
	first, last uint32
	fromEnd     bool
	text        string
}

// of returns the part of n results that the range names, as indexes [lo, hi).
func (r partialRange) of(n int) (lo, hi int) {
	lo, hi = min(int(r.first)-1, n), min(int(r.last), n)
	if r.fromEnd {
		return n - hi, n - lo
	}
	return lo, hi
}

// parseReturns reads " (MIN PARTIAL 1:100 ...)".
func (p *searchParser) parseReturns() error {
	p.returns.given = true
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
			p.returns.items |= returnMin
		case "MAX":
			p.returns.items |= returnMax
		case "ALL":
			p.returns.items |= returnAll
		case "COUNT":
			p.returns.items |= returnCount
		case "SAVE":
			p.returns.items |= returnSave
		case "UPDATE":
			p.returns.items |= returnUpdate
			if p.dec.AcceptText(" (") {
				p.returns.fetch, err = parseAttributes(p.dec)
				return err
			}
		case "CONTEXT": // a hint that nothing depends on (RFC 5267 section 4.2)
		case "PARTIAL":
			if p.returns.items.has(returnPartial) {
				return wire.Errorf("more than one PARTIAL")
			}
			p.returns.items |= returnPartial
			if err := p.dec.SP(); err != nil {
				return err
			}
			p.returns.partial, err = parsePartialRange(p.dec)
			return err
		default:
			return wire.Errorf("unknown result %s", clip(name))
		}
		return nil
	})
	if err == nil && p.returns.items&(returnAll|returnPartial) == returnAll|returnPartial {
		err = wire.Errorf("ALL and PARTIAL exclude each other") // RFC 9394 section 3.1
	}
	return err
}

// parsePartialRange reads "1:100" or "-1:-100" (RFC 9394 section 4).
func parsePartialRange(dec *wire.Decoder) (r partialRange, err error) {
	r.fromEnd = dec.Accept('-')
	if r.first, err = dec.Number(); err != nil {
		return r, err
	}
	if err = dec.Expect(':'); err != nil {
		return r, err
	}
	sign := ""
	if r.fromEnd {
		if err = dec.Expect('-'); err != nil {
			return r, err
		}
		sign = "-"
	}
	if r.last, err = dec.Number(); err != nil {
		return r, err
	}
	if r.first == 0 || r.last == 0 {
		return r, wire.Errorf("results are counted from 1")
	}
	r.text = sign + strconv.FormatUint(uint64(r.first), 10) + ":" + sign + strconv.FormatUint(uint64(r.last), 10)
	r.first, r.last = min(r.first, r.last), max(r.first, r.last)
	return r, nil
}
