package database

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

func refusal(code Code, labels ...Label) error {
	e := mongo.CommandError{Code: int32(code), Name: "refused"}
	for _, l := range labels {
		e.Labels = append(e.Labels, string(l))
	}
	return fmt.Errorf("do something: %w", e)
}

func TestErrorClasses(t *testing.T) {
	classes := map[string]func(error) bool{
		"full": IsStorageFull, "unavailable": IsUnavailable, "not primary": IsNotPrimary, "transient": IsTransient,
		"conflict": IsConflict, "cursor": IsCursorLost, "snapshot": IsSnapshotLost, "unclustered": hasRefusedForm,
	}
	write := fmt.Errorf("insert: %w", mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{
		{WriteError: mongo.WriteError{Code: int(OutOfDiskSpace)}}}})
	for name, tt := range map[string]struct {
		err  error
		want []string
	}{
		"none":             {nil, nil},
		"other":            {errors.New("other"), nil},
		"full":             {refusal(OutOfDiskSpace), []string{"full"}},
		"full, of a write": {write, []string{"full"}},
		"deadline":         {fmt.Errorf("find: %w", context.DeadlineExceeded), []string{"unavailable"}},
		"cancelled":        {context.Canceled, nil},
		"connection lost":  {refusal(0, NetworkError), []string{"unavailable", "cursor"}},
		"stepped down":     {refusal(PrimarySteppedDown), []string{"unavailable", "not primary", "cursor"}},
		"client closed":    {mongo.ErrClientDisconnected, []string{"unavailable"}},
		"conflict": {refusal(WriteConflict, TransientTransactionError),
			[]string{"conflict", "transient", "snapshot"}},
		"lock": {refusal(LockTimeout, TransientTransactionError),
			[]string{"conflict", "transient", "snapshot"}},
		"migration":          {refusal(MigrationConflict), []string{"conflict"}},
		"no snapshot":        {refusal(SnapshotUnavailable), []string{"conflict", "snapshot"}},
		"shard":              {refusal(HostUnreachable), []string{"unavailable"}},
		"shard is slow":      {refusal(ExceededTimeLimit), []string{"unavailable"}},
		"cursor":             {refusal(CursorNotFound), []string{"cursor"}},
		"snapshot":           {refusal(SnapshotTooOld), []string{"snapshot"}},
		"old server":         {refusal(IDLUnknownField), []string{"unclustered"}},
		"retryable, no more": {refusal(1, RetryableWriteError), nil},
	} {
		want := map[string]bool{}
		for _, class := range tt.want {
			want[class] = true
		}
		for class, is := range classes {
			if is(tt.err) != want[class] {
				t.Errorf("%s: %s is %v", name, class, !want[class])
			}
		}
	}
}

// The classes hold for errors as the driver makes them.
func TestErrorsOfTheDriver(t *testing.T) {
	ctx := t.Context()
	db := dbtest.Database(t)
	if err := db.CreateCollection(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateCollection(ctx, "one"); !HasCode(err, BadValue, NamespaceExists) {
		t.Errorf("made twice: %v", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://127.0.0.1:1/?replicaSet=none").
		SetServerSelectionTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(ctx, nil); !IsUnavailable(err) {
		t.Errorf("nobody listens: %v", err)
	}
	if err := client.Disconnect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Database("x").RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err(); !IsUnavailable(err) {
		t.Errorf("disconnected: %v", err)
	}
}

func hasRefusedForm(err error) bool { return HasCode(err, refusedForm...) }
