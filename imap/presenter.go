package imap

import (
	"slices"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/mailview"
	"gadwall/internal/uidset"
)

// presenter writes the untagged responses about the messages of the selected mailbox:
// FLAGS, EXISTS, EXPUNGE or VANISHED, FETCH or UIDFETCH. All of these begin here and nowhere
// else.
type presenter struct {
	enc      *wire.Encoder
	enabled  *extensions
	view     *mailview.View
	rights   account.Rights // what the session may do with the mailbox
	keywords []string       // announced by FLAGS
	line     fetchResponse
}

// systemFlags in the order in which FLAGS lists them.
var systemFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

// knownKeywords are those that clients use for the same thing everywhere (the IANA registry of
// IMAP and JMAP keywords). The server names them in FLAGS also where no message has one yet, so
// that clients know they can set them.
var knownKeywords = []string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important"}

// withKnown returns the keywords of a mailbox and those of knownKeywords that it can still get.
func withKnown(keywords []string) []string {
	list := slices.Clone(keywords)
	for _, k := range knownKeywords {
		if len(list) < mailstore.MaxMailboxKeywords && mailstore.FindKeyword(list, k) < 0 {
			list = append(list, k)
		}
	}
	return list
}

// flags writes FLAGS and PERMANENTFLAGS (RFC 3501 sections 7.2.6 and 7.1) with these
// keywords, and remembers them as announced.
func (p *presenter) flags(keywords []string) {
	p.keywords = keywords[:min(len(keywords), maxAnnounced)]
	flags := append(slices.Clone(systemFlags), p.keywords...)
	p.enc.Untagged().Raw("FLAGS ").Flags(flags).CRLF()
	p.enc.Untagged().Raw("OK [PERMANENTFLAGS ").Flags(p.permanent()).Raw("] Flags permitted").CRLF()
}

// permanent returns the flags that the session may change (RFC 3501 section 7.1).
func (p *presenter) permanent() (flags []string) {
	for _, name := range systemFlags {
		if f, _ := mailstore.ParseFlag(name); p.rights.Flags()&f != 0 {
			flags = append(flags, name)
		}
	}
	if p.rights.Has(account.Write) {
		flags = append(flags, p.keywords...)
		if len(p.keywords) < mailstore.MaxMailboxKeywords {
			flags = append(flags, `\*`)
		}
	}
	return flags
}

// announce writes FLAGS and PERMANENTFLAGS again if there are keywords among these that
// the client was not told of. It is called before a FETCH response names them.
func (p *presenter) announce(keywords []string) {
	known := p.keywords
	for _, k := range keywords {
		if len(known) < maxAnnounced && mailstore.FindKeyword(known, k) < 0 {
			known = append(slices.Clip(known), k)
		}
	}
	if len(known) > len(p.keywords) {
		p.flags(known)
	}
}

// exists writes EXISTS (RFC 3501 section 7.3.1).
func (p *presenter) exists() {
	p.enc.Untagged().Number(p.view.Len()).Raw(" EXISTS\r\n")
}

// changes writes what an update of the view found. EXPUNGE comes first, if it is
// allowed, so that the numbers of all that follows are the new ones.
func (p *presenter) changes(d mailview.Diff, mayExpunge bool) {
	if mayExpunge {
		p.gone()
	}
	if len(d.New) > 0 {
		p.exists()
	}
	for _, f := range d.Changed {
		if seq, ok := p.view.Seq(f.UID); ok {
			p.state(seq, f, true)
		}
	}
}

// gone writes EXPUNGE (RFC 3501 section 7.4.1) or VANISHED (RFC 7162 section 3.2.10) for the
// messages that are gone, and takes them out of the view.
func (p *presenter) gone() {
	gone := p.view.TakeGone()
	if !p.enabled.has(qresync | uidOnly) {
		for _, e := range gone {
			p.enc.Untagged().Number(e.Seq).Raw(" EXPUNGE\r\n")
		}
		return
	}
	uids := make([]uint32, 0, len(gone))
	for _, e := range slices.Backward(gone) {
		uids = append(uids, e.UID)
	}
	p.vanished("VANISHED ", uidset.FromAscending(uids))
}

// vanishedEarlier writes VANISHED (EARLIER) for messages that the view does not have
// (RFC 7162 section 3.2.10.1).
func (p *presenter) vanishedEarlier(uids uidset.Set) { p.vanished("VANISHED (EARLIER) ", uids) }

// vanished writes as many responses as it takes to keep lines short.
func (p *presenter) vanished(response string, uids uidset.Set) {
	for part := range slices.Chunk(uids, maxVanishedRanges) {
		p.enc.Untagged().Raw(response).Raw(part.String()).CRLF()
	}
}

// state writes a FETCH response with the flags of a message, and with CONDSTORE its UID and
// mod-sequence (RFC 7162 section 3.2.4).
func (p *presenter) state(seq uint32, f mailstore.FlagState, withUID bool) {
	p.announce(f.Keywords)
	p.begin(&p.line, seq, f.UID, withUID || p.enabled.has(condstore))
	p.line.flags(f.Flags, f.Keywords)
	if p.enabled.has(condstore) {
		p.line.modseq(f.ModSeq)
	}
	p.enc.RawBytes(p.line.end())
}

// modseq writes a FETCH response with the UID and the mod-sequence of a message.
func (p *presenter) modseq(seq uint32, f mailstore.FlagState, withUID bool) {
	p.begin(&p.line, seq, f.UID, withUID || p.enabled.has(condstore))
	p.line.modseq(f.ModSeq)
	p.enc.RawBytes(p.line.end())
}

// begin starts a FETCH response (RFC 3501 section 7.4.2): "* 7 FETCH (UID 12", or
// a UIDFETCH response (RFC 9586 section 3.3): "* 12 UIDFETCH (".
func (p *presenter) begin(r *fetchResponse, seq, uid uint32, withUID bool) {
	r.buf = append(r.buf[:0], "* "...)
	if p.enabled.has(uidOnly) {
		r.buf = wire.AppendNumber(r.buf, uint64(uid))
		r.buf = append(r.buf, " UIDFETCH ("...)
		r.empty = true
		return
	}
	r.buf = wire.AppendNumber(r.buf, uint64(seq))
	r.buf = append(r.buf, " FETCH ("...)
	r.empty = true
	if withUID {
		r.item("UID ")
		r.buf = wire.AppendNumber(r.buf, uint64(uid))
	}
}

// fetchResponse is a FETCH response while it is built, or the part of it that was not
// written yet.
type fetchResponse struct {
	buf   []byte
	empty bool // no item is in the response
}

// item starts an item: a space where one is needed, and its name.
func (r *fetchResponse) item(name string) {
	if !r.empty {
		r.buf = append(r.buf, ' ')
	}
	r.empty = false
	r.buf = append(r.buf, name...)
}

func (r *fetchResponse) flags(flags mailstore.Flags, keywords []string) {
	r.item("FLAGS ")
	r.buf = wire.AppendFlags(r.buf, flagTexts[flags&mailstore.AllFlags], keywords)
}

func (r *fetchResponse) modseq(n uint64) {
	r.item("MODSEQ (")
	r.buf = wire.AppendNumber(r.buf, n)
	r.buf = append(r.buf, ')')
}

// threadID appends the id of a thread, NIL for none (RFC 8474 section 5.2).
func (r *fetchResponse) threadID(id, suffix string) {
	r.item("THREADID ")
	if id == "" {
		r.buf = wire.AppendNIL(r.buf)
		return
	}
	r.buf = append(append(append(append(r.buf, '('), id...), suffix...), ')')
}

// preview appends the stored preview: NIL if there is none yet, which an empty one is not (RFC 8970
// section 3.3).
func (r *fetchResponse) preview(m *mailstore.Message, utf8 bool) {
	r.item("PREVIEW ")
	if !m.HasPreview {
		r.buf = wire.AppendNIL(r.buf)
		return
	}
	r.buf = wire.AppendText(r.buf, m.Preview, utf8)
}

// end ends the response and returns it.
func (r *fetchResponse) end() []byte {
	r.buf = append(r.buf, ")\r\n"...)
	return r.buf
}

// flagTexts is the list of system flags for each set of them.
var flagTexts = func() (t [mailstore.AllFlags + 1]string) {
	for f := range t {
		t[f] = mailstore.Flags(f).String()
	}
	return t
}()
