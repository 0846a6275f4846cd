package imap

import "bytes"

// fieldNames is the list of a HEADER.FIELDS or HEADER.FIELDS.NOT section, in
// lower case.
type fieldNames []string

// has reports whether name is in the list; case does not matter.
func (f fieldNames) has(name []byte) bool {
	for _, n := range f {
		if equalFoldLower(name, n) {
			return true
		}
	}
	return false
}

// appendFields appends to dst those fields of header whose name is in the list
// (with not: is not in it), each with its folded lines exactly as they are
// (RFC 3501 section 6.4.5). An empty line ends the result of HEADER.FIELDS always, and
// that of HEADER.FIELDS.NOT where header has one: that is what Dovecot
// answers, and clients count on it to find the end of the fields.
func (f fieldNames) appendFields(dst, header []byte, not bool) []byte {
	start := len(dst)
	take := not // lines before the first field have no name
	for len(header) > 0 {
		line := header
		if i := bytes.IndexByte(header, '\n'); i >= 0 {
			line = header[:i+1]
		}
		header = header[len(line):]
		switch {
		case isEmptyLine(line):
			return append(dst, line...)
		case line[0] == ' ' || line[0] == '\t':
			// A continuation goes the way of its field.
		default:
			take = f.has(fieldName(line)) != not
		}
		if take {
			dst = append(dst, line...)
		}
	}
	if not {
		return dst
	}
	if n := len(dst); n > start && dst[n-1] != '\n' {
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// fieldName returns the name that starts a header line: what stands before the
// colon, without trailing white space (RFC 5322 section 4.5.8). A line without a colon
// has no name.
func fieldName(line []byte) []byte {
	name, _, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return nil
	}
	return bytes.TrimRight(name, " \t")
}

// isEmptyLine reports a line end with nothing before it.
func isEmptyLine(line []byte) bool {
	return line[0] == '\n' || len(line) >= 2 && line[0] == '\r' && line[1] == '\n'
}
