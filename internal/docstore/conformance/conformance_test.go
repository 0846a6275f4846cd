package conformance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

const (
	caseTimeout = 10 * time.Minute
	// minCases keeps a file that is not read any more from going unnoticed.
	minCases = 1000
)

func TestConformance(t *testing.T) {
	r := &replies{}
	client := dbtest.NewClient(t, options.Client().SetRetryWrites(false).SetRetryReads(false).
		SetMonitor(&event.CommandMonitor{Succeeded: r.succeeded}))
	files := load(t)
	newer := newerCases(t, client, files)
	n := 0
	for name, f := range files {
		t.Run(name, func(t *testing.T) {
			for _, g := range f.Groups {
				n += len(g.Cases)
				t.Run(g.Name, func(t *testing.T) { g.run(t, client, r, newer) })
			}
		})
	}
	if n < minCases && !t.Failed() {
		t.Errorf("%d cases, want at least %d", n, minCases)
	}
}

// replies keeps the replies of commands that succeeded, since the driver gives none that has write
// errors.
type replies struct {
	mu   sync.Mutex
	last bson.Raw
}

func (r *replies) succeeded(_ context.Context, e *event.CommandSucceededEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = slices.Clone(e.Reply)
}

func (r *replies) take() bson.Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// run runs the cases one after the other, each with a collection of its own unless all only read.
// Those in newer are of a later version than the server, and are left out.
func (g *group) run(t *testing.T, client *mongo.Client, r *replies, newer map[string]string) {
	db := client.Database(dbtest.Database(t).Name())
	prepared := false
	for _, c := range g.Cases {
		if c.EmbeddedOnly != "" && !dbtest.Embedded() {
			continue
		}
		if why := newer[t.Name()+"/"+underscored(c.Name)]; why != "" {
			t.Logf("%s is left out: %s", c.Name, why)
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			// No deadline: the driver would turn that into a maxTimeMS of every command.
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			defer time.AfterFunc(caseTimeout, cancel).Stop()
			if !prepared || !g.Reading {
				g.prepare(ctx, t, db, &c)
				prepared = true
			}
			s := &run{ctx: ctx, db: db, replies: r, saved: map[string]any{}, sessions: map[string]*session{}}
			defer s.end(t)
			s.run(t, &c)
		})
	}
}

func (g *group) prepare(ctx context.Context, t *testing.T, db *mongo.Database, c *testCase) {
	t.Helper()
	names, err := db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := db.Collection(name).Drop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	docs, indexes := c.Docs, c.Indexes
	if docs == nil {
		docs = g.Docs
	}
	if indexes == nil {
		indexes = g.Indexes
	}
	if list := docs.array(t, nil); len(list) > 0 {
		if _, err := db.Collection("c").InsertMany(ctx, []any(list)); err != nil {
			t.Fatal(err)
		}
	}
	if list := indexes.array(t, nil); len(list) > 0 {
		cmd := bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: list}}
		if err := db.RunCommand(ctx, cmd).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// run is the state of one case.
type run struct {
	ctx      context.Context
	db       *mongo.Database
	replies  *replies
	saved    map[string]any
	sessions map[string]*session
}

// A session's transactions are numbered here, not by the driver, so that a case can say any wrong
// thing.
type session struct {
	*mongo.Session
	number int64
	open   bool
}

func (s *run) run(t *testing.T, c *testCase) {
	steps := c.Steps
	if c.Run != nil {
		steps = append(steps, c.step)
	}
	if c.Find != nil {
		s.find(t, c)
	} else if len(steps) == 0 {
		t.Fatal("the case does nothing")
	}
	for i := range steps {
		s.step(t, &steps[i])
		if t.Failed() {
			t.Fatalf("step %d: %s", i+1, steps[i].Run)
		}
	}
	if c.After != nil {
		if diff := same(c.After.array(t, s.saved), s.all(t, bson.D{})); diff != "" {
			t.Errorf("documents afterwards: %s", diff)
		}
	}
}

func (s *run) find(t *testing.T, c *testCase) {
	var ids []bson.RawValue
	for _, doc := range s.all(t, c.Find.doc(t, s.saved)) {
		ids = append(ids, doc.Document().Lookup("_id"))
	}
	if diff := same(c.IDs.array(t, s.saved), ids); diff != "" {
		t.Errorf("%s: _ids: %s", c.Find, diff)
	}
}

func (s *run) all(t *testing.T, filter bson.D) []bson.RawValue {
	t.Helper()
	cur, err := s.db.Collection("c").Find(s.ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(s.ctx, &docs); err != nil {
		t.Fatal(err)
	}
	var vals []bson.RawValue
	for _, d := range docs {
		vals = append(vals, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d})
	}
	return vals
}

func (s *run) step(t *testing.T, st *step) {
	t.Helper()
	reply, err := s.command(t, st)
	var ce mongo.CommandError
	switch {
	case st.Error == nil && err != nil:
		t.Fatalf("error: %v", err)
	case st.Error != nil && err == nil:
		t.Fatalf("no error, but %s", reply)
	case st.Error != nil && !errors.As(err, &ce):
		t.Fatalf("not a command's error: %v", err)
	case st.Error != nil:
		st.Error.check(t, ce, s.saved)
		reply = ce.Raw
	}
	whole := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: reply}
	if st.Want != nil {
		if diff := contains("reply", st.Want.doc(t, s.saved), whole); diff != "" {
			t.Error(diff)
		}
	}
	for _, path := range st.Absent {
		if v, ok := lookup(reply, path); ok {
			t.Errorf("the reply has %s: %s", path, v)
		}
	}
	if st.Batch != nil || st.Count != nil {
		batch, ok := lookup(reply, "cursor.firstBatch")
		if !ok {
			batch, _ = lookup(reply, "cursor.nextBatch")
		}
		arr, _ := batch.ArrayOK()
		docs, _ := arr.Values()
		if st.Count != nil && len(docs) != *st.Count {
			t.Errorf("a batch of %d documents, want %d", len(docs), *st.Count)
		}
		if st.Batch != nil {
			if diff := same(st.Batch.array(t, s.saved), docs); diff != "" {
				t.Errorf("batch: %s", diff)
			}
		}
	}
	for name, path := range st.Save {
		v, ok := lookup(reply, path)
		if !ok {
			t.Fatalf("no %s to save in %s", path, reply)
		}
		s.saved[name] = v
	}
}

func (s *run) command(t *testing.T, st *step) (bson.Raw, error) {
	t.Helper()
	cmd := st.Run.doc(t, s.saved)
	db, ctx := s.db, s.ctx
	if st.DB != "" {
		db = db.Client().Database(st.DB)
	}
	if st.Session == "" && st.Txn != "" {
		t.Fatal("a transaction without a session")
	}
	// Steps without a name share a session, too: a cursor belongs to that of its find.
	ss := s.session(t, st.Session)
	ctx = mongo.NewSessionContext(ctx, ss.Session)
	cmd = append(cmd, ss.arguments(t, st.Txn)...)
	err := db.RunCommand(ctx, cmd).Err()
	var writes mongo.WriteException
	if err != nil && !errors.As(err, &writes) {
		return nil, err
	}
	return s.replies.take(), nil
}

func (s *run) session(t *testing.T, name string) *session {
	t.Helper()
	if ss := s.sessions[name]; ss != nil {
		return ss
	}
	// Causal consistency would have the driver add a read concern.
	sess, err := s.db.Client().StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		t.Fatal(err)
	}
	// Numbers start where no earlier use of the driver's pooled session has been.
	ss := &session{Session: sess, number: time.Now().UnixNano()}
	s.sessions[name] = ss
	s.saved["lsid "+name] = ss.ID()
	return ss
}

func (ss *session) arguments(t *testing.T, txn string) bson.D {
	t.Helper()
	args := bson.D{{Key: "txnNumber", Value: ss.number}, {Key: "autocommit", Value: false}}
	switch txn {
	case "":
		return nil
	case "retry": // a retryable write, under the same number
		return args[:1]
	case "new retry":
		ss.number++
		return bson.D{{Key: "txnNumber", Value: ss.number}}
	case "start":
		ss.number++
		ss.open = true
		return bson.D{{Key: "txnNumber", Value: ss.number}, args[1], {Key: "startTransaction", Value: true}}
	case "again": // start under a number that was used
		return append(args, bson.E{Key: "startTransaction", Value: true})
	case "go on":
		return args
	case "old": // a retryable write under a number before the last
		return bson.D{{Key: "txnNumber", Value: ss.number - 1}}
	case "unknown": // go on with what was never started
		ss.number++
		return bson.D{{Key: "txnNumber", Value: ss.number}, args[1]}
	}
	t.Fatalf("txn %q is not known", txn)
	return nil
}

// end aborts what a case has left open, which would stop the next from dropping the collection.
func (s *run) end(t *testing.T) {
	for _, ss := range s.sessions {
		if ss.open {
			ctx := mongo.NewSessionContext(s.ctx, ss.Session)
			cmd := append(bson.D{{Key: "abortTransaction", Value: 1}}, ss.arguments(t, "go on")...)
			err := s.db.Client().Database("admin").RunCommand(ctx, cmd).Err()
			var ce mongo.CommandError
			if err != nil && !errors.As(err, &ce) { // that there is nothing to abort is no trouble
				t.Errorf("abort: %v", err)
			}
		}
		ss.EndSession(s.ctx)
	}
}

func (w *wantError) check(t *testing.T, got mongo.CommandError, saved map[string]any) {
	t.Helper()
	if !slices.Contains(append(w.Codes, w.Code), got.Code) || w.CodeName != "" && got.Name != w.CodeName {
		t.Errorf("error %d %s, want %v %d %s: %s", got.Code, got.Name, w.Codes, w.Code, w.CodeName, got.Message)
	}
	for _, l := range w.Labels {
		if !got.HasErrorLabel(l) {
			t.Errorf("error %v has no label %s", got, l)
		}
	}
	if w.NoLabels && len(got.Labels) > 0 {
		t.Errorf("error %v has labels %v", got, got.Labels)
	}
	for field, want := range map[string]document{"keyPattern": w.KeyPattern, "keyValue": w.KeyValue} {
		if want == nil {
			continue
		}
		v, ok := lookup(got.Raw, field)
		if !ok {
			t.Errorf("no %s in %s", field, got.Raw)
		} else if diff := same(bson.A{want.value(t, saved)}, []bson.RawValue{v}); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
}
