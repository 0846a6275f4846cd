package imap

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gadwall/internal/dovecottest"
)

// alike leaves of the responses to a command what Dovecot and Gadwall should agree on; the last one
// is the tagged one. docs/imap-differences.md says what is left out, and why.
func alike(command string, responses []string) (lines []string) {
	upper := strings.ToUpper(command)
	fetched := make(map[string][]string) // items of FETCH responses by number
	var expunged []int
	for _, r := range responses {
		if m := statusResponse.FindStringSubmatch(r); m != nil {
			if line := alikeStatus(upper, m[1] != "", m[2], m[3], m[4]); line != "" {
				lines = append(lines, line)
			}
			continue
		}
		text, ok := strings.CutPrefix(r, "* ")
		if !ok {
			lines = append(lines, r)
			continue
		}
		v, err := dovecottest.Parse("(" + text + ")")
		if err != nil || len(v.List) == 0 {
			lines = append(lines, fmt.Sprintf("%q", r))
			continue
		}
		word := func(i int) string {
			if i >= len(v.List) {
				return ""
			}
			return strings.ToUpper(v.List[i].Text)
		}
		switch number, err := strconv.Atoi(word(0)); {
		case err == nil && word(1) == "EXPUNGE":
			expunged = append(expunged, number)
		case err == nil && word(1) == "RECENT":
		case err == nil && word(1) == "FETCH" && len(v.List) == 3:
			fetched[word(0)] = append(fetched[word(0)], alikeItems(upper, v.List[2].List)...)
		case word(0) == "CAPABILITY" || word(0) == "ID":
			lines = append(lines, "* "+word(0))
		case word(0) == "FLAGS":
			lines = append(lines, "* FLAGS "+alikeFlags(v.List[1]))
		case word(0) == "LIST" || word(0) == "LSUB":
			lines = append(lines, alikeList(upper, v.List))
		case word(0) == "MYRIGHTS" || word(0) == "LISTRIGHTS" || word(0) == "ACL":
			lines = append(lines, "* "+word(0)+" "+alikeRights(word(0), v.List[1:]))
		case word(0) == "QUOTAROOT":
			v.List[0].Kind = dovecottest.String
			lines = append(lines, "* "+text1(v))
		case word(0) == "STATUS" && len(v.List) == 3:
			lines = append(lines, fmt.Sprintf("* STATUS %s %s", text1(v.List[1]), pairs(v.List[2].List)))
		case word(0) == "ENABLED":
			slices.SortFunc(v.List[1:], func(a, b dovecottest.Value) int {
				return strings.Compare(a.Text, b.Text)
			})
			fallthrough
		default:
			line := strings.TrimSuffix(strings.TrimPrefix(v.String(), "("), ")")
			lines = append(lines, "* "+ownNumbers.ReplaceAllString(line, "$1 n"))
		}
	}
	for number, items := range fetched {
		slices.Sort(items)
		lines = append(lines, "* "+number+" FETCH "+strings.Join(slices.Compact(items), " "))
	}
	if len(expunged) > 0 {
		lines = append(lines, "* EXPUNGE "+fmt.Sprint(asNumbered(expunged)))
	}
	slices.Sort(lines) // the order of untagged responses is free
	return lines
}

var (
	statusResponse = regexp.MustCompile(
		`^(\* )?(OK|NO|BAD|BYE|PREAUTH) ?(?:\[([A-Z0-9-]+) ?((?:[^]"]|"[^"]*")*)\])?`)
	// ownNumbers are those that each server has of its own.
	ownNumbers = regexp.MustCompile(`\b(UIDVALIDITY|HIGHESTMODSEQ|MODSEQ) \(?\d+\)?`)
)

// withoutCode are response codes that tell no more than the text does, of which Dovecot sends few.
var withoutCode = []string{"CLIENTBUG", "NONEXISTENT", "ALREADYEXISTS", "HASCHILDREN",
	"EXPUNGEISSUED", "CANNOT", "CLOSED", "NOPERM"}

func alikeStatus(command string, untagged bool, kind, code, args string) string {
	switch {
	case slices.Contains(withoutCode, code):
		code, args = "", ""
	case code == "HIGHESTMODSEQ" || code == "NOMODSEQ":
		if untagged && !strings.Contains(command, "CONDSTORE") && !strings.Contains(command, "QRESYNC") {
			return "" // Dovecot tells it when it was asked for
		}
		args = "n"
	case code == "UIDVALIDITY" || code == "UNSEEN":
		if code == "UIDVALIDITY" {
			args = "n"
		}
	case code == "APPENDUID" || code == "COPYUID":
		_, rest, _ := strings.Cut(args, " ")
		args = "n " + rest
	case code == "MAILBOXID":
		if untagged {
			return ""
		}
		code, args = "", ""
	case code == "CAPABILITY" || code == "BADCHARSET":
		args = ""
	case code == "PERMANENTFLAGS":
		if v, err := dovecottest.Parse(args); err == nil {
			args = alikeFlags(v)
		}
	}
	line := kind
	if untagged {
		line = "* " + kind
	}
	if code != "" {
		line += " [" + strings.TrimSpace(code+" "+args) + "]"
	}
	if untagged && line == "* OK" {
		return "" // text for people
	}
	return line
}

// alikeFlags leaves out \Recent and the keywords that Gadwall names always.
func alikeFlags(v dovecottest.Value) string {
	var flags []string
	for _, f := range v.List {
		if f.Kind == dovecottest.Nil {
			f.Text = f.String() // a keyword may have this name
		}
		if f.Text != `\Recent` && !slices.Contains(knownKeywords, f.Text) {
			flags = append(flags, f.Text)
		}
	}
	slices.Sort(flags)
	return "(" + strings.Join(flags, " ") + ")"
}

// alikeItems are the items of a FETCH response, each with its value.
func alikeItems(command string, list []dovecottest.Value) (items []string) {
	for i := 0; i+1 < len(list); i += 2 {
		name, value := strings.ToUpper(list[i].Text), list[i+1]
		text := value.String()
		switch {
		case name == "FLAGS":
			text = alikeFlags(value)
			for _, f := range value.List {
				if slices.Contains(knownKeywords, f.Text) {
					text += " " + f.Text
				}
			}
		case name == "MODSEQ":
			text = "n"
		case name == "UID" && !strings.Contains(command, "UID"):
			continue // Gadwall tells it with changes by others
		case name == "INTERNALDATE" || name == "SAVEDATE":
			text = alikeDate(value.Text)
		}
		items = append(items, strings.ReplaceAll(name, `"`, "")+" "+text)
	}
	return items
}

// alikeDate is a date as it is, or "now" if it is not long ago.
func alikeDate(s string) string {
	const recent = 24 * time.Hour
	d, err := time.Parse("_2-Jan-2006 15:04:05 -0700", s)
	if err == nil && time.Since(d).Abs() < recent {
		return "now"
	}
	return strings.TrimLeft(s, " 0") // the first digit may be a space
}

// alikeList is a LIST or LSUB response with its attributes in order.
func alikeList(command string, list []dovecottest.Value) string {
	var attributes, rest []string
	if len(list) > 1 {
		for _, a := range list[1].List {
			if name := alikeAttribute(command, a.Text); name != "" {
				attributes = append(attributes, name)
			}
		}
		slices.Sort(attributes)
		for _, v := range list[2:] {
			rest = append(rest, text1(v))
		}
	}
	return fmt.Sprintf("* %s (%s) %s", list[0].Text, strings.Join(attributes, " "),
		strings.Join(rest, " "))
}

// extendedList is LIST as RFC 5258 extends it: with options or several patterns.
var extendedList = regexp.MustCompile(`^LIST (\(|.* RETURN |.* \([^"]|.* \(")`)

// alikeAttribute leaves out what the client did not ask for with RFC 5258, and special uses in LSUB.
func alikeAttribute(command, name string) string {
	extended := extendedList.MatchString(command)
	switch name {
	case `\Marked`, `\UnMarked`:
		return ""
	case `\NonExistent`:
		return `\Noselect` // is implied
	case `\HasChildren`, `\HasNoChildren`:
		if extended && !strings.Contains(command, "CHILDREN") {
			return ""
		}
	case `\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`:
		if (extended || strings.HasPrefix(command, "LSUB")) && !strings.Contains(command, "SPECIAL-USE") {
			return ""
		}
	}
	return name
}

// alikeRights are identifiers and rights, with the letters of each in order. Gadwall lists the owner,
// too.
func alikeRights(response string, list []dovecottest.Value) string {
	var words []string
	ownersAt := -1
	for i, v := range list {
		if i > 0 && v.Text == "<owner>" {
			ownersAt = i
		}
		switch letters := strings.Split(v.Text, ""); {
		case ownersAt > 0 && i-ownersAt <= 1:
		case i > 0 && v.Text != "<guest>" && (response != "LISTRIGHTS" || i > 1):
			slices.Sort(letters)
			words = append(words, strings.Join(letters, ""))
		default:
			words = append(words, text1(v))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// text1 is a value in one form, whether it came as an atom or as a string.
func text1(v dovecottest.Value) string {
	switch v.Kind {
	case dovecottest.Atom:
		return strconv.Quote(v.Text)
	case dovecottest.List:
		var list []string
		for _, e := range v.List {
			list = append(list, text1(e))
		}
		return "(" + strings.Join(list, " ") + ")"
	}
	return v.String()
}

// pairs are the items of STATUS in order.
func pairs(list []dovecottest.Value) string {
	var items []string
	for i := 0; i+1 < len(list); i += 2 {
		items = append(items, list[i].String()+" "+list[i+1].String())
	}
	slices.Sort(items)
	return "(" + ownNumbers.ReplaceAllString(strings.Join(items, " "), "$1 n") + ")"
}

// asNumbered returns the numbers that the messages had before the first EXPUNGE.
func asNumbered(expunged []int) (before []int) {
	for _, n := range expunged {
		for _, gone := range before { // in ascending order
			if gone <= n {
				n++
			}
		}
		before = append(before, n)
		slices.Sort(before)
	}
	return before
}

func TestAsNumbered(t *testing.T) {
	for _, c := range []struct{ expunged, want []int }{
		{[]int{4, 2, 1}, []int{1, 2, 4}}, {[]int{1, 1, 2}, []int{1, 2, 4}},
		{[]int{2, 1, 3}, []int{1, 2, 5}},
	} {
		if got := asNumbered(c.expunged); !slices.Equal(got, c.want) {
			t.Errorf("%d: %d, want %d", c.expunged, got, c.want)
		}
	}
}
