package mimestream

import (
	"bytes"
	"iter"
)

// Describe returns p with what its header block says of its body: parameters, disposition,
// description and the like, as a parser finds them. p has its place, type and sizes already, from a
// part table. Its children stay as they are. Header and MaxKeptBytes do not matter here: see
// FieldValues.
func (p *Part) Describe(header []byte) *Part {
	var c collector
	c.reset()
	c.write(header)
	root := Part{} // that the parts around p share room does not matter for one of them
	new(Parser).fill(&root, c.end().list)

	d := *p
	d.Params = root.Params
	d.Encoding = root.Encoding
	d.Disposition, d.DispositionParams = root.Disposition, root.DispositionParams
	d.ContentID, d.Description, d.MD5, d.Location = root.ContentID, root.Description, root.MD5, root.Location
	d.Language = root.Language
	if p.Degraded&DegradedBoundary != 0 {
		d.Params = nil // as describe has it
	}
	return &d
}

// FieldValues iterates over the values of the fields of that name (lower case) in a header block,
// each whole, as Field has them, however long and many they are.
func FieldValues(header []byte, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(header) > 0 {
			field, rest := cutField(header)
			header = rest
			if IsEmptyLine(field) {
				return
			}
			got, ok := FieldName(field)
			if !ok || len(got) != len(name) || !bytes.EqualFold(got, []byte(name)) {
				continue
			}
			if !yield(unfold(field[bytes.IndexByte(field, ':')+1:])) {
				return
			}
		}
	}
}

// cutField cuts the first field off a header block: a line, and those after it that begin with
// white space.
func cutField(header []byte) (field, rest []byte) {
	end := 0
	for {
		n := bytes.IndexByte(header[end:], '\n') + 1
		if n == 0 {
			return header, nil
		}
		end += n
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return header[:end], header[end:]
		}
	}
}
