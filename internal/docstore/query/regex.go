package query

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// regex is a regular expression. MongoDB has PCRE's syntax; this one has Go's. What both have means
// the same here, after the few differences below are written out; whatever else is refused:
//
//   - "$" also matches before a line end that ends the text;
//   - in multi-line mode "^" does not match after such a line end;
//   - \s includes the vertical tab;
//   - the option x, which Go lacks.
type regex struct {
	pattern, options []byte
	re               *regexp.Regexp
	// prefix is literal text with which every matching string starts; only is set when no more is
	// asked.
	prefix string
	only   bool
}

// test: strings and symbols are searched; a regular expression matches itself.
func (r *regex) test(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol:
		if r.only {
			s := rawdoc.String(v)
			return len(s) >= len(r.prefix) && string(s[:len(r.prefix)]) == r.prefix
		}
		return r.re.Match(rawdoc.String(v))
	case bson.TypeRegex:
		p, o := rawdoc.Regex(v)
		return bytes.Equal(p, r.pattern) && bytes.Equal(o, r.options)
	}
	return false
}

// newRegex compiles a pattern with MongoDB's options.
func newRegex(pattern, options string) (*regex, error) {
	if strings.IndexByte(pattern, 0) >= 0 || strings.IndexByte(options, 0) >= 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "Regular expression cannot contain an embedded null byte")
	}
	if len(pattern) > MaxRegexLength {
		return nil, mongoerr.New(mongoerr.RegexInvalid,
			"Regular expression is invalid: regular expression is too large")
	}
	flags := syntax.Perl | syntax.UnicodeGroups
	extended := false
	for _, c := range options {
		switch c {
		case 'i':
			flags |= syntax.FoldCase
		case 'm':
			flags &^= syntax.OneLine
		case 's':
			flags |= syntax.DotNL
		case 'x':
			extended = true
		default:
			return nil, mongoerr.New(mongoerr.RegexBadOption, "invalid flag in regex options: %c", c)
		}
	}
	src, err := fromPCRE(pattern, extended)
	if err != nil {
		return nil, err
	}
	ast, err := syntax.Parse(src, flags)
	if err != nil {
		return nil, mongoerr.New(mongoerr.RegexInvalid, "Regular expression is invalid: %s", err)
	}
	r := &regex{pattern: []byte(pattern), options: []byte(options)}
	r.prefix, r.only = literalPrefix(ast)
	if !fixAnchors(ast, context{}) {
		return nil, mongoerr.New(mongoerr.RegexInvalid,
			"Regular expression is invalid: an anchor is not supported at this place: %s", pattern)
	}
	if r.re, err = regexp.Compile(ast.String()); err != nil {
		return nil, mongoerr.New(mongoerr.RegexInvalid, "Regular expression is invalid: %s", err)
	}
	return r, nil
}

// fromPCRE rewrites the escapes that mean something else in Go, refuses those that only look alike,
// and removes what the option x ignores.
func fromPCRE(p string, extended bool) (string, error) {
	var out strings.Builder
	class := false
	// length of out after a group of flags alone, which PCRE does not let a quantifier follow
	flagsEnd := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if flagsEnd > 0 && out.Len() == flagsEnd && strings.IndexByte("*+?{", c) >= 0 {
			return "", mongoerr.New(mongoerr.RegexInvalid,
				"Regular expression is invalid: quantifier does not follow a repeatable item")
		}
		switch {
		case c == '\\' && i+1 < len(p):
			i++
			if p[i] == 'Q' {
				end := strings.Index(p[i:], `\E`)
				if class || end < 0 {
					return "", unsupportedEscape(p[i])
				}
				out.WriteString(regexp.QuoteMeta(p[i+1 : i+end]))
				i += end + 1
				continue
			}
			s, err := escape(p[i], class)
			if err != nil {
				return "", err
			}
			out.WriteString(s)
		case class:
			out.WriteByte(c)
			if c == ']' {
				class = false
			} else if named := namedClass(p[i:]); named > 0 {
				out.WriteString(p[i+1 : i+named])
				i += named - 1
			}
		case c == '[':
			class = true
			out.WriteByte(c)
			if i+1 < len(p) && p[i+1] == '^' {
				i++
				out.WriteByte('^')
			}
			if i+1 < len(p) && p[i+1] == ']' { // first in a class, it is literal
				i++
				out.WriteString(`\]`)
			}
		case c == '(' && flagGroup(p[i:]) > 0:
			n := flagGroup(p[i:])
			out.WriteString(p[i : i+n])
			i += n - 1
			flagsEnd = out.Len()
		case extended && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
		case extended && c == '#':
			for i < len(p) && p[i] != '\n' {
				i++
			}
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

// flagGroup returns the length of a leading group that only sets flags, such as (?i), or 0.
func flagGroup(p string) int {
	if !strings.HasPrefix(p, "(?") {
		return 0
	}
	n := 2 + len(p[2:]) - len(strings.TrimLeft(p[2:], "imsxU-"))
	if n < len(p) && p[n] == ')' {
		return n + 1
	}
	return 0
}

// namedClass returns the length of a leading [:name:], or 0.
func namedClass(p string) int {
	if !strings.HasPrefix(p, "[:") {
		return 0
	}
	end := strings.Index(p, ":]")
	if end < 2 {
		return 0
	}
	return end + 2
}

func escape(c byte, class bool) (string, error) {
	switch {
	case c == 's' && class:
		return `\t-\r `, nil
	case c == 's':
		return `[\t-\r ]`, nil
	case c == 'S' && class:
		return `\x00-\x08\x0e-\x1f!-\x{10FFFF}`, nil
	case c == 'S':
		return `[^\t-\r ]`, nil
	case c == 'v' || c == 'E' || c >= '1' && c <= '9', c == 'b' && class, c == 'C':
		return "", unsupportedEscape(c)
	}
	return string([]byte{0x5c, c}), nil
}

func unsupportedEscape(c byte) error {
	return mongoerr.New(mongoerr.RegexInvalid, `Regular expression is invalid: the escape \%c is not supported`, c)
}

// context says what follows a part of a pattern.
type context struct {
	more    bool // something follows
	consume bool // what follows takes at least one character
}

// fixAnchors rewrites "$" at the end of a pattern so that it also matches before a last line end.
// It reports false for anchors at places where Go's would not do what PCRE's do.
func fixAnchors(re *syntax.Regexp, ctx context) bool {
	switch re.Op {
	case syntax.OpEndText:
		if re.Flags&syntax.WasDollar == 0 {
			return true // \z
		}
		if ctx.more {
			return false
		}
		nl := &syntax.Regexp{Op: syntax.OpQuest, Sub: []*syntax.Regexp{{Op: syntax.OpLiteral, Rune: []rune{'\n'}}}}
		end := &syntax.Regexp{Op: syntax.OpEndText}
		*re = syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{nl, end}}
		return true
	case syntax.OpBeginLine:
		return ctx.consume
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			// What follows is looked at before it is rewritten, and the last part first.
			consume := minLength(re.Sub[i]) > 0
			if !fixAnchors(re.Sub[i], ctx) {
				return false
			}
			ctx = context{more: true, consume: ctx.consume || consume}
		}
		return true
	case syntax.OpAlternate, syntax.OpCapture:
		for _, sub := range re.Sub {
			if !fixAnchors(sub, ctx) {
				return false
			}
		}
		return true
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return fixAnchors(re.Sub[0], context{more: true, consume: ctx.consume})
	}
	return true
}

// minLength is how many characters re takes at least; counted only up to "some".
func minLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return minLength(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min == 0 {
			return 0
		}
		return minLength(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if minLength(sub) > 0 {
				return 1
			}
		}
		return 0
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if minLength(sub) == 0 {
				return 0
			}
		}
		return 1
	}
	return 0
}

// literalPrefix returns the literal text after a leading \A or ^, and whether that is all of the
// pattern.
func literalPrefix(re *syntax.Regexp) (prefix string, only bool) {
	if re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return "", false
	}
	lit := re.Sub[1]
	if lit.Op != syntax.OpLiteral || lit.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	return string(lit.Rune), len(re.Sub) == 2
}
