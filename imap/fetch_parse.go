package imap

import (
	"slices"
	"strconv"
	"strings"

	"gadwall/imap/wire"
)

// fetchItems is the set of those data items of FETCH that are not sections.
type fetchItems uint16

const (
	itemUID fetchItems = 1 << iota
	itemFlags
	itemModSeq
	itemInternalDate
	itemSize
	itemEnvelope
	itemBody
	itemBodyStructure

	macroFast = itemFlags | itemInternalDate | itemSize
	macroAll  = macroFast | itemEnvelope
	macroFull = macroAll | itemBody
)

// fetchSection is one BODY[...] item, or RFC822 and its kin.
type fetchSection struct {
	section
	partial partial
	label   []byte // the name of the item in the response
	seen    bool   // fetching it sets \Seen
}

// fetchRequest is what one FETCH asks for.
type fetchRequest struct {
	items    fetchItems
	sections []fetchSection

	changedSince uint64 // with hasSince: only messages changed later (RFC 7162 section 3.1.4.1)
	hasSince     bool
}

// setsSeen reports whether the request sets \Seen of what it fetches.
func (r *fetchRequest) setsSeen() bool {
	return slices.ContainsFunc(r.sections, func(s fetchSection) bool { return s.seen })
}

// usesModSeq reports whether the request is one that enables CONDSTORE
// (RFC 7162 section 3.1).
func (r *fetchRequest) usesModSeq() bool { return r.items&itemModSeq != 0 || r.hasSince }

// parseFetch reads what follows the message set of FETCH (RFC 3501 section 9, fetch;
// RFC 4466 section 2.4 for the modifiers), up to but without the end of the line.
func parseFetch(dec *wire.Decoder, uid bool) (*fetchRequest, error) {
	r := &fetchRequest{}
	if uid {
		r.items = itemUID
	}
	var err error
	if dec.Peek() == '(' {
		items := 0
		err = dec.List(func() error { items++; return r.parseItem(dec, false) })
		if err == nil && items == 0 {
			err = wire.Errorf("FETCH of nothing")
		}
	} else {
		err = r.parseItem(dec, true)
	}
	if err != nil {
		return nil, err
	}
	if dec.Accept(' ') {
		if err := r.parseModifiers(dec); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// parseItem reads one fetch-att, or where alone a macro.
func (r *fetchRequest) parseItem(dec *wire.Decoder, alone bool) error {
	name, err := dec.AtomUntil("[")
	if err != nil {
		return err
	}
	if alone {
		switch name {
		case "ALL":
			r.items |= macroAll
			return nil
		case "FAST":
			r.items |= macroFast
			return nil
		case "FULL":
			r.items |= macroFull
			return nil
		}
	}
	switch name {
	case "UID":
		r.items |= itemUID
	case "FLAGS":
		r.items |= itemFlags
	case "MODSEQ":
		r.items |= itemModSeq
	case "INTERNALDATE":
		r.items |= itemInternalDate
	case "RFC822.SIZE":
		r.items |= itemSize
	case "ENVELOPE":
		r.items |= itemEnvelope
	case "BODYSTRUCTURE":
		r.items |= itemBodyStructure
	case "RFC822":
		return r.add(fetchSection{label: []byte(name), seen: true})
	case "RFC822.HEADER":
		return r.add(fetchSection{label: []byte(name), section: section{kind: sectionHeader}})
	case "RFC822.TEXT":
		return r.add(fetchSection{label: []byte(name), section: section{kind: sectionText}, seen: true})
	case "BODY", "BODY.PEEK":
		if dec.Peek() == '[' {
			return r.parseSection(dec, name == "BODY")
		}
		if name == "BODY.PEEK" {
			return wire.Errorf("BODY.PEEK needs a section")
		}
		r.items |= itemBody
	default:
		return wire.Errorf("unknown FETCH item %s", clip(name))
	}
	return nil
}

func (r *fetchRequest) add(s fetchSection) error {
	if len(r.sections) >= maxFetchItems {
		return wire.Errorf("FETCH of more than %d sections", maxFetchItems)
	}
	r.sections = append(r.sections, s)
	return nil
}

// parseSection reads "[section]<partial>".
func (r *fetchRequest) parseSection(dec *wire.Decoder, seen bool) error {
	if err := dec.Expect('['); err != nil {
		return err
	}
	s := fetchSection{seen: seen}
	var names [][]byte
	if dec.Peek() != ']' {
		spec, err := dec.AtomUntil("]")
		if err != nil {
			return err
		}
		if s.section, err = parseSectionSpec(spec); err != nil {
			return err
		}
		if s.filtered() {
			if names, err = parseFieldNames(dec); err != nil {
				return err
			}
			for _, n := range names {
				s.fields = append(s.fields, strings.ToLower(string(n)))
			}
		}
	}
	if err := dec.Expect(']'); err != nil {
		return err
	}
	if dec.Accept('<') {
		if err := s.partial.parse(dec); err != nil {
			return err
		}
	}
	s.label = s.appendLabel([]byte("BODY"), names, s.partial)
	return r.add(s)
}

// parse reads "offset.size>". The offset counts from 0; a size of 0 is no
// nz-number, but some clients ask for it and mean it.
func (p *partial) parse(dec *wire.Decoder) error {
	offset, err := dec.Number64()
	if err != nil {
		return err
	}
	if err := dec.Expect('.'); err != nil {
		return err
	}
	size, err := dec.Number64()
	if err != nil {
		return err
	}
	*p = partial{set: true, offset: int64(offset), size: int64(size)}
	return dec.Expect('>')
}

// parseFieldNames reads " (name name)" of a HEADER.FIELDS section.
func parseFieldNames(dec *wire.Decoder) ([][]byte, error) {
	if err := dec.SP(); err != nil {
		return nil, err
	}
	var names [][]byte
	err := dec.List(func() error {
		name, err := dec.AString()
		switch {
		case err != nil:
			return err
		case len(name) > maxHeaderName || len(names) >= maxHeaderNames:
			return wire.Errorf("too many or too long header field names")
		}
		names = append(names, []byte(name))
		return nil
	})
	if err == nil && len(names) == 0 {
		err = wire.Errorf("HEADER.FIELDS without a field name")
	}
	return names, err
}

// parseSectionSpec parses a section up to its list of field names, in upper
// case: section-spec of RFC 3501 section 9.
func parseSectionSpec(spec string) (section, error) {
	s := section{}
	for spec != "" && isDigit(spec[0]) {
		number, rest, dot := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if spec = rest; err != nil || number[0] == '0' || dot && rest == "" {
			return s, wire.Errorf("invalid part number in a section")
		}
		if len(s.path) >= maxSectionDepth {
			return s, wire.Errorf("section deeper than %d parts", maxSectionDepth)
		}
		s.path = append(s.path, int(min(n, 1<<31-1)))
	}
	switch spec {
	case "":
		if s.path == nil {
			return s, wire.Errorf("invalid section")
		}
	case "HEADER":
		s.kind = sectionHeader
	case "HEADER.FIELDS":
		s.kind = sectionFields
	case "HEADER.FIELDS.NOT":
		s.kind = sectionFieldsNot
	case "TEXT":
		s.kind = sectionText
	case "MIME":
		if s.path == nil {
			return s, wire.Errorf("MIME needs a part number")
		}
		s.kind = sectionMIME
	default:
		return s, wire.Errorf("unknown section %s", clip(spec))
	}
	return s, nil
}

// parseModifiers reads "(CHANGEDSINCE n)".
func (r *fetchRequest) parseModifiers(dec *wire.Decoder) error {
	return dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		if name != "CHANGEDSINCE" {
			return wire.Errorf("unknown FETCH modifier %s", clip(name))
		}
		if err := dec.SP(); err != nil {
			return err
		}
		r.hasSince = true
		r.items |= itemModSeq
		r.changedSince, err = dec.Number64()
		return err
	})
}

// clip shortens what a client sent to what an error may repeat of it.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
