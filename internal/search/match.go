package search

import (
	"bytes"
	"strings"
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
	residual *Key
	leaves   []*Key       // those that the content may have to tell
	index    map[*Key]int // their places in leaves and known
	known    []truth      // for the current message

	msg    *mailstore.Message
	fields mailstore.Fields // what the other leaves need of the document
	header bool             // some leaf needs the header of the message
	parts  bool             // some leaf needs its text parts

	// Kept from one message to the next.
	raw     bytes.Buffer // a header or part as stored
	copying []byte
	sink    sink
}

func newMatcher(residual *Key) *matcher {
	m := &matcher{residual: residual, index: map[*Key]int{}, fields: mailstore.FieldContent}
	residual.walk(func(k *Key) {
		switch k.op {
		case opHeader:
			m.header = true
		case opText:
			m.header, m.parts = true, true
		case opBody:
			m.parts = true
		case opFlag, opKeyword, opModSeq:
			m.fields |= mailstore.FieldFlags
		case opInternal:
			m.fields |= mailstore.FieldDates
		case opSize:
			m.fields |= mailstore.FieldSize
		case opSent:
			m.fields |= mailstore.FieldSearch
		case opField:
			m.fields |= mailstore.FieldSearch
			m.header = true
		}
		if k.op >= opField {
			if _, ok := m.index[k]; !ok {
				m.index[k] = len(m.leaves)
				m.leaves = append(m.leaves, k)
			}
		}
	})
	m.known = make([]truth, len(m.leaves))
	return m
}

// begin turns to another message, and decides what its document does.
func (m *matcher) begin(msg *mailstore.Message) {
	m.msg = msg
	for i, leaf := range m.leaves {
		m.known[i] = maybe
		if leaf.op == opField {
			m.known[i] = matchStored(leaf, msg)
		}
	}
}

// matchStored looks in what is stored of a field. Where that is not whole, only
// the header tells.
func matchStored(leaf *Key, msg *mailstore.Message) truth {
	if !msg.TextsWhole {
		return maybe
	}
	return truthOf(strings.Contains(leaf.field.value(msg), leaf.text))
}

// settle ends the doubt about the leaves of one of ops: what was not found up
// to now is not there.
func (m *matcher) settle(ops ...op) {
	for i, leaf := range m.leaves {
		for _, op := range ops {
			if leaf.op == op && m.known[i] == maybe {
				m.known[i] = no
			}
		}
	}
}

// result is what is known of the whole residual.
func (m *matcher) result() truth { return m.eval(m.residual) }

// decided reports whether reading on cannot change the result.
func (m *matcher) decided() bool { return m.result() != maybe }

func (m *matcher) eval(k *Key) truth {
	switch k.op {
	case opAnd:
		t := yes
		for _, kid := range k.kids {
			t = min(t, m.eval(kid))
		}
		return t
	case opOr:
		t := no
		for _, kid := range k.kids {
			t = max(t, m.eval(kid))
		}
		return t
	case opNot:
		return -m.eval(k.kids[0])
	case opField, opHeader, opBody, opText:
		return m.known[m.index[k]]
	}
	return truthOf(matchDocument(k, m.msg))
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
	case opSent:
		return !msg.SentDay.IsZero() && inTime(k, msg.SentDay)
	case opSize:
		return k.min <= msg.Size && msg.Size <= k.max
	case opModSeq:
		return msg.ModSeq >= uint64(k.min)
	}
	return false
}

func inTime(k *Key, t time.Time) bool {
	return (k.from.IsZero() || !t.Before(k.from)) && (k.to.IsZero() || t.Before(k.to))
}
