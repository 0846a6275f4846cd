package mimestream

import "bytes"

// IsEmptyLine reports whether a line of a header, line end included, has nothing before its line
// end, or only some CRs (maxCRs). Such a line ends the header block.
func IsEmptyLine(line []byte) bool {
	n, _ := emptyLineLen(line, true)
	return n > 0 && n == len(line)
}

// FieldName returns the name with which a header line starts: what stands before the colon, without
// the white space that RFC 5322 section 4.5.8 allows there. ok is false for a line without a colon,
// which is no field.
func FieldName(line []byte) (name []byte, ok bool) {
	name, _, ok = bytes.Cut(line, []byte{':'})
	if !ok {
		return nil, false
	}
	return bytes.TrimRight(name, " \t"), true
}
