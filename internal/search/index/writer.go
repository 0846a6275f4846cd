package index

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
)

// A Mail is one to index.
type Mail struct {
	User    mailkey.UserID
	Number  uint64
	Content contents.ID
	Prefix  []byte
}

// An Extractor gathers the grams of a mail (search.Extractor). One goroutine uses it.
type Extractor interface {
	Extract(ctx context.Context, g *Grams, prefix []byte, content *contents.Content) error
}

// Contents is what the Writer needs of contents.Store.
type Contents interface {
	Load(ctx context.Context, ids []contents.ID, want contents.Want) (map[contents.ID]*contents.Content, error)
}

// Writer makes rows in the background. It is safe for concurrent use.
type Writer struct {
	index    *Index
	contents Contents
	extract  func() Extractor
	log      *slog.Logger
	turner   *Turner // nil: rows stay rows

	queue chan Mail
	rows  map[mailkey.UserID]int // that were written since the user's rows were last turned; of run
	idle  sync.Cond              // signals that pending is 0
	mu    sync.Mutex

	waiting atomic.Int32  // calls of Wait
	wake    chan struct{} // tells Run that one began

	pending                      int // guarded by mu
	written, dropped, unreadable atomic.Int64
}

// Stats counts what a Writer did.
type Stats struct {
	Backlog    int   // mails that wait for their rows
	Written    int64 // rows
	Dropped    int64 // mails for which there was no room: Repair finds them
	Unreadable int64 // mails without a row, because their content could not be read
}

// NewWriter returns a Writer. Run does its work.
func NewWriter(x *Index, c Contents, e func() Extractor, t *Turner, log *slog.Logger) *Writer {
	if log == nil {
		log = slog.Default()
	}
	w := &Writer{
		index: x, contents: c, extract: e, turner: t, log: log,
		queue: make(chan Mail, maxQueue), rows: make(map[mailkey.UserID]int), wake: make(chan struct{}, 1),
	}
	w.idle.L = &w.mu
	return w
}

// Add has mails indexed soon. It never waits: mails for which there is no room stay without rows,
// and searches read them, until Repair.
func (w *Writer) Add(mails ...Mail) {
	for _, m := range mails {
		w.count(1)
		select {
		case w.queue <- m:
		default:
			w.count(-1)
			w.dropped.Add(1)
		}
	}
}

func (w *Writer) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending += n; w.pending == 0 {
		w.idle.Broadcast()
	}
}

// Wait waits until everything that was added is done. Run must be running, and waits for no further
// mails.
func (w *Writer) Wait() {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.pending > 0 {
		w.idle.Wait()
	}
}

// Stats returns the counts since NewWriter.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{w.pending, w.written.Load(), w.dropped.Load(), w.unreadable.Load()}
}

// Run makes rows until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-w.queue:
			batch := w.gather(ctx, m)
			w.write(ctx, batch)
			w.count(-len(batch))
		}
	}
}

// gather waits a moment for mails that share a write with the first.
func (w *Writer) gather(ctx context.Context, first Mail) []Mail {
	batch := []Mail{first}
	wait := time.NewTimer(batchWait)
	defer wait.Stop()
	for len(batch) < batchMails {
		select {
		case m := <-w.queue:
			batch = append(batch, m)
			continue
		default:
		}
		if w.waiting.Load() > 0 {
			break
		}
		select {
		case m := <-w.queue:
			batch = append(batch, m)
		case <-w.wake:
		case <-wait.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// write makes the rows of a batch. Failures leave mails without rows.
func (w *Writer) write(ctx context.Context, batch []Mail) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := w.Index(ctx, batch); err != nil {
		w.log.Warn("text index: mails stay without rows", "count", len(batch), "error", err)
		return
	}
	if w.turner == nil {
		return
	}
	if len(w.rows) > maxCounted { // Repair turns what this forgets
		clear(w.rows)
	}
	for _, m := range batch {
		if w.rows[m.User]++; w.rows[m.User] >= turnRows {
			delete(w.rows, m.User)
			w.turner.Ask(m.User)
		}
	}
}

// Index makes the rows of mails now.
func (w *Writer) Index(ctx context.Context, batch []Mail) error {
	ids := make([]contents.ID, len(batch))
	for i, m := range batch {
		ids[i] = m.Content
	}
	want := contents.Want{Parts: true, RootHeader: true, All: true}
	loaded, err := w.contents.Load(ctx, ids, want)
	if contents.IsUnreadable(err) {
		loaded = make(map[contents.ID]*contents.Content)
		for _, id := range ids { // one of them makes all fail
			one, err := w.contents.Load(ctx, []contents.ID{id}, want)
			if err == nil && one[id] != nil {
				loaded[id] = one[id]
			} else if err != nil && !contents.IsUnreadable(err) {
				return err
			}
		}
	} else if err != nil {
		return err
	}
	g, extractor := new(Grams), w.extract()
	docs := make([]any, 0, len(batch))
	for _, m := range batch {
		content := loaded[m.Content]
		if content == nil {
			w.unreadable.Add(1)
			continue
		}
		g.Reset()
		if err := extractor.Extract(ctx, g, m.Prefix, content); err != nil {
			if !contents.IsUnreadable(err) {
				return err
			}
			w.unreadable.Add(1)
			continue
		}
		docs = append(docs, g.document(m.User, m.Number))
	}
	if len(docs) == 0 {
		return nil
	}
	_, err = w.index.rows.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	if mongo.IsDuplicateKeyError(err) {
		err = nil // another instance, or an earlier attempt, was here
	}
	if err == nil {
		w.written.Add(int64(len(docs)))
	}
	return err
}

// document is the row of a mail.
func (g *Grams) document(user mailkey.UserID, number uint64) bson.D {
	key := rowKey(user, number)
	return bson.D{
		{Key: "_id", Value: bson.Binary{Data: key}}, {Key: fieldRules, Value: rules},
		{Key: fieldBits, Value: bson.Binary{Data: sealed(key, appendRow(nil, g.set[:]))}},
	}
}
