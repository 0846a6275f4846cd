package maintenance

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/ranges"
)

// A search for chunks without a file that was stopped goes on behind the ranges that are done, with the
// help of another instance, and finds them all.
func TestOrphansByRanges(t *testing.T) {
	s := newStore(t)
	const orphaned = 64
	var chunks []any
	for i := range orphaned {
		id := bson.ObjectID{byte(4 * i), 1, 2, 3}
		chunks = append(chunks, bson.D{{Key: "_id", Value: bson.ObjectID{0, 0, 0, 1, byte(i)}},
			{Key: "files_id", Value: id}, {Key: "n", Value: 0},
			{Key: "data", Value: bson.Binary{Data: []byte("lost")}}})
	}
	coll := s.db.Collection("blobs.chunks")
	if _, err := coll.InsertMany(t.Context(), chunks); err != nil {
		t.Fatal(err)
	}
	box := s.box(t, s.user(t, "ada@example.com"), "INBOX")
	for i := range 8 {
		s.deliver(t, append([]byte("Content-Type: application/octet-stream\r\n\r\n"), attachment(int64(i), 20_000)...),
			0, nil, box)
	}
	stopped := errors.New("stopped")
	guards := 0
	o := CollectOptions{Orphans: true, perRange: 1, Guard: func(context.Context) error {
		if guards++; guards > 6 {
			return stopped
		}
		return nil
	}}
	blobs := s.Contents().Blobs()
	if _, err := orphans(t.Context(), blobs, o, true); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	left, err := coll.CountDocuments(t.Context(), bson.D{{Key: "data", Value: bson.Binary{Data: []byte("lost")}}})
	if err != nil || left == 0 || left == orphaned {
		t.Fatalf("%d orphans are left, %v", left, err)
	}
	round, err := orphanJob(blobs, o).Find(t.Context())
	if err != nil || round == nil {
		t.Fatal(round, err)
	}
	states, err := round.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if done, _ := ranges.Totals(states); done == 0 || done == len(states) {
		t.Errorf("%d of %d ranges are done", done, len(states))
	}
	o.Guard = nil
	helped, err := helpWithOrphans(t.Context(), blobs, o)
	if err != nil || helped.Documents != left {
		t.Errorf("helped with %+v of %d, %v", helped, left, err)
	}
	rest, err := orphans(t.Context(), blobs, o, true)
	if err != nil || rest.Documents != 0 {
		t.Errorf("then found %+v, %v", rest, err)
	}
	if n, err := coll.CountDocuments(t.Context(), bson.D{}); err != nil || n != 8 {
		t.Errorf("%d chunks are left, %v", n, err)
	}
	if round, err := orphanJob(blobs, o).Find(t.Context()); err != nil || round != nil {
		t.Errorf("the round is under way: %v", err)
	}
}
