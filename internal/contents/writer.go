package contents

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/transfer"
	"gadwall/mimestream"
)

// Stored is a content that is durable and holds the references named by Magics.
type Stored struct {
	ID     ID
	Size   int64
	Root   *mimestream.Part // as parsed, with everything
	Magics []dedupe.Magic
	Since  time.Time // no reference was added before; see dedupe.MaxHold
	Shared bool      // the content existed before
	// Preview is the beginning of what a reader sees (RFC 8970), empty if there is nothing to see.
	Preview string
}

// A Writer stores one content while its bytes come in. Not safe for concurrent use. It must be
// ended by Finish or Abort.
type Writer struct {
	s       *Store
	ctx     context.Context // of the writes: io.Writer and mimestream.Handler have none
	started time.Time       // no reference to a blob was added before
	parser  *mimestream.Parser
	whole   *blake3.Hasher
	first   []byte // the first bytes of the content, at most maxFirst: nil if short headers are not kept

	segments []segment
	end      int64 // of the last segment
	refs     []dedupe.Ref
	spool    spool
	leaf     leaf
	blob     *blobstore.Writer // the blob being written, of the leaf or of spilling
	spilling bool
	saving   saving

	previewed string // the preview, once a part gave one

	err     error
	unknown bool // the insert of the document has an unknown outcome
	ended   bool
}

var errEnded = errors.New("contents: writer is ended")

// NewWriter starts a content. ctx covers the calls of Write.
func (s *Store) NewWriter(ctx context.Context) *Writer {
	w := &Writer{s: s, ctx: ctx, started: time.Now(), whole: blake3.New(), spool: spool{dicts: s.dicts.Current(ctx)}}
	w.parser = mimestream.NewParser((*receiver)(w))
	if s.short.Keeps() {
		w.first = make([]byte, 0, minFirst)
	}
	return w
}

// Write takes the next bytes. After an error the caller must call Abort.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	if w.err != nil {
		return 0, w.err
	}
	w.whole.Write(p) // never fails
	if w.first != nil {
		w.first = append(w.first, p[:min(len(p), maxFirst-len(w.first))]...)
	}
	n, err := w.parser.Write(p)
	w.err = err
	return n, err
}

// Finish makes the content durable with refs references, at least one. After an error the caller
// must call Abort.
func (w *Writer) Finish(ctx context.Context, refs int) (*Stored, error) {
	switch {
	case w.ended:
		return nil, errEnded
	case w.err != nil:
		return nil, w.err
	case refs < 1:
		return nil, fmt.Errorf("contents: finish with %d references", refs)
	}
	w.ctx = ctx
	stored, err := w.finish(ctx, refs)
	if err != nil {
		w.err = err
		return nil, err
	}
	w.ended = true
	if size := stored.Root.HeaderSize; w.first != nil && size <= int64(len(w.first)) {
		w.s.keepShort(stored.ID, w.first[:size])
	}
	return stored, nil
}

func (w *Writer) finish(ctx context.Context, refs int) (*Stored, error) {
	root, err := w.parser.Close()
	if err != nil {
		return nil, err
	}
	if err := w.endSpill(); err != nil {
		return nil, err
	}
	if err := w.spool.finish(); err != nil {
		return nil, err
	}
	if w.late() {
		return nil, ErrTooSlow
	}
	stored := &Stored{Size: w.end, Root: root, Magics: dedupe.NewMagics(refs), Since: time.Now(),
		Preview: w.previewed}
	w.whole.Sum(stored.ID[:0])
	// Most mail is new. So insert comes first; Finish looks for the same content only when the
	// insert is refused.
	for range maxAttempts {
		inserted, err := w.insert(ctx, stored)
		if err != nil {
			return nil, err
		}
		if inserted {
			w.s.stats.add(w, refs)
			return stored, nil
		}
		existed, err := w.s.refs.Add(ctx, dedupe.Hash(stored.ID), stored.Magics...)
		if err != nil {
			return nil, err
		}
		if existed {
			stored.Shared = true
			w.s.stats.addShared(w, refs)
			w.releaseBlobs(ctx)
			return stored, nil
		}
	}
	return nil, fmt.Errorf("store content %v: it appeared and disappeared %d times", stored.ID, maxAttempts)
}

// insert writes the document. It returns false if there is one of that ID already.
func (w *Writer) insert(ctx context.Context, stored *Stored) (bool, error) {
	l := segmentTable{size: w.end, headerSize: stored.Root.HeaderSize, frames: w.spool.frames, segments: w.segments}
	segs, parts := l.append(nil), appendParts(nil, stored.Root)
	if err := checkStored(segs, parts, w.end); err != nil {
		return false, fmt.Errorf("content %v cannot be stored so that it could be read: %w", stored.ID, err)
	}
	var magic int64
	for _, m := range stored.Magics {
		magic += int64(m)
	}
	frames := make(bson.D, len(w.spool.stored))
	for k, data := range w.spool.stored {
		frames[k] = bson.E{Key: strconv.Itoa(k), Value: bson.Binary{Data: data}}
	}
	w.unknown = true
	_, err := w.s.coll.InsertOne(ctx, bson.D{
		{Key: "_id", Value: dedupe.Hash(stored.ID).Binary()},
		{Key: dedupe.FieldRefs, Value: int64(len(stored.Magics))},
		{Key: dedupe.FieldMagic, Value: magic},
		{Key: dedupe.FieldTouched, Value: w.s.refs.Now()},
		{Key: "size", Value: w.end},
		{Key: "segs", Value: bson.Binary{Data: segs}},
		{Key: "parts", Value: bson.Binary{Data: parts}},
		{Key: "f", Value: frames},
	})
	switch {
	case err == nil:
		return true, nil
	case mongo.IsDuplicateKeyError(err):
		w.unknown = false
		return false, nil
	}
	return false, fmt.Errorf("insert content: %w", err)
}

// checkStored reads segment table and part table as readers will: the Writer must not acknowledge a
// content that they refuse.
func checkStored(segs, parts []byte, size int64) error {
	if _, err := readTable(segs); err != nil {
		return err
	}
	_, err := readParts(parts, size)
	return err
}

// Abort gives up a content that was not finished. It does nothing after a successful Finish, or
// when called again. It cleans up even if ctx is canceled, for a bounded time. It logs a clean-up
// that fails, and leaves the rest to the collector.
func (w *Writer) Abort(ctx context.Context) {
	if w.ended {
		return
	}
	w.ended = true
	if w.blob != nil {
		w.blob.Abort(ctx)
		w.blob = nil
	}
	if !w.unknown {
		w.releaseBlobs(ctx)
	}
}

// late reports whether the deadline for references to blobs is over.
func (w *Writer) late() bool { return time.Since(w.started) > dedupe.MaxHold }

// releaseBlobs gives back the references to all blobs.
func (w *Writer) releaseBlobs(ctx context.Context) {
	if len(w.refs) == 0 {
		return
	}
	if w.late() {
		w.s.log.WarnContext(ctx,
			"references to blobs were held for too long and are left for the audit", "count", len(w.refs))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := w.s.blobs.Refs().RemoveMany(ctx, w.refs); err != nil {
		w.s.log.WarnContext(ctx, "references to blobs are left for the audit", "error", err)
	}
	w.refs = nil
}

// inlineBytes adds bytes as they are.
func (w *Writer) inlineBytes(p []byte) error {
	for len(p) > 0 {
		if w.beyond() {
			return w.spill(p)
		}
		n, err := w.spool.write(p)
		if err != nil {
			return err
		}
		w.extend(int64(n))
		p = p[n:]
	}
	return nil
}

// inlineDecoded adds a body that is stored decoded.
func (w *Writer) inlineDecoded(decoded []byte, recipe transfer.Recipe) error {
	if err := w.spool.writeAll(decoded); err != nil {
		return err
	}
	w.addSegment(segment{recipe: recipe})
	return nil
}

// extend adds n bytes to an inline segment of bytes as they are.
func (w *Writer) extend(n int64) {
	if last := len(w.segments) - 1; last >= 0 {
		if s := &w.segments[last]; !s.blob && s.recipe.Identity {
			s.recipe.DecodedSize += n
			w.end += n
			return
		}
	}
	w.addSegment(segment{recipe: transfer.IdentityOf(n)})
}

func (w *Writer) addSegment(s segment) {
	s.start = w.end
	w.end += s.recipe.EncodedLen()
	w.segments = append(w.segments, s)
}

// beyond reports whether no more bytes may be added inline.
func (w *Writer) beyond() bool {
	return w.spool.full() || len(w.segments) >= MaxSegments-segmentsPerLeaf
}

// segmentsPerLeaf is the number of segments that a leaf can add after a call of beyond: the bytes
// spilled before, its blob, a tail, and the bytes spilled behind it.
const segmentsPerLeaf = 4

// merging reports whether all the rest goes into one blob.
func (w *Writer) merging() bool {
	return w.beyond() && len(w.segments) >= SpillSegments
}

// spill adds bytes to the blob for bytes beyond the budget.
func (w *Writer) spill(p []byte) error {
	if w.blob == nil {
		w.blob = w.s.blobs.NewWriter(w.ctx)
		w.spilling = true
	}
	_, err := w.blob.Write(p)
	return err
}

// endSpill ends that blob, if there is one.
func (w *Writer) endSpill() error {
	if !w.spilling {
		return nil
	}
	w.spilling = false
	return w.endBlob(transfer.IdentityOf(w.blob.Size()))
}

// endBlob finishes the blob being written and adds its segment.
func (w *Writer) endBlob(recipe transfer.Recipe) error {
	stored, err := w.blob.Finish(w.ctx)
	if err != nil {
		return err // the blob stays to be aborted
	}
	w.blob = nil
	w.saving.note(stored)
	w.refs = append(w.refs, dedupe.Ref{Hash: stored.Hash, Magic: stored.Magic})
	w.addSegment(segment{blob: true, hash: stored.Hash, magic: stored.Magic, recipe: recipe})
	return nil
}
