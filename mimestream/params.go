package mimestream

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A scanner reads the tokens of a structured field value (RFC 2045 section 5.1). It takes the
// tokens that it understands and steps over the rest.
type scanner struct{ rest string }

// skip steps over white space and comments, nested ones too (RFC 5322 section 3.2.2).
func (s *scanner) skip() {
	for s.rest != "" {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
		case '(':
			s.comment()
		default:
			return
		}
	}
}

// comment takes a comment, which reaches to the end of the value if it is not closed. It reports
// whether it is.
func (s *scanner) comment() (closed bool) {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.rest = s.rest[i+1:]
				return true
			}
		}
	}
	s.rest = ""
	return false
}

func (s *scanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// token takes the longest run of token octets; 8-bit ones count as such.
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isToken(s.rest[n]) {
		n++
	}
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t
}

func isToken(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte("()<>@,;:\\\"/[]?=", c) < 0
}

// value takes a parameter's value: a quoted string, or whatever stands there up to a semicolon or
// white space. Many mailers forget to quote what they should.
func (s *scanner) value() string {
	if !s.take('"') {
		n := strings.IndexAny(s.rest, "; \t\"")
		if n < 0 {
			n = len(s.rest)
		}
		v := s.rest[:n]
		s.rest = s.rest[n:]
		return v
	}
	var sb strings.Builder
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return sb.String()
		case '\\':
			if i++; i < len(s.rest) {
				sb.WriteByte(s.rest[i])
			}
		default:
			sb.WriteByte(c)
		}
	}
	s.rest = ""
	return sb.String()
}

// params takes the parameters that follow, continuations joined.
func (s *scanner) params() []Param {
	var params []Param
	var sections []paramSection
	for n := 0; n < MaxParams; {
		s.skip()
		if s.rest == "" {
			break
		}
		if s.take(';') {
			continue
		}
		name := s.token()
		s.skip()
		if name == "" || !s.take('=') {
			if name == "" {
				s.rest = s.rest[1:]
			}
			continue
		}
		s.skip()
		value := s.value()
		n++
		if p, ok := splitName(name, value); ok {
			sections = append(sections, p)
			continue
		}
		params = append(params, plainParam(name, value))
	}
	return append(params, join(sections)...)
}

func plainParam(name, value string) Param {
	name = truncate(name, MaxToken)
	value = truncate(value, MaxParamBytes)
	return Param{Name: strings.ToLower(name), Value: DecodeWords(value), RawName: name, RawValue: value}
}

// A paramSection is a section of a continued or extended parameter (RFC 2231 sections 3 and 4).
type paramSection struct {
	name     string
	section  int
	extended bool // percent-encoded
	value    string
}

// splitName reads "name*", "name*0" and "name*0*".
func splitName(name, value string) (paramSection, bool) {
	base, section, found := strings.Cut(name, "*")
	if !found || base == "" {
		return paramSection{}, false
	}
	p := paramSection{name: truncate(base, MaxToken), value: value}
	if section == "" {
		p.extended = true
		return p, true
	}
	section, p.extended = strings.CutSuffix(section, "*")
	n, err := strconv.ParseUint(section, 10, 16)
	if err != nil {
		return paramSection{}, false
	}
	p.section = int(n)
	return p, true
}

// join joins the sections of each parameter. Sections without a first one, or after a gap, stay
// parameters with an odd name.
func join(sections []paramSection) []Param {
	slices.SortStableFunc(sections, func(a, b paramSection) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), a.section-b.section)
	})
	var params []Param
	for len(sections) > 0 {
		n := 1
		for n < len(sections) && strings.EqualFold(sections[n].name, sections[0].name) &&
			sections[n].section == sections[n-1].section+1 {
			n++
		}
		params = append(params, joined(sections[:n]))
		sections = sections[n:]
	}
	return params
}

func joined(run []paramSection) Param {
	extended := slices.ContainsFunc(run, func(p paramSection) bool { return p.extended })
	var raw, octets strings.Builder
	charset := ""
	for i, p := range run {
		v := p.value
		if i == 0 && p.extended {
			charset, v = splitCharset(v)
		}
		if p.extended {
			v = percentDecode(v)
		}
		octets.WriteString(v)
		switch {
		case !extended || p.extended:
			raw.WriteString(p.value)
		default:
			if i == 0 {
				raw.WriteString("''")
			}
			raw.WriteString(percentEncode(p.value))
		}
	}
	p := Param{
		Name:     strings.ToLower(run[0].name),
		Value:    truncate(octets.String(), MaxParamBytes),
		RawName:  run[0].name,
		RawValue: truncate(raw.String(), MaxParamBytes),
	}
	if run[0].section > 0 {
		p.RawName += "*" + strconv.Itoa(run[0].section)
		p.Name = strings.ToLower(p.RawName)
	}
	if extended {
		p.RawName += "*"
		p.Value = DecodeCharset(charset, p.Value)
	} else {
		p.Value = DecodeWords(p.Value)
	}
	return p
}

// splitCharset splits charset'language'value; a value without quotes has neither.
func splitCharset(v string) (charset, rest string) {
	charset, tail, ok := strings.Cut(v, "'")
	if !ok {
		return "", v
	}
	_, rest, ok = strings.Cut(tail, "'")
	if !ok {
		return "", v
	}
	return charset, rest
}

func percentDecode(s string) string {
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				sb.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		sb.WriteByte(s[i])
	}
	return sb.String()
}

func percentEncode(s string) string {
	const hex = "0123456789abcdef"
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '%' || c == '*' || c == '\'' || !isToken(c) || c >= 0x80 {
			sb.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		sb.WriteByte(s[i])
	}
	return sb.String()
}
