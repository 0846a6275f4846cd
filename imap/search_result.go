package imap

import (
	"strconv"

	"gadwall/imap/wire"
)

// searchWrite is how much of a SEARCH response is written at a time.
const searchWrite = 32 << 10

// numbers returns what the answer calls these messages.
func (s *searching) numbers(uids []uint32) []uint32 {
	if s.number == nil {
		return uids
	}
	numbers := make([]uint32, len(uids))
	for i, uid := range uids {
		numbers[i] = s.number(uid)
	}
	return numbers
}

func (s *searching) numberOf(uid uint32) uint32 {
	if s.number == nil {
		return uid
	}
	return s.number(uid)
}

// answer writes the response.
func (s *searching) answer(enc *wire.Encoder) {
	switch {
	case s.req.returns.given:
		s.writeExtended(enc)
	case s.req.order != nil:
		s.write(enc, "SORT")
	default:
		s.write(enc, "SEARCH")
	}
}

// write writes the SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.5) or the SORT
// response (RFC 5256 section 4), which has the same form. It is written if nothing was found, too.
func (s *searching) write(enc *wire.Encoder, name string) {
	enc.Untagged().Raw(name)
	var buf []byte
	for _, uid := range s.found {
		buf = strconv.AppendUint(append(buf, ' '), uint64(s.numberOf(uid)), 10)
		if len(buf) >= searchWrite {
			enc.RawBytes(buf)
			buf = buf[:0]
		}
	}
	enc.RawBytes(buf)
	if s.req.modseq && len(s.found) > 0 {
		enc.Raw(" (MODSEQ ").Number64(s.highest(s.found...)).Byte(')')
	}
	enc.CRLF()
}

// highest is the highest mod-sequence of these messages.
func (s *searching) highest(uids ...uint32) uint64 {
	h := uint64(0)
	for _, uid := range uids {
		h = max(h, s.modseqs[uid])
	}
	return h
}

// writeExtended writes the ESEARCH response (RFC 4731 section 3.1): of what was asked
// for, MIN, MAX and ALL are left out when nothing was found. SAVE alone asks for no response
// (RFC 5182 section 1).
func (s *searching) writeExtended(enc *wire.Encoder) {
	items := s.req.returns.items
	if !items.has(returnData | returnUpdate) {
		return
	}
	s.beginResponse(enc)
	if items.has(returnMin) && s.min != 0 {
		enc.Raw(" MIN ").Number(s.numberOf(s.min))
	}
	if items.has(returnMax) && s.max != 0 {
		enc.Raw(" MAX ").Number(s.numberOf(s.max))
	}
	if items.has(returnAll) && len(s.found) > 0 {
		enc.Raw(" ALL ").UIDs(s.numbers(s.found))
	}
	if items.has(returnPartial) {
		enc.Raw(" PARTIAL (").Raw(s.req.returns.partial.text).SP()
		if len(s.partial) == 0 {
			enc.NIL()
		} else {
			enc.UIDs(s.numbers(s.partial))
		}
		enc.Byte(')')
	}
	if items.has(returnCount) {
		enc.Raw(" COUNT ").Number64(uint64(s.count))
	}
	if s.req.modseq && len(s.found) > 0 {
		enc.Raw(" MODSEQ ").Number64(s.reported())
	}
	enc.CRLF()
}

// beginResponse writes an ESEARCH response up to its first item.
func (s *searching) beginResponse(enc *wire.Encoder) {
	enc.Untagged().Raw("ESEARCH (TAG ").String(s.tag).Raw(s.source).Byte(')')
	if s.uid {
		enc.Raw(" UID")
	}
}

// reported is the highest mod-sequence of the messages that the response
// names: with only MIN, MAX or PARTIAL, of those (RFC 7162 section 3.1.10).
func (s *searching) reported() uint64 {
	items := s.req.returns.items
	if items.has(returnAll | returnCount) {
		return s.highest(s.found...)
	}
	h := s.highest(s.partial...)
	if items.has(returnMin) {
		h = max(h, s.highest(s.min))
	}
	if items.has(returnMax) {
		h = max(h, s.highest(s.max))
	}
	return h
}
