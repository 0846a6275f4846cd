package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/database"
)

// A Fault is what a check finds wrong with a file or its chunks.
type Fault int

const (
	// Orphans: chunks of no file, left by an interrupted upload or deletion. They cost space.
	Orphans Fault = iota + 1
	// MissingChunks: a file lacks chunks, or has too many.
	MissingChunks
	// BadFile: a files document contradicts itself.
	BadFile
	// WrongBytes: the stored bytes cannot be decoded, or do not have the hash of the blob.
	WrongBytes
	// Unreadable: the database cannot read a file, some of its chunks, or a range of files, because
	// its own files are damaged.
	Unreadable
)

var faultNames = map[Fault]string{Orphans: "orphan chunks", MissingChunks: "missing chunks",
	BadFile: "bad file", WrongBytes: "wrong bytes", Unreadable: "unreadable"}

func (f Fault) String() string { return faultNames[f] }

// A Finding is one certain fault.
type Finding struct {
	Fault    Fault
	File     bson.ObjectID
	Hash     dedupe.Hash // zero for orphans
	Chunks   int64       // Orphans: how many
	Bytes    int64       // Orphans: what they store
	Detail   string
	Repaired bool
}

// CheckOptions are the options of Check.
type CheckOptions struct {
	// Found is called with each finding.
	Found func(Finding)
	// Grace is the age at which chunks without a file are orphans. Values below OrphanGrace are for
	// a store that nothing else uses.
	Grace time.Duration
	// Repair deletes orphans. Check repairs nothing else. A damaged blob keeps its hash, so a later
	// upload of the same bytes does not mend it: the operator must look at it.
	Repair bool
	// Deep reads all blobs and compares their hashes.
	Deep bool
	// From and To are the first and the last id of files and of chunks' files to look at; a zero To is
	// the last that there can be.
	From, To bson.ObjectID
	// Saved, if not nil, is called when all ids up to last are done, files more than before. Its error
	// ends the check.
	Saved func(ctx context.Context, last bson.ObjectID, files int64) error
	// Progress, if not nil, gets the number of files that are done. Guard, if not nil, is called
	// before each batch; its error ends the check.
	Progress func(files int64)
	Guard    func(context.Context) error
}

// Check compares all files with their chunks, beside live traffic and in constant memory. It
// returns how many files it looked at.
//
// It reads a file and its chunks at different moments, so it looks again at what seems wrong. A
// file's chunks are written before the file and deleted after it. So chunks without a file belong
// to an upload in progress, unless they are older than any upload can be. And if a file still
// exists after the check has read its chunks, the chunks must have existed.
func (s *Store) Check(ctx context.Context, o CheckOptions) (files int64, err error) {
	if o.To.IsZero() {
		o.To = lastFile
	}
	c := &checker{s: s, o: o, low: bson.E{Key: "$gte", Value: o.From}}
	scan := database.Scan{Collection: s.files, Key: database.Key{Size: len(bson.ObjectID{}), ObjectID: true},
		From: o.From[:], To: o.To[:], Page: auditBatch}
	if !o.Deep {
		scan.Projection = bson.D{{Key: "metadata.sums", Value: 0}}
	}
	err = scan.Pages(ctx, func(docs []bson.Raw) error {
		if err := c.guard(ctx); err != nil {
			return err
		}
		if err := c.page(ctx, docs); err != nil {
			return err
		}
		files += int64(len(docs))
		if o.Progress != nil {
			o.Progress(files)
		}
		if o.Saved != nil {
			return o.Saved(ctx, c.low.Value.(bson.ObjectID), int64(len(docs)))
		}
		return nil
	}, func(g database.Gap) error {
		o.Found(Finding{Fault: Unreadable, File: bson.ObjectID(g.From),
			Detail: fmt.Sprintf("files with ids from %s: %v", g.String(), g.Err)})
		return nil
	})
	if err != nil {
		return files, fmt.Errorf("read files: %w", err)
	}
	if err := c.guard(ctx); err != nil {
		return files, err
	}
	err = c.chunks(ctx, bson.D{c.low, {Key: "$lte", Value: o.To}}, nil) // behind the last file
	if database.IsDamaged(err) {
		o.Found(Finding{Fault: Unreadable, Detail: err.Error()})
		err = nil
	}
	return files, err
}

// lastFile is the greatest id that a file can have.
var lastFile = bson.ObjectID(bytes.Repeat([]byte{0xff}, len(bson.ObjectID{})))

type checker struct {
	s   *Store
	o   CheckOptions
	low bson.E // where the next page begins: a condition on ids of files
}

func (c *checker) guard(ctx context.Context) error {
	if c.o.Guard == nil {
		return nil
	}
	return c.o.Guard(ctx)
}

// A checkedFile is a files document as far as it can be read.
type checkedFile struct {
	filesDoc
	unreadable error
}

// page checks the next files, and all chunks up to them.
func (c *checker) page(ctx context.Context, page []bson.Raw) error {
	docs := make([]checkedFile, len(page))
	for i, raw := range page {
		if docs[i].unreadable = bson.Unmarshal(raw, &docs[i].filesDoc); docs[i].unreadable != nil {
			docs[i].ID = raw.Lookup("_id").ObjectID() // as the query says
		}
	}
	last := docs[len(docs)-1].ID
	ids := bson.D{c.low, {Key: "$lte", Value: last}}
	c.low = bson.E{Key: "$gt", Value: last}
	err := c.chunks(ctx, ids, docs)
	if database.IsDamaged(err) {
		err = c.fileByFile(ctx, docs)
	}
	if err != nil {
		return err
	}
	for i := range docs {
		if err := c.file(ctx, &docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// fileByFile compares each file with its chunks where the chunks of all cannot be walked along.
// Orphans between them are not found.
func (c *checker) fileByFile(ctx context.Context, docs []checkedFile) error {
	for i := range docs {
		err := c.chunks(ctx, bson.D{{Key: "$eq", Value: docs[i].ID}}, docs[i:i+1])
		if database.IsDamaged(err) {
			err = c.found(ctx, &docs[i].filesDoc, Unreadable, err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chunks walks along the chunks of files with these ids, and compares them with docs, which has the
// same order.
func (c *checker) chunks(ctx context.Context, ids bson.D, docs []checkedFile) error {
	cur, err := c.s.chunks.Find(ctx, bson.D{{Key: "files_id", Value: ids}}, options.Find().
		SetSort(bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "files_id", Value: 1}, {Key: "n", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read chunks: %w", err)
	}
	defer cur.Close(context.WithoutCancel(ctx))
	var id bson.ObjectID // of the chunks being counted
	var n int64          // how many; negative if their numbers are not 0, 1, 2, ...
	end := func() error {
		if n == 0 {
			return nil // before the first
		}
		for len(docs) > 0 && bytes.Compare(docs[0].ID[:], id[:]) < 0 {
			if err := c.count(ctx, &docs[0], 0); err != nil {
				return err
			}
			docs = docs[1:]
		}
		if len(docs) > 0 && docs[0].ID == id {
			err := c.count(ctx, &docs[0], n)
			docs = docs[1:]
			return err
		}
		return c.orphans(ctx, id)
	}
	for cur.Next(ctx) {
		next, okID := cur.Current.Lookup("files_id").ObjectIDOK()
		number, okN := cur.Current.Lookup("n").AsInt64OK()
		if !okID {
			continue // a foreign file
		}
		if next != id {
			if err := end(); err != nil {
				return err
			}
			id, n = next, 0
		}
		switch {
		case n >= 0 && okN && number == n:
			n++
		default:
			n = -1
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read chunks: %w", err)
	}
	if err := end(); err != nil {
		return err
	}
	for i := range docs {
		if err := c.count(ctx, &docs[i], 0); err != nil {
			return err
		}
	}
	return nil
}

// count compares the number of a file's chunks with the right one.
func (c *checker) count(ctx context.Context, doc *checkedFile, n int64) error {
	want := chunkCount(doc.Length)
	if n == want || doc.unreadable != nil {
		return nil
	}
	detail := fmt.Sprintf("%d of %d chunks", n, want)
	if n < 0 {
		detail = "chunks are not numbered one after the other"
	}
	return c.found(ctx, &doc.filesDoc, MissingChunks, detail)
}

// found reports a fault of a file, if the file still exists.
func (c *checker) found(ctx context.Context, doc *filesDoc, fault Fault, detail string) error {
	switch there, err := c.exists(ctx, doc.ID); {
	case err != nil:
		return err
	case !there:
		return nil
	}
	f := Finding{Fault: fault, File: doc.ID, Detail: detail}
	copy(f.Hash[:], doc.Metadata.Hash.Data)
	c.o.Found(f)
	return nil
}

func (c *checker) exists(ctx context.Context, id bson.ObjectID) (bool, error) {
	err := c.s.files.FindOne(ctx, bson.D{{Key: "_id", Value: id}},
		options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	if database.IsDamaged(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a file: %w", err)
	}
	return true, nil
}

// orphans handles chunks for which no file was seen.
func (c *checker) orphans(ctx context.Context, id bson.ObjectID) error {
	if there, err := c.exists(ctx, id); err != nil || there {
		return err
	}
	// They are written in the order of their numbers: the last one is the youngest.
	last, err := c.s.chunks.FindOne(ctx, bson.D{{Key: "files_id", Value: id}}, options.FindOne().
		SetSort(bson.D{{Key: "files_id", Value: -1}, {Key: "n", Value: -1}}).
		SetProjection(bson.D{{Key: "_id", Value: 1}})).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for orphans: %w", err)
	}
	// The time in an id has whole seconds.
	if chunk, ok := last.Lookup("_id").ObjectIDOK(); ok && chunk.Timestamp().After(c.s.refs.Now().Add(-c.o.Grace)) {
		return nil
	}
	f := Finding{Fault: Orphans, File: id}
	cur, err := c.s.chunks.Find(ctx, bson.D{{Key: "files_id", Value: id}}, options.Find().SetBatchSize(orphanBatch))
	if err != nil {
		return fmt.Errorf("count orphans: %w", err)
	}
	defer cur.Close(context.WithoutCancel(ctx))
	for cur.Next(ctx) {
		_, data, _ := cur.Current.Lookup("data").BinaryOK()
		f.Chunks++
		f.Bytes += int64(len(data))
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("count orphans: %w", err)
	}
	if c.o.Repair {
		if err := c.s.deleteChunks(ctx, id, f.Chunks); err != nil {
			return err
		}
		f.Repaired = true
	}
	c.o.Found(f)
	return nil
}

// file checks a files document and, if wanted, the bytes.
func (c *checker) file(ctx context.Context, doc *checkedFile) error {
	if doc.unreadable != nil {
		return c.found(ctx, &doc.filesDoc, BadFile, doc.unreadable.Error())
	}
	l, err := newLayout(&doc.filesDoc)
	if err != nil {
		return c.found(ctx, &doc.filesDoc, BadFile, err.Error())
	}
	if !c.o.Deep {
		return nil
	}
	err = c.s.verify(ctx, l, doc.Metadata.Sums)
	switch {
	case errors.Is(err, ErrCorrupt):
		return c.found(ctx, &doc.filesDoc, WrongBytes, err.Error())
	case database.IsDamaged(err):
		return c.found(ctx, &doc.filesDoc, Unreadable, err.Error())
	}
	return err
}

// verify reads a blob and compares its bytes with its hash, and those of each frame with its sum,
// if there are sums. The error is ErrCorrupt if they differ.
func (s *Store) verify(ctx context.Context, l *layout, sums []byte) error {
	v := verifier{whole: blake3.New(), frame: blake3.New()}
	if err := (&Blob{s.WithCache(nil), l}).ReadRange(ctx, 0, l.size, &v); err != nil {
		return err
	}
	v.endFrame()
	var sum dedupe.Hash
	v.whole.Sum(sum[:0])
	if sum != l.hash {
		return fmt.Errorf("%w: %v: the bytes have the hash %v", ErrCorrupt, l.hash, sum)
	}
	if len(v.sums) > dedupe.HashSize && !bytes.Equal(v.sums, sums) {
		return fmt.Errorf("%w: %v: the sums of the frames differ", ErrCorrupt, l.hash)
	}
	return nil
}

// A verifier computes the hash of what is written to it, and the sums of its frames.
type verifier struct {
	whole, frame *blake3.Hasher
	n            int // bytes in frame
	sums         []byte
}

func (v *verifier) Write(p []byte) (int, error) {
	v.whole.Write(p) // never fails
	for rest := p; len(rest) > 0; {
		n := min(len(rest), FrameSize-v.n)
		v.frame.Write(rest[:n])
		rest = rest[n:]
		if v.n += n; v.n == FrameSize {
			v.endFrame()
		}
	}
	return len(p), nil
}

func (v *verifier) endFrame() {
	if v.n > 0 {
		v.sums = v.frame.Sum(v.sums)
		v.frame.Reset()
		v.n = 0
	}
}
