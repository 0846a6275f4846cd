package quota_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

var alive = bson.E{Key: "deleting", Value: bson.D{{Key: "$exists", Value: false}}}

type fixture struct {
	*quota.Keeper
	users *mongo.Collection
}

func newFixture(t *testing.T) *fixture {
	users := dbtest.Database(t).Collection("users")
	return &fixture{quota.New(users, alive, quota.Policy{}), users}
}

// set makes limits a user's own.
func set(t interface {
	Context() context.Context
	Fatal(...any)
}, k *quota.Keeper, user mailkey.UserID, l quota.Limits) {
	if _, err := k.SetLimits(t.Context(), user, func(quota.Limits) quota.Limits { return l }); err != nil {
		t.Fatal(err)
	}
}

// user inserts a user with limits.
func (f *fixture) user(t interface {
	Context() context.Context
	Fatal(...any)
}, id byte, l quota.Limits) mailkey.UserID {
	user := mailkey.UserID{id}
	_, err := f.users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}},
		{Key: quota.Field, Value: quota.NewState(l)}})
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
		{"unlimited", quota.Limits{Bytes: quota.Unlimited, Messages: quota.Unlimited},
			quota.Usage{Bytes: 1 << 50, Messages: 1 << 40}, nil},
		{"exactly the bytes", quota.Limits{Bytes: 100}, quota.Usage{Bytes: 100, Messages: 7}, nil},
		{"one byte more", quota.Limits{Bytes: 100}, quota.Usage{Bytes: 101, Messages: 1}, quota.ErrOverQuota},
		{"exactly the messages", quota.Limits{Messages: 3}, quota.Usage{Bytes: 1 << 40, Messages: 3}, nil},
		{"one message more", quota.Limits{Messages: 3}, quota.Usage{Bytes: 1, Messages: 4}, quota.ErrOverQuota},
		{"both limits", quota.Limits{Bytes: 10, Messages: 1}, quota.Usage{Bytes: 10, Messages: 1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := f.user(t, byte(i+1), tt.limits)
			charged, err := f.Charge(t.Context(), user, tt.charge)
			if !errors.Is(err, tt.want) {
				t.Fatalf("charge: %v, want %v", err, tt.want)
			}
			state, err := f.Get(t.Context(), user)
			if err != nil || state.Own != tt.limits || state != charged {
				t.Fatalf("account %+v, %v; after the charge %+v", state, err, charged)
			}
			want := tt.charge
			if tt.want != nil {
				want = quota.Usage{}
			}
			if state.Usage != want {
				t.Errorf("usage %+v, want %+v", state.Usage, want)
			}
			if err := f.Release(t.Context(), user, want); err != nil {
				t.Fatal(err)
			}
			if state, err := f.Get(t.Context(), user); err != nil || state.Usage != (quota.Usage{}) {
				t.Errorf("usage after release %+v, %v", state.Usage, err)
			}
		})
	}
}

func TestNobodyHasAQuota(t *testing.T) {
	f := newFixture(t)
	gone := f.user(t, 1, quota.Limits{})
	if _, err := f.users.UpdateOne(t.Context(), bson.D{},
		bson.D{{Key: "$set", Value: bson.D{{Key: "deleting", Value: true}}}}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []mailkey.UserID{{9}, gone} {
		if _, err := f.Get(t.Context(), user); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("get: %v", err)
		}
		if _, err := f.Charge(t.Context(), user, quota.Usage{}); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("charge: %v", err)
		}
		if _, err := f.SetLimits(t.Context(), user,
			func(l quota.Limits) quota.Limits { return l }); !errors.Is(err, quota.ErrNoSuchUser) {
			t.Errorf("set limits: %v", err)
		}
	}
	if err := f.Release(t.Context(), gone, quota.Usage{}); err != nil {
		t.Errorf("release for a user that is being deleted: %v", err)
	}
	if err := f.Release(t.Context(), mailkey.UserID{9}, quota.Usage{}); !errors.Is(err, quota.ErrNoSuchUser) {
		t.Errorf("release: %v", err)
	}
}

func TestLimitsOutOfRange(t *testing.T) {
	f := newFixture(t)
	user := f.user(t, 1, quota.Limits{})
	for _, l := range []quota.Limits{{Bytes: -2}, {Messages: -2}, {Bytes: quota.MaxLimit + 1},
		{Messages: quota.MaxLimit + 1}} {
		if _, err := f.SetLimits(t.Context(), user,
			func(quota.Limits) quota.Limits { return l }); !errors.Is(err, quota.ErrInvalidLimit) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	set(t, f.Keeper, user, quota.Limits{Bytes: quota.MaxLimit, Messages: quota.MaxLimit})
	if _, err := f.Charge(t.Context(), user, quota.Usage{Bytes: quota.MaxLimit, Messages: quota.MaxLimit}); err != nil {
		t.Error(err)
	}
}

// Another policy is in force at once for those who have no limits of their own, and for nobody
// else.
func TestPolicy(t *testing.T) {
	f := newFixture(t)
	small := quota.New(f.users, alive, quota.Policy{Limits: quota.Limits{Bytes: 100, Messages: 5}})
	large := quota.New(f.users, alive, quota.Policy{Limits: quota.Limits{Bytes: 200, Messages: quota.Unlimited}})
	for i, tt := range []struct {
		name         string
		own          quota.Limits
		small, large quota.Limits // in force
	}{
		{"default", quota.Limits{}, quota.Limits{Bytes: 100, Messages: 5},
			quota.Limits{Bytes: 200, Messages: quota.Unlimited}},
		{"own bytes", quota.Limits{Bytes: 150}, quota.Limits{Bytes: 150, Messages: 5},
			quota.Limits{Bytes: 150, Messages: quota.Unlimited}},
		{"own messages", quota.Limits{Messages: 7}, quota.Limits{Bytes: 100, Messages: 7},
			quota.Limits{Bytes: 200, Messages: 7}},
		{"unlimited", quota.Limits{Bytes: quota.Unlimited, Messages: quota.Unlimited},
			quota.Limits{Bytes: quota.Unlimited, Messages: quota.Unlimited},
			quota.Limits{Bytes: quota.Unlimited, Messages: quota.Unlimited}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := f.user(t, byte(i+1), tt.own)
			var used quota.Usage
			for _, p := range []struct {
				*quota.Keeper
				want quota.Limits
			}{{small, tt.small}, {large, tt.large}, {small, tt.small}} {
				// Up to the limit, and not a byte or a message more.
				for _, more := range []quota.Usage{{Bytes: p.want.Bytes - used.Bytes},
					{Messages: p.want.Messages - used.Messages}} {
					if more.Bytes <= 0 && more.Messages <= 0 {
						continue
					}
					account, err := p.Charge(t.Context(), user, more)
					if used = used.Add(more); err != nil || account.Limits != p.want || account.Usage != used {
						t.Fatalf("charge of %+v: %+v, %v; want limits %+v, usage %+v", more, account, err, p.want, used)
					}
				}
				for _, more := range []quota.Usage{{Bytes: 1}, {Messages: 1}} {
					if p.want.Fit(used, more) {
						continue
					}
					account, err := p.Charge(t.Context(), user, more)
					if !errors.Is(err, quota.ErrOverQuota) || account.Usage != used || account.Fits(more) {
						t.Errorf("charge of %+v: %+v, %v; want over quota", more, account, err)
					}
				}
			}
		})
	}
}

func TestLevels(t *testing.T) {
	levels := quota.Levels{80, 95}
	if err := levels.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []quota.Levels{{0}, {101}, {95, 80}, {80, 80}, make(quota.Levels, quota.MaxLevels+1)} {
		if bad.Check() == nil {
			t.Errorf("%v can be levels", bad)
		}
	}
	limits := func(bytes, messages int64) quota.Limits { return quota.Limits{Bytes: bytes, Messages: messages} }
	for _, tt := range []struct {
		name          string
		limits        quota.Limits
		before, after int64 // of both resources
		want          []quota.Crossing
	}{
		{"below", limits(1000, quota.Unlimited), 0, 799, nil},
		{"exactly at", limits(1000, quota.Unlimited), 799, 800, []quota.Crossing{{quota.Storage, 80, 800, 1000}}},
		{"told before", limits(1000, quota.Unlimited), 800, 949, nil},
		{"the highest of two", limits(1000, quota.Unlimited), 0, 1000,
			[]quota.Crossing{{quota.Storage, 95, 1000, 1000}}},
		{"rounded up", limits(1001, quota.Unlimited), 800, 801, []quota.Crossing{{quota.Storage, 80, 801, 1001}}},
		{"a single one", limits(1, quota.Unlimited), 0, 1, []quota.Crossing{{quota.Storage, 95, 1, 1}}},
		{"unlimited", limits(quota.Unlimited, quota.Unlimited), 0, 1 << 59, nil},
		{"both", limits(100, 20), 10, 81, []quota.Crossing{{quota.Storage, 80, 81, 100}, {quota.Message, 95, 81, 20}}},
		{"huge", limits(quota.MaxLimit, quota.Unlimited), 0, quota.MaxLimit,
			[]quota.Crossing{{quota.Storage, 95, quota.MaxLimit, quota.MaxLimit}}},
		{"beyond, the limit was lowered", limits(100, quota.Unlimited), 150, 160, nil},
	} {
		account := quota.Account{Limits: tt.limits, Usage: quota.Usage{Bytes: tt.after, Messages: tt.after}}
		charged := quota.Usage{Bytes: tt.after - tt.before, Messages: tt.after - tt.before}
		if diff := cmp.Diff(tt.want, levels.Crossed(account, charged)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// Any sequence of charges, releases, and changes of limits and policy gives what arithmetic gives.
func TestQuotaModel(t *testing.T) {
	f := newFixture(t)
	id := byte(0)
	amount := rapid.Custom(func(t *rapid.T) quota.Usage {
		return quota.Usage{Bytes: rapid.Int64Range(0, 60).Draw(t, "bytes"),
			Messages: rapid.Int64Range(0, 6).Draw(t, "messages")}
	})
	limit := func(most int64) *rapid.Generator[int64] {
		return rapid.OneOf(rapid.SampledFrom([]int64{quota.Default, quota.Unlimited}), rapid.Int64Range(1, most))
	}
	drawLimits := rapid.Custom(func(t *rapid.T) quota.Limits {
		return quota.Limits{Bytes: limit(200).Draw(t, "bytes"), Messages: limit(20).Draw(t, "messages")}
	})
	inForce := func(own, policy int64) int64 {
		if own == quota.Default {
			own = policy
		}
		if own == quota.Default || own == quota.Unlimited {
			return 1 << 40 // more than the model stores
		}
		return own
	}
	rapid.Check(t, func(t *rapid.T) {
		if _, err := f.users.DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		id++
		user := f.user(t, id, quota.Limits{})
		keeper := f.Keeper
		var own, policy quota.Limits
		var used quota.Usage
		t.Repeat(map[string]func(*rapid.T){
			"charge": func(t *rapid.T) {
				u := amount.Draw(t, "amount")
				fits := (u.Bytes == 0 || used.Bytes+u.Bytes <= inForce(own.Bytes, policy.Bytes)) &&
					(u.Messages == 0 || used.Messages+u.Messages <= inForce(own.Messages, policy.Messages))
				account, err := keeper.Charge(t.Context(), user, u)
				if fits {
					used = used.Add(u)
				}
				if fits != (err == nil) || err != nil && !errors.Is(err, quota.ErrOverQuota) || account.Usage != used {
					t.Fatalf("charge %+v at %+v of %+v, %+v: %+v, %v", u, used, own, policy, account, err)
				}
			},
			"release": func(t *rapid.T) {
				u := amount.Draw(t, "amount")
				u = quota.Usage{Bytes: min(u.Bytes, used.Bytes), Messages: min(u.Messages, used.Messages)}
				if err := keeper.Release(t.Context(), user, u); err != nil {
					t.Fatal(err)
				}
				used = used.Sub(u)
			},
			"limits": func(t *rapid.T) {
				own = drawLimits.Draw(t, "own")
				set(t, keeper, user, own)
			},
			"policy": func(t *rapid.T) {
				policy = drawLimits.Draw(t, "policy")
				keeper = quota.New(f.users, alive, quota.Policy{Limits: policy})
			},
			"recalculate": func(t *rapid.T) {
				actual := amount.Draw(t, "actual")
				diff, err := keeper.Recalculate(t.Context(), user, true,
					func(context.Context) (quota.Usage, error) { return actual, nil })
				if err != nil || used.Add(diff) != actual {
					t.Fatalf("recalculated %+v by %+v, %v; want %+v", used, diff, err, actual)
				}
				used = actual
			},
			"": func(t *rapid.T) {
				account, err := keeper.Get(t.Context(), user)
				if err != nil || account.Usage != used || account.Own != own {
					t.Fatalf("%+v, %v; want %+v of %+v", account, err, used, own)
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
				switch _, err := f.Charge(t.Context(), user, quota.Usage{Bytes: 10, Messages: 1}); {
				case err == nil:
					charged.Add(1)
				case !errors.Is(err, quota.ErrOverQuota):
					t.Error(err)
				}
				if i == 0 {
					if _, err := f.SetLimits(t.Context(), user, func(l quota.Limits) quota.Limits {
						l.Bytes = int64(900 + 20*j)
						return l
					}); err != nil {
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
	if want := (quota.Usage{Bytes: 10 * n, Messages: n}); state.Usage != want {
		t.Errorf("usage %+v, want %+v", state.Usage, want)
	}
	if state.Usage.Bytes > 1080 || state.Own != (quota.Limits{Bytes: 1080}) {
		t.Errorf("%+v", state)
	}
}
