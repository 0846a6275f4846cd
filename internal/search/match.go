package search

import (
	"slices"
	"time"

	"gadwall/internal/mailstore"
)

// truth is what is known of a key: of a text that was read in part, only that
// it may still be found.
type truth int8

const (
	no    truth = -1
	maybe truth = 0
	yes   truth = 1
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// matcher decides the residual of a search for one message after the other. A
// message is read only as far as it takes: document, header, parts.
type matcher struct {
	residual node
	leaves   []*Key  // those that the content may have to tell
	known    []truth // of leaves, for the current message
	finds    int     // how many were found in it

	fields map[string]*fieldLeaves // by name of the header field, lower case
	texts  *finder                 // for the leaves of Body and Text; nil: none

	msg    *mailstore.Message
	want   mailstore.Fields // what the residual needs of the document
	header bool             // some leaf needs the header of the message
	parts  bool             // some leaf needs its text parts

	reader

	sink sink // kept from one message to the next
}

// node is a Key of the residual.
type node struct {
	*Key
	kids []node
	leaf int // its place in leaves, -1 if the document decides it
}

// fieldLeaves are the leaves that look in header fields of one name.
type fieldLeaves struct {
	all   []int
	any   []int   // those that ask only whether there is such a field
	texts *finder // of the others; nil: none
}

func newMatcher(residual *Key) *matcher {
	m := &matcher{fields: make(map[string]*fieldLeaves), want: mailstore.FieldContent}
	m.residual = m.add(residual)
	m.known = make([]truth, len(m.leaves))
	var texts []int
	for i, leaf := range m.leaves {
		if leaf.op == opBody || leaf.op == opText {
			texts = append(texts, i)
		}
	}
	if len(texts) > 0 {
		m.texts = newFinder(m, texts)
	}
	for _, f := range m.fields {
		texts = texts[:0]
		for _, i := range f.all {
			if m.leaves[i].text == "" {
				f.any = append(f.any, i)
			} else {
				texts = append(texts, i)
			}
		}
		if len(texts) > 0 {
			f.texts = newFinder(m, texts)
		}
	}
	return m
}

// add takes in a key, and notes what it needs.
func (m *matcher) add(k *Key) node {
	n := node{Key: k, leaf: -1}
	switch k.op {
	case opHeader:
		m.header = true
	case opText:
		m.header, m.parts = true, true
	case opBody:
		m.parts = true
	case opFlag, opKeyword, opModSeq:
		m.want |= mailstore.FieldFlags
	case opInternal:
		m.want |= mailstore.FieldInternalDate
	case opSaved:
		m.want |= mailstore.FieldSaveDate
	case opNumber:
		m.want |= mailstore.FieldNumber
	case opThread:
		m.want |= mailstore.FieldThread
	case opSize:
		m.want |= mailstore.FieldSize
	case opSent, opAttached:
		m.want |= mailstore.FieldSearch
	case opField:
		m.want |= mailstore.FieldSearch
		m.header = true
	}
	if k.op >= opField {
		n.leaf = len(m.leaves)
		m.leaves = append(m.leaves, k)
	}
	if k.op == opField || k.op == opHeader {
		f := m.fields[k.name]
		if f == nil {
			f = new(fieldLeaves)
			m.fields[k.name] = f
		}
		f.all = append(f.all, n.leaf)
	}
	for _, kid := range k.kids {
		n.kids = append(n.kids, m.add(kid))
	}
	return n
}

// found notes that a leaf is fulfilled.
func (m *matcher) found(leaf int) {
	if m.known[leaf] == maybe {
		m.known[leaf] = yes
		m.finds++
	}
}

// begin turns to another message, and decides what its document does.
func (m *matcher) begin(msg *mailstore.Message) {
	m.msg, m.finds = msg, 0
	clear(m.known)
	if !msg.TextsWhole {
		return // only the header tells
	}
	for name, f := range m.fields {
		stored, ok := storedFields[name]
		if !ok || f.texts == nil {
			continue
		}
		f.texts.begin(setOf(opField))
		f.texts.run(0, []byte(stored.value(msg)))
	}
	m.settle(opField)
}

// settle ends the doubt about the leaves of ops: what was not found up to now is
// not there.
func (m *matcher) settle(ops ...op) {
	set := setOf(ops...)
	for i, leaf := range m.leaves {
		if m.known[i] == maybe && set.has(leaf.op) {
			m.known[i] = no
		}
	}
}

// result is what is known of the whole residual.
func (m *matcher) result() truth { return m.eval(&m.residual) }

// decided reports whether reading on cannot change the result.
func (m *matcher) decided() bool { return m.result() != maybe }

func (m *matcher) eval(n *node) truth {
	switch n.op {
	case opAnd:
		t := yes
		for i := range n.kids {
			if t = min(t, m.eval(&n.kids[i])); t == no {
				break
			}
		}
		return t
	case opOr:
		t := no
		for i := range n.kids {
			if t = max(t, m.eval(&n.kids[i])); t == yes {
				break
			}
		}
		return t
	case opNot:
		return -m.eval(&n.kids[0])
	}
	if n.leaf >= 0 {
		return m.known[n.leaf]
	}
	return truthOf(matchDocument(n.Key, m.msg))
}

// matchDocument decides a leaf by the message's document, as the database
// decides the condition that compileLeaf makes of it.
func matchDocument(k *Key, msg *mailstore.Message) bool {
	switch k.op {
	case opUIDs:
		return k.uids.Contains(msg.UID)
	case opFlag:
		return msg.Flags&k.flag != 0
	case opKeyword:
		return mailstore.FindKeyword(msg.Keywords, k.name) >= 0
	case opInternal:
		return inTime(k, msg.InternalDate)
	case opSaved:
		return inTime(k, msg.SaveDate)
	case opNumber:
		return int64(msg.Number) == k.min
	case opThread:
		return int64(msg.Thread) == k.min
	case opAttached:
		return msg.HasAttachments
	case opSent:
		return !msg.SentDay.IsZero() && inTime(k, msg.SentDay)
	case opSize:
		return k.min <= msg.Size && msg.Size <= k.max
	case opModSeq:
		return msg.ModSeq >= uint64(k.min)
	}
	return false
}

// ofRows reports whether a search asks for nothing but what Request.Rows gives of a message.
func (k *Key) ofRows() bool {
	switch k.op {
	case opAnd, opOr, opNot:
		return !slices.ContainsFunc(k.kids, func(kid *Key) bool { return !kid.ofRows() })
	case opUIDs, opFlag, opKeyword, opInternal, opSize, opModSeq, opNumber:
		return true
	}
	return false
}

// matchRow decides a search that is ofRows.
func matchRow(k *Key, msg *mailstore.Message) bool {
	switch k.op {
	case opAnd:
		return !slices.ContainsFunc(k.kids, func(kid *Key) bool { return !matchRow(kid, msg) })
	case opOr:
		return slices.ContainsFunc(k.kids, func(kid *Key) bool { return matchRow(kid, msg) })
	case opNot:
		return !matchRow(k.kids[0], msg)
	}
	return matchDocument(k, msg)
}

func inTime(k *Key, t time.Time) bool {
	return (k.from.IsZero() || !t.Before(k.from)) && (k.to.IsZero() || t.Before(k.to))
}
