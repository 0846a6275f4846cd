package quota_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/quota"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"
)

var alive = bson.E{Key: "deleting", Value: bson.D{{Key: "$exists", Value: false}}}

type fixture struct {
	*quota.Keeper
	users *mongo.Collection
}

func newFixture(t *testing.T) *fixture {
	users := dbtest.Database(t).Collection("users")
	return &fixture{quota.New(users, alive), users}
}

// user inserts a user with limits.
func (f *fixture) user(t interface {
	Context() context.Context
	Fatal(...any)
}, id byte, l quota.Limits) [8]byte {
	user := [8]byte{id}
	_, err := f.users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}}, {Key: quota.Field, Value: quota.NewState(l)}})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func TestChargeUpToTheLimit(t *testing.T) {
	f := newFixture(t)
	for i, tt := range []struct {
		name   string
		limits quota.Limits
		charge quota.Usage
		want   error
	}{
		{"no limits", quota.Limits{}, quota.Usage{Bytes: 1 << 50, Messages: 1 << 40}, nil},
		{"exactly the bytes", quota.Limits{Bytes: 100}, quota.Usage{Bytes: 100, Messages: 7}, nil},
		{"one byte more", quota.Limits{Bytes: 100}, quota.Usage{Bytes: 101, Messages: 1}, quota.ErrOverQuota},
		{"exactly the messages", quota.Limits{Messages: 3}, quota.Usage{Bytes: 1 << 40, Messages: 3}, nil},
		{"one message more", quota.Limits{Messages: 3}, quota.Usage{Bytes: 1, Messages: 4}, quota.ErrOverQuota},
		{"both limits", quota.Limits{Bytes: 10, Messages: 1}, quota.Usage{Bytes: 10, Messages: 1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := f.user(t, byte(i+1), tt.limits)
			if err := f.Charge(t.Context(), user, tt.charge); !errors.Is(err, tt.want) {
				t.Fatalf("charge: %v, want %v", err, tt.want)
			}
			state, err := f.Get(t.Context(), user)
			if err != nil || state.Limits() != tt.limits {
				t.Fatalf("limits %+v, %v", state.Limits(), err)
			}
			want := tt.charge
			if tt.want != nil {
				want = quota.Usage{}
			}
			if state.Usage() != want {
				t.Errorf("usage %+v, want %+v", state.Usage(), want)
			}
			if err := f.Release(t.Context(), user, want); err != nil {
				t.Fatal(err)
			}
			if state, err := f.Get(t.Context(), user); err != nil || state.Usage() != (quota.Usage{}) {
				t.Errorf("usage after release %+v, %v", state.Usage(), err)
			}
		})
	}
}

func TestNobodyHasAQuota(t *testing.T) {
	f := newFixture(t)
	gone := f.user(t, 1, quota.Limits{})
	if _, err := f.users.UpdateOne(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "deleting", Value: true}}}}); err != nil {
		t.Fatal(err)
	}
	for _, user := range [][8]byte{{9}, gone} {
		if _, err := f.Get(t.Context(), user); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("get: %v", err)
		}
		if err := f.Charge(t.Context(), user, quota.Usage{}); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("charge: %v", err)
		}
		if err := f.SetLimits(t.Context(), user, quota.Limits{}); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("set limits: %v", err)
		}
	}
	if err := f.Release(t.Context(), gone, quota.Usage{}); err != nil {
		t.Errorf("release for a user that is being deleted: %v", err)
	}
	if err := f.Release(t.Context(), [8]byte{9}, quota.Usage{}); !errors.Is(err, quota.ErrNoSuchUser) {
		t.Errorf("release: %v", err)
	}
}

func TestLimitsOutOfRange(t *testing.T) {
	f := newFixture(t)
	user := f.user(t, 1, quota.Limits{})
	for _, l := range []quota.Limits{{Bytes: -1}, {Messages: -1}, {Bytes: quota.MaxLimit + 1}, {Messages: quota.Unlimited}} {
		if err := f.SetLimits(t.Context(), user, l); !errors.Is(err, quota.ErrInvalidLimit) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if err := f.SetLimits(t.Context(), user, quota.Limits{Bytes: quota.MaxLimit, Messages: quota.MaxLimit}); err != nil {
		t.Error(err)
	}
}

// Any sequence of charges, releases and changes of limits gives what arithmetic gives.
func TestQuotaModel(t *testing.T) {
	f := newFixture(t)
	id := byte(0)
	amount := rapid.Custom(func(t *rapid.T) quota.Usage {
		return quota.Usage{Bytes: rapid.Int64Range(0, 60).Draw(t, "bytes"), Messages: rapid.Int64Range(0, 6).Draw(t, "messages")}
	})
	rapid.Check(t, func(t *rapid.T) {
		if _, err := f.users.DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		id++
		user := f.user(t, id, quota.Limits{})
		var limits quota.Limits
		var used quota.Usage
		t.Repeat(map[string]func(*rapid.T){
			"charge": func(t *rapid.T) {
				u := amount.Draw(t, "amount")
				fits := (limits.Bytes == 0 || used.Bytes+u.Bytes <= limits.Bytes) && (limits.Messages == 0 || used.Messages+u.Messages <= limits.Messages)
				err := f.Charge(t.Context(), user, u)
				if fits {
					used = used.Add(u)
				}
				if fits != (err == nil) || err != nil && !errors.Is(err, quota.ErrOverQuota) {
					t.Fatalf("charge %+v at %+v of %+v: %v", u, used, limits, err)
				}
			},
			"release": func(t *rapid.T) {
				u := amount.Draw(t, "amount")
				u = quota.Usage{Bytes: min(u.Bytes, used.Bytes), Messages: min(u.Messages, used.Messages)}
				if err := f.Release(t.Context(), user, u); err != nil {
					t.Fatal(err)
				}
				used = quota.Usage{Bytes: used.Bytes - u.Bytes, Messages: used.Messages - u.Messages}
			},
			"limits": func(t *rapid.T) {
				limits = quota.Limits{Bytes: rapid.Int64Range(0, 200).Draw(t, "bytes"), Messages: rapid.Int64Range(0, 20).Draw(t, "messages")}
				if err := f.SetLimits(t.Context(), user, limits); err != nil {
					t.Fatal(err)
				}
			},
			"recalculate": func(t *rapid.T) {
				actual := amount.Draw(t, "actual")
				diff, err := f.Recalculate(t.Context(), user, func(context.Context) (quota.Usage, error) { return actual, nil })
				if err != nil || used.Add(diff) != actual {
					t.Fatalf("recalculated %+v by %+v, %v; want %+v", used, diff, err, actual)
				}
				used = actual
			},
			"": func(t *rapid.T) {
				state, err := f.Get(t.Context(), user)
				if err != nil || state.Usage() != used || state.Limits() != limits {
					t.Fatalf("%+v of %+v, %v; want %+v of %+v", state.Usage(), state.Limits(), err, used, limits)
				}
			},
		})
	})
}

// Charges, releases and changes of limits at the same time lose nothing.
func TestQuotaConcurrently(t *testing.T) {
	f := newFixture(t)
	user := f.user(t, 1, quota.Limits{Bytes: 1000})
	var charged atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				switch err := f.Charge(t.Context(), user, quota.Usage{Bytes: 10, Messages: 1}); {
				case err == nil:
					charged.Add(1)
				case !errors.Is(err, quota.ErrOverQuota):
					t.Error(err)
				}
				if i == 0 {
					if err := f.SetLimits(t.Context(), user, quota.Limits{Bytes: int64(900 + 20*j)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	state, err := f.Get(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	n := charged.Load()
	if want := (quota.Usage{Bytes: 10 * n, Messages: n}); state.Usage() != want {
		t.Errorf("usage %+v, want %+v", state.Usage(), want)
	}
	if state.Usage().Bytes > 1080 || state.Limits() != (quota.Limits{Bytes: 1080}) {
		t.Errorf("usage %+v of %+v", state.Usage(), state.Limits())
	}
}
