package imap

import (
	"strconv"
	"strings"

	"gadwall/imap/wire"
	"gadwall/internal/section"
)

// parseSectionSpec parses a section up to its list of field names, in upper
// case: section-spec of RFC 3501 section 9.
func parseSectionSpec(spec string) (section.Section, error) {
	s := section.Section{}
	for spec != "" && spec[0] >= '0' && spec[0] <= '9' {
		number, rest, dot := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if spec = rest; err != nil || number[0] == '0' || dot && rest == "" {
			return s, wire.Errorf("invalid part number in a section")
		}
		if len(s.Path) >= maxSectionDepth {
			return s, wire.Errorf("section deeper than %d parts", maxSectionDepth)
		}
		s.Path = append(s.Path, int(min(n, 1<<31-1)))
	}
	switch spec {
	case "":
		if s.Path == nil {
			return s, wire.Errorf("invalid section")
		}
	case "HEADER":
		s.Kind = section.Header
	case "HEADER.FIELDS":
		s.Kind = section.Fields
	case "HEADER.FIELDS.NOT":
		s.Kind = section.FieldsNot
	case "TEXT":
		s.Kind = section.Text
	case "MIME":
		if s.Path == nil {
			return s, wire.Errorf("MIME needs a part number")
		}
		s.Kind = section.MIME
	default:
		return s, wire.Errorf("unknown section %s", clip(spec))
	}
	return s, nil
}

// parseFieldNames reads " (name name)" of a HEADER.FIELDS section.
func parseFieldNames(dec *wire.Decoder) ([]string, error) {
	if err := dec.SP(); err != nil {
		return nil, err
	}
	var names []string
	err := dec.List(func() error {
		name, err := dec.AString()
		switch {
		case err != nil:
			return err
		case len(name) > maxHeaderName || len(names) >= maxHeaderNames:
			return wire.Limit("more than %d header field names, or one of more than %d octets",
				maxHeaderNames, maxHeaderName)
		}
		names = append(names, name)
		return nil
	})
	if err == nil && len(names) == 0 {
		err = wire.Errorf("HEADER.FIELDS without a field name")
	}
	return names, err
}

// parsePartial reads "offset.size>". The offset counts from 0; a size of 0 is no
// nz-number, but some clients ask for it and mean it.
func parsePartial(dec *wire.Decoder) (section.Partial, error) {
	offset, err := dec.Number64()
	if err != nil {
		return section.Partial{}, err
	}
	if err := dec.Expect('.'); err != nil {
		return section.Partial{}, err
	}
	size, err := dec.Number64()
	if err != nil {
		return section.Partial{}, err
	}
	return section.Partial{Set: true, Offset: int64(offset), Size: int64(size)}, dec.Expect('>')
}

// appendSectionLabel appends the section as the response names it, with the brackets
// and the origin octet: field names as the client wrote them, so that it finds
// its answer by comparing.
func appendSectionLabel(dst []byte, s section.Section, names []string, p section.Partial) []byte {
	dst = append(dst, '[')
	for i, n := range s.Path {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if s.Path != nil && s.Kind != section.All {
		dst = append(dst, '.')
	}
	switch s.Kind {
	case section.Header:
		dst = append(dst, "HEADER"...)
	case section.Text:
		dst = append(dst, "TEXT"...)
	case section.MIME:
		dst = append(dst, "MIME"...)
	case section.Fields, section.FieldsNot:
		dst = append(dst, "HEADER.FIELDS"...)
		if s.Kind == section.FieldsNot {
			dst = append(dst, ".NOT"...)
		}
		dst = append(dst, " ("...)
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = wire.AppendAString(dst, name)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ']')
	if p.Set {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, p.Offset, 10)
		dst = append(dst, '>')
	}
	return dst
}
