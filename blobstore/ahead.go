package blobstore

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// An Ahead reads spans of blobs before the caller writes them. While the caller writes one span, a
// goroutine of the Ahead reads the stored bytes of the next ones. Small blobs share a query. The
// Ahead reads no chunk that no span needs. It holds at most three groups of stored bytes (see
// limits.go), however slow the writer is: one that is being written, one that waits, and one that
// is being read.
//
// Close ends the goroutine before it returns. An Ahead is not safe for concurrent use.
type Ahead struct {
	spans  []Span
	at     int // spans before it will not be written any more
	groups chan *group
	group  *group // the one that is being written
	cancel context.CancelFunc

	wanted   atomic.Int64 // at, for the goroutine
	panicked any          // of the goroutine; valid once groups is closed
}

// errStopped reports that the goroutine ended early because its context ended.
var errStopped = errors.New("blobstore: reading ahead has ended")

// ReadAhead starts to read spans, none of them empty, in their order.
func (s *Store) ReadAhead(ctx context.Context, spans []Span) *Ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &Ahead{spans: spans, groups: make(chan *group), cancel: cancel}
	go a.read(ctx)
	return a
}

// read hands on group after group, until ctx ends.
func (a *Ahead) read(ctx context.Context) {
	defer close(a.groups)
	defer func() { a.panicked = recover() }() // for whoever waits for a group
	planGroups(a.spans, func() int { return int(a.wanted.Load()) }, func(g *group) bool {
		g.read(ctx)
		select {
		case a.groups <- g:
			return true
		case <-ctx.Done():
			return false
		}
	})
}

// WriteSpan writes a span to w. If the Ahead has the span, it drops the spans before it. Otherwise
// it reads the span on its own. The error may be that of w.
func (a *Ahead) WriteSpan(ctx context.Context, span Span, w io.Writer) error {
	i := a.find(span)
	if i < 0 {
		return span.Blob.ReadRange(ctx, span.Off, span.N, w)
	}
	a.at = i + 1
	a.wanted.Store(int64(i))
	sw := newSpanWriter(span, w)
	defer sw.release()
	follows := false // the span begins in a frame that the client has read a part of
	for !sw.done() {
		first := sw.atFirst()
		p, err := a.piece(ctx, i)
		if err != nil {
			return err
		}
		if p.decoded {
			follows = follows || first
			err = sw.decoded(p.data)
		} else {
			err = sw.stored(p.data)
		}
		if err != nil {
			return err
		}
		if sw.done() && follows && !p.decoded {
			sw.keep(p.rest)
		}
	}
	return nil
}

// find returns the index of a span that is still to come, or -1.
func (a *Ahead) find(span Span) int {
	for i := a.at; i < len(a.spans); i++ {
		s := a.spans[i]
		if s.Off == span.Off && s.N == span.N && s.Blob.hash == span.Blob.hash {
			return i
		}
	}
	return -1
}

// piece returns the next piece of span i, and drops those of spans before it.
func (a *Ahead) piece(ctx context.Context, i int) (piece, error) {
	for {
		if a.group != nil {
			for len(a.group.pieces) > 0 {
				p := a.group.pieces[0]
				a.group.pieces = a.group.pieces[1:]
				if p.span == i {
					return p, p.err
				}
			}
		}
		a.group = nil // before the next one is there
		select {
		case g, ok := <-a.groups:
			if !ok {
				if a.panicked != nil {
					panic(a.panicked)
				}
				return piece{}, errors.Join(errStopped, ctx.Err())
			}
			a.group = g
		case <-ctx.Done():
			return piece{}, ctx.Err()
		}
	}
}

// Close ends reading ahead. A later WriteSpan reads its span on its own. Close may be called for
// nil, and again.
func (a *Ahead) Close() {
	if a == nil {
		return
	}
	a.cancel()
	for range a.groups { // until the goroutine has ended
	}
	a.spans, a.at, a.group = nil, 0, nil
}
