package quota

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Unlimited stands in for a limit that is not set. Sums of message sizes stay far below it.
const Unlimited int64 = 1 << 60

// MaxLimit is the greatest limit that can be set.
const MaxLimit = Unlimited - 1

// casAttempts is how often a change of limits is tried while others change them too.
const casAttempts = 20

var (
	// ErrOverQuota: the charge does not fit into what is free. Nothing was changed.
	ErrOverQuota = errors.New("over quota")
	// ErrNoSuchUser: no user with this id, or one that is being deleted.
	ErrNoSuchUser = errors.New("quota: no such user")
	// ErrInvalidLimit: a negative limit, or one above MaxLimit.
	ErrInvalidLimit = errors.New("quota: limit out of range")
)

// Limits of a user; 0 means unlimited.
type Limits struct {
	Bytes    int64 // octets of messages (STORAGE, which RFC 9208 5.1 counts in units of 1024)
	Messages int64 // RFC 9208 5.2
}

// Check reports whether the limits can be set.
func (l Limits) Check() error {
	if l.Bytes < 0 || l.Bytes > MaxLimit || l.Messages < 0 || l.Messages > MaxLimit {
		return fmt.Errorf("%w: %d bytes, %d messages", ErrInvalidLimit, l.Bytes, l.Messages)
	}
	return nil
}

// Usage is an amount of mail.
type Usage struct {
	Bytes    int64
	Messages int64
}

// Add returns the sum of both.
func (u Usage) Add(v Usage) Usage { return Usage{u.Bytes + v.Bytes, u.Messages + v.Messages} }

// Field is the field of the user document that is this package's own. Key returns its initial value.
const Field = "quota"

const (
	fieldLimitBytes    = Field + ".bytes"
	fieldLimitMessages = Field + ".messages"
	fieldFreeBytes     = Field + ".freeBytes"
	fieldFreeMessages  = Field + ".freeMessages"
)

// State is the quota field of a user document.
type State struct {
	LimitBytes    int64 `bson:"bytes"`
	LimitMessages int64 `bson:"messages"`
	FreeBytes     int64 `bson:"freeBytes"`
	FreeMessages  int64 `bson:"freeMessages"`
}

// NewState is the quota field of a user with these limits who has no mail.
func NewState(l Limits) State {
	return State{
		LimitBytes: l.Bytes, LimitMessages: l.Messages,
		FreeBytes: effective(l.Bytes), FreeMessages: effective(l.Messages),
	}
}

// Limits returns the limits.
func (s State) Limits() Limits { return Limits{s.LimitBytes, s.LimitMessages} }

// Usage returns what is stored.
func (s State) Usage() Usage {
	return Usage{effective(s.LimitBytes) - s.FreeBytes, effective(s.LimitMessages) - s.FreeMessages}
}

// Fits reports whether a charge of u would succeed.
func (s State) Fits(u Usage) bool { return s.FreeBytes >= u.Bytes && s.FreeMessages >= u.Messages }

// Take lowers what is free in this copy of the state.
func (s *State) Take(u Usage) { s.FreeBytes -= u.Bytes; s.FreeMessages -= u.Messages }

func effective(limit int64) int64 {
	if limit == 0 {
		return Unlimited
	}
	return limit
}

// Keeper moves the counters of the users of one database.
type Keeper struct {
	users *mongo.Collection
	alive bson.E
}

// New returns a Keeper on the collection of users. alive is the condition that a user's document
// meets as long as the user is not being deleted.
func New(users *mongo.Collection, alive bson.E) *Keeper {
	return &Keeper{users: users, alive: alive}
}

// Get returns limits and usage. In the context of a transaction, it is the transaction's view.
func (k *Keeper) Get(ctx context.Context, user [8]byte) (State, error) {
	var doc struct {
		Quota State `bson:"quota"`
	}
	err := k.users.FindOne(ctx, k.filter(user), options.FindOne().SetProjection(bson.D{{Key: Field, Value: 1}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return State{}, ErrNoSuchUser
	}
	if err != nil {
		return State{}, fmt.Errorf("read quota: %w", err)
	}
	return doc.Quota, nil
}

// Charge raises the usage by u, if that much is free. It belongs into the transaction that stores
// the messages, as its first write: a transaction that conflicts on the user then does so
// before it has done the rest of its work.
func (k *Keeper) Charge(ctx context.Context, user [8]byte, u Usage) error {
	filter := append(k.filter(user),
		bson.E{Key: fieldFreeBytes, Value: bson.D{{Key: "$gte", Value: u.Bytes}}},
		bson.E{Key: fieldFreeMessages, Value: bson.D{{Key: "$gte", Value: u.Messages}}})
	res, err := k.users.UpdateOne(ctx, filter, incFree(-u.Bytes, -u.Messages))
	if err != nil {
		return fmt.Errorf("charge quota: %w", err)
	}
	if res.MatchedCount == 1 {
		return nil
	}
	if _, err := k.Get(ctx, user); err != nil {
		return err
	}
	return ErrOverQuota
}

// Release lowers the usage by u. It belongs into the transaction that removes the messages. Users
// that are being deleted are included.
func (k *Keeper) Release(ctx context.Context, user [8]byte, u Usage) error {
	res, err := k.users.UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}}}, incFree(u.Bytes, u.Messages))
	if err != nil {
		return fmt.Errorf("release quota: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	return nil
}

// SetLimits changes the limits; usage stays. Limits below the usage are allowed: nothing more can be stored then.
func (k *Keeper) SetLimits(ctx context.Context, user [8]byte, l Limits) error {
	if err := l.Check(); err != nil {
		return err
	}
	for range casAttempts {
		old, err := k.Get(ctx, user)
		if err != nil {
			return err
		}
		filter := append(k.filter(user),
			bson.E{Key: fieldLimitBytes, Value: old.LimitBytes},
			bson.E{Key: fieldLimitMessages, Value: old.LimitMessages})
		update := append(
			incFree(effective(l.Bytes)-effective(old.LimitBytes), effective(l.Messages)-effective(old.LimitMessages)),
			bson.E{Key: "$set", Value: bson.D{
				{Key: fieldLimitBytes, Value: l.Bytes}, {Key: fieldLimitMessages, Value: l.Messages}}})
		res, err := k.users.UpdateOne(ctx, filter, update)
		if err != nil {
			return fmt.Errorf("set quota limits: %w", err)
		}
		if res.MatchedCount == 1 {
			return nil
		}
	}
	return fmt.Errorf("set quota limits: others changed them %d times meanwhile", casAttempts)
}

// Recalculate makes the usage equal to what count returns, and reports how far it was off (what is
// there minus what was recorded). ctx is that of a transaction with snapshot reads, in which count
// sums up the user's mail.
func (k *Keeper) Recalculate(ctx context.Context, user [8]byte, count func(context.Context) (Usage, error)) (diff Usage, err error) {
	state, err := k.Get(ctx, user)
	if err != nil {
		return Usage{}, err
	}
	actual, err := count(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("recalculate quota: %w", err)
	}
	recorded := state.Usage()
	diff = Usage{actual.Bytes - recorded.Bytes, actual.Messages - recorded.Messages}
	if diff == (Usage{}) {
		return diff, nil
	}
	if _, err := k.users.UpdateOne(ctx, k.filter(user), incFree(-diff.Bytes, -diff.Messages)); err != nil {
		return Usage{}, fmt.Errorf("recalculate quota: %w", err)
	}
	return diff, nil
}

func (k *Keeper) filter(user [8]byte) bson.D {
	return bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}}, k.alive}
}

func incFree(bytes, messages int64) bson.D {
	return bson.D{{Key: "$inc", Value: bson.D{
		{Key: fieldFreeBytes, Value: bytes}, {Key: fieldFreeMessages, Value: messages}}}}
}
