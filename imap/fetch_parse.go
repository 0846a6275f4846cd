package imap

import (
	"slices"

	"gadwall/imap/wire"
	"gadwall/internal/section"
)

// fetchItems is the set of those data items of FETCH that are not sections.
type fetchItems uint16

const (
	itemUID fetchItems = 1 << iota
	itemFlags
	itemModSeq
	itemInternalDate
	itemSaveDate
	itemEmailID
	itemThreadID
	itemSize
	itemEnvelope
	itemBody
	itemBodyStructure
	itemPreview
	itemLazyPreview // only if it is stored (RFC 8970 section 3.2)

	macroFast = itemFlags | itemInternalDate | itemSize
	macroAll  = macroFast | itemEnvelope
	macroFull = macroAll | itemBody
)

// binaryForm says whether a section is asked for with its transfer encoding undone (RFC 3516).
type binaryForm uint8

const (
	asItIs     binaryForm = iota
	binaryData            // BINARY, BINARY.PEEK
	binarySize            // BINARY.SIZE
)

// fetchSection is one BODY[...] item, or RFC822 and its kin, or a BINARY one.
type fetchSection struct {
	section.Section
	partial section.Partial
	binary  binaryForm
	label   []byte // the name of the item in the response
	seen    bool   // fetching it sets \Seen
}

// fetchRequest is what one FETCH asks for.
type fetchRequest struct {
	items    fetchItems
	sections []fetchSection

	changedSince uint64 // with hasSince: only messages changed later (RFC 7162 section 3.1.4.1)
	hasSince     bool
	vanished     bool // tell which messages were expunged since (RFC 7162 section 3.2.6)

	partial   partialRange // with isPartial: only these of the messages (RFC 9394 section 3.3)
	isPartial bool
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
		if err := r.parseModifiers(dec, uid); err != nil {
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
	case "SAVEDATE":
		r.items |= itemSaveDate
	case "EMAILID":
		r.items |= itemEmailID
	case "THREADID":
		r.items |= itemThreadID
	case "PREVIEW":
		if dec.AcceptText(" (LAZY)") {
			r.items |= itemLazyPreview
		} else {
			r.items |= itemPreview
		}
	case "RFC822.SIZE":
		r.items |= itemSize
	case "ENVELOPE":
		r.items |= itemEnvelope
	case "BODYSTRUCTURE":
		r.items |= itemBodyStructure
	case "RFC822":
		return r.add(fetchSection{label: []byte(name), seen: true})
	case "RFC822.HEADER":
		return r.add(fetchSection{label: []byte(name), Section: section.Section{Kind: section.Header}})
	case "RFC822.TEXT":
		return r.add(fetchSection{label: []byte(name), Section: section.Section{Kind: section.Text}, seen: true})
	case "BODY", "BODY.PEEK":
		if dec.Peek() == '[' {
			return r.parseSection(dec, name == "BODY")
		}
		if name == "BODY.PEEK" {
			return wire.Errorf("BODY.PEEK needs a section")
		}
		r.items |= itemBody
	case "BINARY", "BINARY.PEEK":
		return r.parseBinary(dec, "BINARY", fetchSection{binary: binaryData, seen: name == "BINARY"})
	case "BINARY.SIZE":
		return r.parseBinary(dec, name, fetchSection{binary: binarySize})
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
	var names []string
	if dec.Peek() != ']' {
		var err error
		if names, err = s.parseSpec(dec); err != nil {
			return err
		}
	}
	if err := dec.Expect(']'); err != nil {
		return err
	}
	if dec.Accept('<') {
		var err error
		if s.partial, err = parsePartial(dec); err != nil {
			return err
		}
	}
	s.label = appendSectionLabel([]byte("BODY"), s.Section, names, s.partial)
	return r.add(s)
}

// parseSpec reads section-spec of RFC 3501 section 9, and returns the names of header fields as the
// client has written them.
func (s *fetchSection) parseSpec(dec *wire.Decoder) (names []string, err error) {
	spec, err := dec.AtomUntil("]")
	if err != nil {
		return nil, err
	}
	if s.Section, err = parseSectionSpec(spec); err != nil || !s.Filtered() {
		return nil, err
	}
	names, err = parseFieldNames(dec)
	s.Names = section.Lower(names)
	return names, err
}

// parseModifiers reads "(CHANGEDSINCE n VANISHED PARTIAL range)". Only UID FETCH has PARTIAL.
func (r *fetchRequest) parseModifiers(dec *wire.Decoder, uid bool) error {
	err := dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		switch {
		case name == "CHANGEDSINCE":
			if err := dec.SP(); err != nil {
				return err
			}
			r.hasSince = true
			r.items |= itemModSeq
			r.changedSince, err = dec.Number64()
		case name == "VANISHED":
			r.vanished = true
		case name == "PARTIAL" && uid && !r.isPartial:
			if err := dec.SP(); err != nil {
				return err
			}
			r.isPartial = true
			r.partial, err = parsePartialRange(dec)
		default:
			err = wire.Errorf("FETCH modifier %s is not possible here", clip(name))
		}
		return err
	})
	if err == nil && r.vanished && !r.hasSince {
		err = wire.Errorf("VANISHED needs CHANGEDSINCE")
	}
	return err
}

// clip shortens what a client sent to what an error may repeat of it.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
