package envelope

import "strings"

// baseSubject takes from a decoded subject what replies and forwards have added to it (RFC 5256
// section 2.1). reply says that something of that kind was there.
func baseSubject(subject string) (base string, reply bool) {
	s := human(subject)
	for {
		// (2) trailers
		for {
			s = strings.TrimRight(s, " ")
			if len(s) < 5 || !strings.EqualFold(s[len(s)-5:], "(fwd)") {
				break
			}
			s, reply = s[:len(s)-5], true
		}
		// (3) to (5) leaders and blobs
		for {
			s = strings.TrimLeft(s, " ")
			if rest, ok := cutLeader(s); ok {
				s, reply = rest, true
				continue
			}
			rest, ok := cutBlob(s)
			if !ok || rest == "" {
				break
			}
			s = rest
		}
		// (6) [fwd: ...]
		if len(s) < 6 || !strings.EqualFold(s[:5], "[fwd:") || s[len(s)-1] != ']' {
			return s, reply
		}
		s, reply = s[5:len(s)-1], true
	}
}

// cutBlob removes "[anything]" and the spaces after it.
func cutBlob(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]") + 1
	if end == 0 || s[end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+1:], " "), true
}

// cutLeader removes any blobs followed by "re", "fw" or "fwd", perhaps another blob, and a colon.
func cutLeader(s string) (rest string, ok bool) {
	rest = s
	for found := true; found; {
		rest, found = cutBlob(rest)
	}
	switch {
	case len(rest) >= 3 && strings.EqualFold(rest[:3], "fwd"):
		rest = rest[3:]
	case len(rest) >= 2 && (strings.EqualFold(rest[:2], "re") || strings.EqualFold(rest[:2], "fw")):
		rest = rest[2:]
	default:
		return s, false
	}
	rest, _ = cutBlob(strings.TrimLeft(rest, " "))
	rest, ok = strings.CutPrefix(rest, ":")
	if !ok {
		return s, false
	}
	return rest, true
}
