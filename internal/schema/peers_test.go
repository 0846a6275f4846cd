package schema

import (
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

// beatTimes lets an instance say so many times that it runs.
func (s *Schema) beatTimes(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := s.beat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Instances hear once of each one that was killed, and not of one that ended as it should. One that
// speaks again can be lost again.
func TestLostInstance(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 1}
	s, killed, ended := p.open(t), p.open(t), p.open(t)
	var lost []string
	s.Lost = func(in *Instance) { lost = append(lost, in.ID) }
	killed.beatTimes(t, 3)
	ended.beatTimes(t, 3)
	s.beatTimes(t, silentHeartbeats)
	ended.Close(t.Context())
	if len(lost) > 0 {
		t.Errorf("too early: %q", lost)
	}
	s.beatTimes(t, 2*silentHeartbeats)
	if !slices.Equal(lost, []string{killed.Self()}) {
		t.Errorf("lost are %q, want %q once", lost, killed.Self())
	}
	killed.beatTimes(t, 1)
	s.beatTimes(t, silentHeartbeats)
	if len(lost) != 1 {
		t.Errorf("it had spoken: %q", lost)
	}
	s.beatTimes(t, 2)
	if len(lost) != 2 {
		t.Errorf("lost again: %q", lost)
	}
	if list, err := s.Instances(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v: operators do not see which instance was killed", list, err)
	}
}

// A command has no heartbeats, and may run for long. An instance that begins leaves those that were
// silent before to the others.
func TestSilenceWithoutLoss(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 1}
	s, killed := p.open(t), p.open(t)
	p.open(t) // the command
	killed.beatTimes(t, 1)
	_, err := s.instances.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: killed.Self()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: time.Now().Add(-s.SilentAfter() - 1)}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Lost = func(in *Instance) { t.Errorf("%v is lost", in) }
	s.beatTimes(t, 3*silentHeartbeats)
	// One that speaks again can be lost, also if its clock is behind.
	var lost []string
	s.Lost = func(in *Instance) { lost = append(lost, in.ID) }
	killed.beatTimes(t, 1)
	s.beatTimes(t, 2*silentHeartbeats)
	if !slices.Equal(lost, []string{killed.Self()}) {
		t.Errorf("lost are %q, want %q", lost, killed.Self())
	}
}

// What was killed long ago is no news, and its document goes.
func TestInstanceLostLongAgo(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 1}
	s, old := p.open(t), p.open(t)
	old.beatTimes(t, 1)
	s.Lost = func(in *Instance) { t.Errorf("%v is lost", in) }
	_, err := s.instances.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: old.Self()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: time.Now().Add(-2 * keepLost)}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.beatTimes(t, silentHeartbeats)
	if list, err := s.Instances(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	s.beatTimes(t, 1)
	if list, err := s.Instances(t.Context()); err != nil || len(list) != 1 || list[0].ID != s.Self() {
		t.Errorf("%+v, %v", list, err)
	}
}
