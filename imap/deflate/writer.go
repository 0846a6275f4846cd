package deflate

import (
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// level is the one of flate that takes the least time: it halves most answers, and needs less than a
// millisecond for 100 KiB.
const level = flate.BestSpeed

// maxStored is the size of the largest stored block (RFC 1951 section 3.2.4).
const maxStored = 65535

// A Pool has the compressors of all connections of a server. It may be used from any goroutine.
type Pool struct {
	turns chan struct{}
	idle  sync.Pool
}

// NewPool returns a pool of at most n compressors.
func NewPool(n int) *Pool { return &Pool{turns: make(chan struct{}, n)} }

// take returns a compressor that writes to w; nil if all are in use.
func (p *Pool) take(w io.Writer) *flate.Writer {
	select {
	case p.turns <- struct{}{}:
	default:
		return nil
	}
	if c, ok := p.idle.Get().(*flate.Writer); ok {
		c.Reset(w)
		return c
	}
	c, err := flate.NewWriter(w, level)
	if err != nil {
		<-p.turns
		return nil // there is no such level
	}
	return c
}

func (p *Pool) put(c *flate.Writer) {
	c.Reset(nil)
	p.idle.Put(c)
	<-p.turns
}

// A Writer compresses what it writes to another writer. After Flush it has no compressor, and what
// comes next does not refer to what came before.
type Writer struct {
	w    io.Writer
	pool *Pool
	c    *flate.Writer
}

// NewWriter returns a writer to w with compressors of the pool.
func NewWriter(w io.Writer, pool *Pool) *Writer { return &Writer{w: w, pool: pool} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.c == nil {
		if w.c = w.pool.take(w.w); w.c == nil {
			return w.store(p)
		}
	}
	return w.c.Write(p)
}

// store writes stored blocks. What was written before ends with a whole octet.
func (w *Writer) store(p []byte) (written int, err error) {
	for written < len(p) {
		part := p[written:min(written+maxStored, len(p))]
		n := uint16(len(part))
		block := make([]byte, 0, 5+len(part))
		block = append(block, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
		if _, err := w.w.Write(append(block, part...)); err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// Flush sends everything so that the peer can read it (a sync flush), and gives the compressor back.
func (w *Writer) Flush() error {
	if w.c == nil {
		return nil
	}
	err := w.c.Flush()
	w.Release()
	return err
}

// Close ends the compressed data by an empty block that is the last one, after a Flush. It does not
// close the writer below.
func (w *Writer) Close() error {
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := w.w.Write([]byte{3, 0})
	return err
}

// Release gives the compressor back, and drops what was not flushed.
func (w *Writer) Release() {
	if w.c != nil {
		w.pool.put(w.c)
		w.c = nil
	}
}

// InUse returns how many compressors are in use.
func (p *Pool) InUse() int { return len(p.turns) }
