package imap

import (
	"strconv"

	"gadwall/imap/wire"
	"gadwall/internal/mailview"
)

// searchWrite is how much of a SEARCH response is written at a time.
const searchWrite = 32 << 10

// toSeqs turns UIDs of the view into sequence numbers.
func (r *searchResult) toSeqs(v *mailview.View) {
	at := uint32(0) // they ascend: often one follows the other
	for i, uid := range r.nums {
		if v.UID(at+1) == uid {
			at++
		} else {
			at, _ = v.Seq(uid)
		}
		r.nums[i] = at
	}
}

// highest is the highest mod-sequence of the messages found.
func (r *searchResult) highest() uint64 {
	h := uint64(0)
	for _, m := range r.modseqs {
		h = max(h, m)
	}
	return h
}

// write writes the SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.5). It is
// written if nothing was found, too.
func (r *searchResult) write(enc *wire.Encoder, req *searchRequest) {
	enc.Untagged().Raw("SEARCH")
	var buf []byte
	for _, n := range r.nums {
		buf = strconv.AppendUint(append(buf, ' '), uint64(n), 10)
		if len(buf) >= searchWrite {
			enc.RawBytes(buf)
			buf = buf[:0]
		}
	}
	enc.RawBytes(buf)
	if req.modseq && len(r.nums) > 0 {
		enc.Raw(" (MODSEQ ").Number64(r.highest()).Byte(')')
	}
	enc.CRLF()
}

// writeExtended writes the ESEARCH response (RFC 4731 section 3.1): of what was asked
// for, MIN, MAX and ALL are left out when nothing was found.
func (r *searchResult) writeExtended(enc *wire.Encoder, tag string, uid bool, req *searchRequest) {
	enc.Untagged().Raw("ESEARCH (TAG ").String(tag).Byte(')')
	if uid {
		enc.Raw(" UID")
	}
	if n := len(r.nums); n > 0 {
		if req.results&returnMin != 0 {
			enc.Raw(" MIN ").Number(r.nums[0])
		}
		if req.results&returnMax != 0 {
			enc.Raw(" MAX ").Number(r.nums[n-1])
		}
		if req.results&returnAll != 0 {
			enc.Raw(" ALL ").UIDs(r.nums)
		}
	}
	if req.results&returnCount != 0 {
		enc.Raw(" COUNT ").Number(uint32(len(r.nums)))
	}
	if req.modseq && len(r.nums) > 0 {
		enc.Raw(" MODSEQ ").Number64(r.reported(req.results))
	}
	enc.CRLF()
}

// reported is the highest mod-sequence of the messages that the response
// names: with only MIN or MAX, of those (RFC 7162 section 3.1.10).
func (r *searchResult) reported(results searchReturn) uint64 {
	last := len(r.modseqs) - 1
	switch results {
	case returnMin:
		return r.modseqs[0]
	case returnMax:
		return r.modseqs[last]
	case returnMin | returnMax:
		return max(r.modseqs[0], r.modseqs[last])
	}
	return r.highest()
}
