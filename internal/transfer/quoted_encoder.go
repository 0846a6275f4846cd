package transfer

// quotedWrite takes the next decoded bytes of a quoted-printable range.
func (e *Encoder) quotedWrite(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), encodeStep)
		e.text = append(e.text, p[:n]...)
		p = p[n:]
		if err := e.quote(e.pending == 0 && len(p) == 0 && e.final); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// quote encodes e.text, except for bytes whose encoding depends on the bytes that follow. final
// says that none follow.
func (e *Encoder) quote(final bool) error {
	text, r := e.text, e.r
	i := 0
	for i < len(text) && (final || len(text)-i >= lookahead) && e.pos < e.end {
		if len(e.out)+8 > cap(e.out) {
			if err := e.flush(); err != nil {
				return err
			}
		}
		c := text[i]
		if c == '\r' || c == '\n' {
			if n := r.lineEnd(text[i:]); n > 0 {
				e.appendEOL()
				i += n
				continue
			}
		}
		last := i+1 == len(text) || text[i+1] <= '\r' && r.lineEnd(text[i+1:]) > 0
		plain := plainByte(c) && !(isBlank(c) && last)
		size, room := int64(3), r.LineLength-1
		if plain {
			size = 1
		}
		if last && r.Full {
			room++
		}
		if e.col+size > room {
			e.out = append(e.out, '=')
			e.pos++
			e.appendEOL()
		}
		if plain {
			e.out = append(e.out, c)
		} else {
			e.out = append(e.out, '=', upperHex[c>>4], upperHex[c&15])
		}
		e.pos += size
		e.col += size
		i++
	}
	if i == len(text) && final && r.FinalEOL {
		e.appendEOL()
	}
	e.text = text[:copy(text, text[i:])]
	if e.pos >= e.end {
		e.text = e.text[:0]
	}
	return nil
}

// lineEnd returns the length of the line end at the start of decoded text, 0 if there is none.
func (r Recipe) lineEnd(text []byte) int {
	switch {
	case r.Binary:
	case r.BareLF && text[0] == '\n':
		return 1
	case !r.BareLF && text[0] == '\r' && len(text) > 1 && text[1] == '\n':
		return 2
	}
	return 0
}
