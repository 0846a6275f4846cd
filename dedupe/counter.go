package dedupe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The counting fields of a document, after the prefix of its Counter.
const (
	FieldRefs        = "refs"
	FieldMagic       = "magic"
	FieldQuarantined = "quarantined"
	FieldTouched     = "touched"
)

var (
	// ErrMissing reports a reference to a document that does not exist. See MissingError.
	ErrMissing = errors.New("no document of that hash")

	// ErrNotHeld reports the release of a reference that the document does not count. Nothing was
	// changed for that document. Then counts are wrong, and only an audit repairs them.
	ErrNotHeld = errors.New("reference is not counted")
)

// MissingError lists the hashes of references whose documents do not exist. It is an ErrMissing.
type MissingError struct{ Hashes []Hash }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%v: %v and %d more", ErrMissing, e.Hashes[0], len(e.Hashes)-1)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// A Ref is one reference to the document of a hash.
type Ref struct {
	Hash  Hash
	Magic Magic
}

// A Counter counts the references to the documents of one collection. It is safe for concurrent
// use.
type Counter struct {
	coll                              *mongo.Collection
	key                               string
	refs, magic, quarantined, touched string
	now                               func() time.Time
}

// NewCounter returns the counter of a collection whose documents have their hash in the field key
// (it needs a unique index) and the counting fields under prefix ("" or, e.g., "metadata."). The
// write concern is the collection's: database.Collection, or database.Preceding.
func NewCounter(coll *mongo.Collection, key, prefix string) *Counter {
	return &Counter{
		coll:        coll,
		key:         key,
		refs:        prefix + FieldRefs,
		magic:       prefix + FieldMagic,
		quarantined: prefix + FieldQuarantined,
		touched:     prefix + FieldTouched,
		now:         time.Now,
	}
}

// WithClock returns a Counter that takes the time from now; nil is time.Now.
func (c *Counter) WithClock(now func() time.Time) *Counter {
	t := *c
	if t.now = now; now == nil {
		t.now = time.Now
	}
	return &t
}

// Now is the present time as the Counter writes it.
func (c *Counter) Now() time.Time { return c.now().UTC().Truncate(time.Millisecond) }

// Add counts one reference per magic, and takes the document out of quarantine. It returns false,
// and has done nothing, if there is no such document. On an error the references may or may not be
// counted; the caller must not use them.
func (c *Counter) Add(ctx context.Context, hash Hash, magics ...Magic) (existed bool, err error) {
	if len(magics) == 0 {
		return false, errors.New("dedupe: no reference to add")
	}
	g := docRefs{hash: hash}
	for _, m := range magics {
		g.add(m)
	}
	res, err := c.coll.UpdateOne(ctx, c.addFilter(g), c.addUpdate(g))
	if err != nil {
		return false, fmt.Errorf("add reference to %v: %w", hash, err)
	}
	return res.MatchedCount == 1, nil
}

// Remove takes back references that Add counted. It returns ErrNotHeld if the document does not
// exist or counts fewer. On any other error the references may or may not be taken back: the caller
// must not call it again for them.
func (c *Counter) Remove(ctx context.Context, hash Hash, magics ...Magic) error {
	if len(magics) == 0 {
		return nil
	}
	g := docRefs{hash: hash}
	for _, m := range magics {
		g.add(m)
	}
	if err := c.removeUpdates(ctx, []docRefs{g}); err != nil {
		return fmt.Errorf("remove %d references to %v: %w", g.refs, hash, err)
	}
	return nil
}

// AddMany counts all refs, or none: if documents are missing it takes back what it added and
// returns a MissingError.
func (c *Counter) AddMany(ctx context.Context, refs []Ref) error {
	docs := byDocument(refs)
	for i, batch := range batches(docs) {
		missing, err := c.addBatch(ctx, batch)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			continue
		}
		held := slices.Clone(docs[:min((i+1)*maxBatch, len(docs))])
		held = slices.DeleteFunc(held, func(g docRefs) bool { return slices.Contains(missing, g.hash) })
		if err := c.removeUpdates(ctx, held); err != nil {
			return err
		}
		return &MissingError{missing}
	}
	return nil
}

// RemoveMany takes back all refs. If some are not counted it goes on with the others and returns
// ErrNotHeld. On any other error the caller must not call it again for the same references.
func (c *Counter) RemoveMany(ctx context.Context, refs []Ref) error {
	return c.removeUpdates(ctx, byDocument(refs))
}

// addBatch counts one batch and returns the hashes for which there is no document.
func (c *Counter) addBatch(ctx context.Context, batch []docRefs) ([]Hash, error) {
	models := make([]mongo.WriteModel, len(batch))
	for i, g := range batch {
		models[i] = mongo.NewUpdateOneModel().SetFilter(c.addFilter(g)).SetUpdate(c.addUpdate(g))
	}
	res, err := c.coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return nil, fmt.Errorf("add references: %w", err)
	}
	if res.MatchedCount == int64(len(batch)) {
		return nil, nil
	}
	// The answer has only a sum. A document whose reference was counted cannot be deleted now. So a
	// reference whose document is missing was not counted.
	present, err := c.present(ctx, batch)
	if err != nil {
		return nil, err
	}
	var missing []Hash
	for _, g := range batch {
		if !present[g.hash] {
			missing = append(missing, g.hash)
		}
	}
	if int64(len(batch)-len(missing)) != res.MatchedCount {
		// A missing document was stored just now, so it is unknown which of the present ones were
		// counted. Taking none back leaves counts too high rather than too low.
		return nil, fmt.Errorf("add references: documents appeared meanwhile: %w", ErrMissing)
	}
	return missing, nil
}

func (c *Counter) present(ctx context.Context, batch []docRefs) (map[Hash]bool, error) {
	keys := make(bson.A, len(batch))
	for i, g := range batch {
		keys[i] = g.hash.Binary()
	}
	cur, err := c.coll.Find(ctx, bson.D{{Key: c.key, Value: bson.D{{Key: "$in", Value: keys}}}},
		options.Find().SetProjection(bson.D{{Key: c.key, Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("look for referenced documents: %w", err)
	}
	defer cur.Close(ctx)
	present := make(map[Hash]bool, len(batch))
	for cur.Next(ctx) {
		h, err := hashOf(cur.Current, c.key)
		if err != nil {
			return nil, fmt.Errorf("look for referenced documents: %w", err)
		}
		present[h] = true
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("look for referenced documents: %w", err)
	}
	return present, nil
}

// removeUpdates has two statements for each document. The first finds it if these are its last
// references, and quarantines it by the same update; else the second one finds it.
func (c *Counter) removeUpdates(ctx context.Context, docs []docRefs) error {
	var notHeld int64
	for _, batch := range batches(docs) {
		models := make([]mongo.WriteModel, 0, 2*len(batch))
		for _, g := range batch {
			models = append(models,
				mongo.NewUpdateOneModel().SetFilter(c.lastFilter(g)).SetUpdate(c.lastUpdate(g)),
				mongo.NewUpdateOneModel().SetFilter(c.removeFilter(g)).SetUpdate(c.removeUpdate(g)))
		}
		res, err := c.coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		if err != nil {
			return fmt.Errorf("remove references: %w", err)
		}
		notHeld += int64(len(batch)) - res.MatchedCount
	}
	if notHeld > 0 {
		return fmt.Errorf("remove references of %d documents: %w", notHeld, ErrNotHeld)
	}
	return nil
}

func (c *Counter) addFilter(g docRefs) bson.D {
	return bson.D{{Key: c.key, Value: g.hash.Binary()}}
}

func (c *Counter) addUpdate(g docRefs) bson.D {
	return bson.D{
		{Key: "$inc", Value: bson.D{{Key: c.refs, Value: g.refs}, {Key: c.magic, Value: g.magic}}},
		{Key: "$unset", Value: bson.D{{Key: c.quarantined, Value: ""}}},
		c.touch(),
	}
}

// touch sets the time of the last change of the counts.
func (c *Counter) touch() bson.E {
	return bson.E{Key: "$set", Value: bson.D{{Key: c.touched, Value: c.Now()}}}
}

func (c *Counter) removeFilter(g docRefs) bson.D {
	return bson.D{
		{Key: c.key, Value: g.hash.Binary()},
		{Key: c.refs, Value: bson.D{{Key: "$gte", Value: g.refs}}},
	}
}

func (c *Counter) removeUpdate(g docRefs) bson.D {
	return bson.D{
		{Key: "$inc", Value: bson.D{{Key: c.refs, Value: -g.refs}, {Key: c.magic, Value: -g.magic}}},
		c.touch(),
	}
}

// lastFilter is the condition that a document has these references and no others.
func (c *Counter) lastFilter(g docRefs) bson.D {
	return bson.D{{Key: c.key, Value: g.hash.Binary()}, {Key: c.refs, Value: g.refs}, {Key: c.magic, Value: g.magic}}
}

// lastUpdate removes the last references. A collector would quarantine the document by another
// update, which writes all of it once more.
func (c *Counter) lastUpdate(g docRefs) bson.D {
	now := c.Now()
	return bson.D{
		{Key: "$inc", Value: bson.D{{Key: c.refs, Value: -g.refs}, {Key: c.magic, Value: -g.magic}}},
		{Key: "$set", Value: bson.D{{Key: c.touched, Value: now}, {Key: c.quarantined, Value: now}}},
	}
}

// A docRefs is all references of one call to the same document. They take one update.
type docRefs struct {
	hash        Hash
	refs, magic int64
}

func (g *docRefs) add(m Magic) {
	g.refs++
	g.magic += int64(m)
}

// byDocument sums up references by document, in the order of the hashes, so that concurrent batches
// meet documents in the same order.
func byDocument(refs []Ref) []docRefs {
	index := make(map[Hash]int, len(refs))
	docs := make([]docRefs, 0, len(refs))
	for _, r := range refs {
		i, ok := index[r.Hash]
		if !ok {
			i = len(docs)
			index[r.Hash] = i
			docs = append(docs, docRefs{hash: r.Hash})
		}
		docs[i].add(r.Magic)
	}
	slices.SortFunc(docs, func(a, b docRefs) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	return docs
}

// batches cuts the updates of documents into bulk writes.
func batches(docs []docRefs) [][]docRefs {
	var out [][]docRefs
	for b := range slices.Chunk(docs, maxBatch) {
		out = append(out, b)
	}
	return out
}

// lookup returns a field by its path.
func lookup(doc bson.Raw, path string) bson.RawValue { return doc.Lookup(strings.Split(path, ".")...) }

// hashOf returns the hash in the key field of a document.
func hashOf(doc bson.Raw, key string) (Hash, error) {
	_, data, ok := lookup(doc, key).BinaryOK()
	if !ok {
		return Hash{}, fmt.Errorf("%s of a document is not binary", key)
	}
	h, err := HashFromBytes(data)
	if err != nil {
		return h, fmt.Errorf("%s of a document: %w", key, err)
	}
	return h, nil
}
