package ingest

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// errLineTooLong is returned for a line beyond the limit. The line has been read to its end.
var errLineTooLong = errors.New("line too long")

// errLineEndless is returned for a line that has not ended within maxOverlongLine octets.
var errLineEndless = errors.New("line does not end")

// input is the read side of a connection. A connection that waits for a command keeps a buffer of
// commandBuffer octets. While a body comes in, input uses a large buffer of a pool instead.
type input struct {
	src   io.Reader // the socket
	buf   []byte    // small, or the octets of large
	r, w  int       // buf[r:w] was received and is unread
	small []byte
	large *[bodyBuffer]byte // nil while buf is small
	err   error             // the socket's first error; there is no second attempt
}

// bodyBuffers holds the buffers of connections that receive no body at the moment.
var bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}

func newInput(src io.Reader) input {
	small := make([]byte, commandBuffer)
	return input{src: src, buf: small, small: small}
}

// buffered returns what was received and is unread. It is valid until the next call.
func (in *input) buffered() []byte { return in.buf[in.r:in.w] }

// consume marks n octets as read.
func (in *input) consume(n int) { in.r += n }

// discard forgets everything that was received and is unread.
func (in *input) discard() { in.r, in.w = 0, 0 }

// fill waits for octets from the socket and appends them to the buffer, which must not be full.
func (in *input) fill() error {
	if in.err != nil {
		return in.err
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	} else if in.w == len(in.buf) {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	n, err := in.receive(in.buf[in.w:])
	in.w += n
	return err
}

// receive reads from the socket. It returns an error only if it returns no octets.
func (in *input) receive(p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := in.src.Read(p)
		in.err = err
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// read is io.Reader's Read. It takes large pieces from the socket without copying them.
func (in *input) read(p []byte) (int, error) {
	if in.r < in.w {
		n := copy(p, in.buf[in.r:in.w])
		in.r += n
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	return in.receive(p)
}

// readLine returns the next line with its line feed, of at most limit octets. Of a longer line it
// returns the beginning, and errLineTooLong or errLineEndless. The line is valid until the next
// call.
func (in *input) readLine(limit int) ([]byte, error) {
	in.shrink()
	return in.line(limit)
}

// readLongLine is readLine for a line that may be longer than a command.
func (in *input) readLongLine(limit int) ([]byte, error) {
	in.enlarge()
	return in.line(limit)
}

func (in *input) line(limit int) ([]byte, error) {
	for scanned := 0; ; {
		unread := in.buffered()
		if i := bytes.IndexByte(unread[scanned:], '\n'); i >= 0 {
			end := scanned + i + 1
			in.consume(end)
			if end > limit {
				return unread[:limit], errLineTooLong
			}
			return unread[:end], nil
		}
		if scanned = len(unread); scanned >= limit {
			return in.skipLine(limit)
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// skipLine reads to the end of a line of which at least limit octets are buffered.
func (in *input) skipLine(limit int) ([]byte, error) {
	start := bytes.Clone(in.buffered()[:limit])
	for skipped := 0; skipped <= maxOverlongLine; {
		unread := in.buffered()
		if i := bytes.IndexByte(unread, '\n'); i >= 0 {
			in.consume(i + 1)
			return start, errLineTooLong
		}
		skipped += len(unread)
		in.discard()
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	return start, errLineEndless
}

// enlarge exchanges the buffer for one of bodyBuffer octets.
func (in *input) enlarge() {
	if in.large != nil {
		return
	}
	in.large = bodyBuffers.Get().(*[bodyBuffer]byte)
	in.move(in.large[:])
}

// shrink gives the large buffer back, as soon as what is unread fits into the small one.
func (in *input) shrink() {
	if in.large == nil || in.w-in.r > len(in.small) {
		return
	}
	in.move(in.small)
	bodyBuffers.Put(in.large)
	in.large = nil
}

func (in *input) move(to []byte) {
	in.w = copy(to, in.buf[in.r:in.w])
	in.r = 0
	in.buf = to
}
