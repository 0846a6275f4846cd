package dovecottest

import (
	"fmt"
	"strconv"
	"strings"
)

// A Value is a piece of response data: NIL, an atom or number, a string in any form, or a list.
type Value struct {
	Kind Kind
	Text string // of an Atom or String
	List []Value
}

// Kind is the kind of a Value.
type Kind uint8

const (
	Nil Kind = iota
	Atom
	String // quoted or literal
	List
)

// String writes the value in one way whatever way it came: strings quoted.
func (v Value) String() string {
	switch v.Kind {
	case Nil:
		return "NIL"
	case Atom:
		return v.Text
	case String:
		return strconv.Quote(v.Text)
	}
	parts := make([]string, len(v.List))
	for i, e := range v.List {
		parts[i] = e.String()
	}
	return "(" + strings.Join(parts, " ") + ")"
}

// Parse reads one value; nothing may follow it.
func Parse(s string) (Value, error) {
	p := valueParser{s}
	v, err := p.value()
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%.40q after the value", p.rest)
	}
	return v, err
}

type valueParser struct{ rest string }

func (p *valueParser) value() (Value, error) {
	switch {
	case p.rest == "":
		return Value{}, fmt.Errorf("value ends early")
	case p.rest[0] == '(':
		return p.list()
	case p.rest[0] == '"':
		return p.quoted()
	case p.rest[0] == '{' || strings.HasPrefix(p.rest, "~{"):
		return p.literal()
	}
	// An atom; what is in the brackets of BODY[HEADER.FIELDS (A B)] belongs to it. Names of flags
	// may have a bracket, too.
	depth, n := 0, 0
	for ; n < len(p.rest); n++ {
		switch c := p.rest[n]; {
		case c == '[' && sectioned(p.rest[:n]):
			depth++
		case c == ']' && depth > 0:
			depth--
		case depth <= 0 && strings.IndexByte(" ()\"{", c) >= 0:
			goto done
		}
	}
done:
	if n == 0 {
		return Value{}, fmt.Errorf("no value at %.40q", p.rest)
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	if strings.EqualFold(text, "NIL") {
		return Value{}, nil
	}
	return Value{Kind: Atom, Text: text}, nil
}

// sectioned reports whether a section in brackets follows the name of this FETCH item.
func sectioned(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasPrefix(name, "BODY") || strings.HasPrefix(name, "BINARY")
}

func (p *valueParser) list() (Value, error) {
	v := Value{Kind: List}
	p.rest = p.rest[1:]
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		if strings.HasPrefix(p.rest, ")") {
			p.rest = p.rest[1:]
			return v, nil
		}
		e, err := p.value()
		if err != nil {
			return Value{}, err
		}
		v.List = append(v.List, e)
	}
}

func (p *valueParser) quoted() (Value, error) {
	var sb strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return Value{Kind: String, Text: sb.String()}, nil
		case '\\':
			i++
			if i < len(p.rest) {
				sb.WriteByte(p.rest[i])
			}
		case '\r', '\n', 0:
			return Value{}, fmt.Errorf("octet %d in a quoted string", c)
		default:
			if c >= 0x80 {
				return Value{}, fmt.Errorf("8-bit octet in a quoted string")
			}
			sb.WriteByte(c)
		}
	}
	return Value{}, fmt.Errorf("quoted string without end")
}

func (p *valueParser) literal() (Value, error) {
	head, rest, ok := strings.Cut(strings.TrimPrefix(p.rest, "~"), "}\r\n")
	if !ok {
		return Value{}, fmt.Errorf("no literal at %.40q", p.rest)
	}
	n, err := strconv.Atoi(head[1:])
	if err != nil || n > len(rest) || n < 0 {
		return Value{}, fmt.Errorf("literal of %s octets, there are %d", head[1:], len(rest))
	}
	p.rest = rest[n:]
	return Value{Kind: String, Text: rest[:n]}, nil
}
