package index

// A Query says what a mail must have to be a candidate. The zero value excludes no mail.
type Query struct {
	op     queryOp
	needle []uint32
	kids   []Query
}

type queryOp uint8

const (
	everything queryOp = iota
	needle
	allOf
	anyOf
)

// Holds is the query for mails with a text, mapped by casemap, in a field.
func Holds(f Field, text string) Query {
	bits := Needle(f, text)
	if len(bits) == 0 {
		return Query{}
	}
	return Query{op: needle, needle: bits}
}

// All is the query for mails that all of the queries ask for.
func All(kids ...Query) Query {
	q := Query{op: allOf}
	for _, kid := range kids {
		if !kid.Everything() {
			q.kids = append(q.kids, kid)
		}
	}
	switch len(q.kids) {
	case 0:
		return Query{}
	case 1:
		return q.kids[0]
	}
	return q
}

// Any is the query for mails that any of the queries asks for; without queries, for every mail.
func Any(kids ...Query) Query {
	for _, kid := range kids {
		if kid.Everything() {
			return Query{}
		}
	}
	switch len(kids) {
	case 0:
		return Query{}
	case 1:
		return kids[0]
	}
	return Query{op: anyOf, kids: kids}
}

// Everything reports whether the query excludes no mail.
func (q *Query) Everything() bool { return q.op == everything }

// eachBit calls f with the bits of all needles, some more than once.
func (q *Query) eachBit(f func(bit uint32)) {
	for _, bit := range q.needle {
		f(bit)
	}
	for i := range q.kids {
		q.kids[i].eachBit(f)
	}
}

// row reports whether a mail with these bits is a candidate.
func (q *Query) row(v vector) bool {
	switch q.op {
	case needle:
		for _, bit := range q.needle {
			if !v.has(int(bit)) {
				return false
			}
		}
	case allOf:
		for i := range q.kids {
			if !q.kids[i].row(v) {
				return false
			}
		}
	case anyOf:
		for i := range q.kids {
			if q.kids[i].row(v) {
				return true
			}
		}
		return false
	}
	return true
}

// block returns the candidates of a block, of which column has the columns; nil stands for one that
// cannot be read. The result is nil if no mail is excluded.
func (q *Query) block(column func(bit uint32) vector) vector {
	switch q.op {
	case needle:
		var out vector
		for _, bit := range q.needle {
			out = intersect(out, column(bit))
		}
		return out
	case allOf:
		var out vector
		for i := range q.kids {
			out = intersect(out, q.kids[i].block(column))
		}
		return out
	case anyOf:
		var out vector
		for i := range q.kids {
			v := q.kids[i].block(column)
			if v == nil {
				return nil
			}
			if out == nil {
				out = append(out, v...)
				continue
			}
			for k := range out {
				out[k] |= v[k]
			}
		}
		return out
	}
	return nil
}

// intersect returns out with only the bits of v; either may be nil, for all bits. It may change out.
func intersect(out, v vector) vector {
	if v == nil {
		return out
	}
	if out == nil {
		return append(out, v...)
	}
	for i := range out {
		out[i] &= v[i]
	}
	return out
}
