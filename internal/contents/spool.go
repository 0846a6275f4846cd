package contents

import (
	"gadwall/blobstore/frame"
	"gadwall/internal/dictionary"
	"gadwall/mimestream"
)

// A spool collects inline bytes into compressed frames.
type spool struct {
	dicts dictionary.Current
	// of the frame being filled: HTML if there is any, Headers if there is nothing else
	kind   dictionary.Kind
	adding dictionary.Kind // of what is added

	buf    []byte // the frame being filled
	frames []frameInfo
	stored [][]byte // the frames before
	total  int      // stored bytes of these
	size   int64    // inline bytes of these
	head   int      // where the root header ends in buf, if it is to be cut there
}

// full reports whether the budget is spent. The frame being filled, and a small body that is added
// as a whole, may exceed it.
func (sp *spool) full() bool { return sp.total >= InlineBudget || len(sp.frames) >= maxFrames-3 }

// begin says that the next bytes belong to the body of a leaf; nil for bytes between bodies.
func (sp *spool) begin(leaf *mimestream.Part) {
	switch {
	case leaf == nil:
		sp.adding = dictionary.Headers
	case leaf.Type == "text" && leaf.Subtype == "html":
		sp.adding = dictionary.HTML
	default:
		sp.adding = dictionary.Text
	}
}

// write adds some of p and returns how much.
func (sp *spool) write(p []byte) (int, error) {
	if sp.buf == nil {
		sp.buf = make([]byte, 0, FrameSize)
	}
	n := min(len(p), FrameSize-len(sp.buf))
	sp.kind = max(sp.kind, sp.adding)
	sp.buf = append(sp.buf, p[:n]...)
	if len(sp.buf) < FrameSize {
		return n, nil
	}
	return n, sp.flush()
}

// writeAll adds all of p.
func (sp *spool) writeAll(p []byte) error {
	for len(p) > 0 {
		n, err := sp.write(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// endHeader says that the bytes written so far are the root header.
func (sp *spool) endHeader() {
	if len(sp.frames) == 0 {
		sp.head = len(sp.buf)
	}
}

// flush ends the frame being filled. If the buffer has a root header with enough bytes behind it,
// the header becomes a frame, and the rest stays to be filled up.
func (sp *spool) flush() error {
	if head := sp.head; head > 0 {
		sp.head = 0
		if len(sp.buf)-head >= HeadRest {
			if err := sp.add(dictionary.Headers, sp.buf[:head]); err != nil {
				return err
			}
			sp.buf = sp.buf[:copy(sp.buf, sp.buf[head:])]
			return nil
		}
	}
	err := sp.add(sp.kind, sp.buf)
	sp.buf, sp.kind = sp.buf[:0], dictionary.Headers
	return err
}

// finish ends the last frame.
func (sp *spool) finish() error {
	for len(sp.buf) > 0 {
		if err := sp.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (sp *spool) add(kind dictionary.Kind, data []byte) error {
	d := sp.dicts[kind]
	info := frameInfo{start: sp.size, size: len(data), codec: frameZstd, dict: d.ID()}
	buf := frame.Buffer()
	defer frame.Release(buf)
	z, err := d.Compress(*buf, data)
	if err != nil {
		return err
	}
	if len(z) >= len(data) {
		z, info.codec, info.dict = data, frameRaw, 0
	}
	sp.frames = append(sp.frames, info)
	sp.stored = append(sp.stored, append(make([]byte, 0, len(z)), z...))
	sp.total += len(z)
	sp.size += int64(len(data))
	return nil
}
