package quota

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// casAttempts bounds the attempts to change limits while others change them too.
const casAttempts = 20

var (
	// ErrOverQuota: the charge does not fit into what is free. Nothing was changed.
	ErrOverQuota = errors.New("over quota")
	// ErrNoSuchUser: no user with this id, or one that is being deleted.
	ErrNoSuchUser = errors.New("quota: no such user")
)

// Field is the field of the user document that belongs to this package. NewState returns its
// initial value.
const Field = "quota"

const (
	fieldLimitBytes    = Field + ".bytes"
	fieldLimitMessages = Field + ".messages"
	fieldFreeBytes     = Field + ".freeBytes"
	fieldFreeMessages  = Field + ".freeMessages"
)

// Keeper moves the counters of the users of one database.
type Keeper struct {
	users  *mongo.Collection
	alive  bson.E
	policy Policy

	domains atomic.Pointer[map[string]Limits]
	names   names
}

// New returns a Keeper on the collection of users. A user's document meets the condition alive as
// long as the user is not being deleted.
func New(users *mongo.Collection, alive bson.E, policy Policy) *Keeper {
	return &Keeper{users: users, alive: alive, policy: policy}
}

// Policy returns the policy in force.
func (k *Keeper) Policy() Policy { return k.policy }

// document has the fields that the Keeper reads of a user.
type document struct {
	Name  string `bson:"name"`
	Quota State  `bson:"quota"`
}

var projection = bson.D{{Key: Field, Value: 1}, {Key: fieldName, Value: 1}}

// Get returns limits and usage. With the context of a transaction, it reads the transaction's
// snapshot.
func (k *Keeper) Get(ctx context.Context, user mailkey.UserID) (Account, error) {
	doc, err := k.read(ctx, user)
	if err != nil {
		return Account{}, err
	}
	return k.Account(doc.Name, doc.Quota), nil
}

func (k *Keeper) read(ctx context.Context, user mailkey.UserID) (document, error) {
	var doc document
	err := k.users.FindOne(ctx, k.filter(user), options.FindOne().SetProjection(projection)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return doc, ErrNoSuchUser
	}
	if err != nil {
		return doc, fmt.Errorf("read quota: %w", err)
	}
	return doc, nil
}

// A Counter is a number of the user's document, outside of the quota, that a charge raises by the
// same write.
type Counter struct {
	Field string
	By    int64
	After int64 // set by Charge: the value after the charge
}

// Charge raises the usage by u, if that much is free, and returns the account after it. The caller
// makes it the first write of the transaction that stores the messages: then a conflict on the user
// shows before the rest of the work is done.
func (k *Keeper) Charge(ctx context.Context, user mailkey.UserID, u Usage, counters ...*Counter) (Account, error) {
	policy, named, err := k.assume(ctx, user)
	for {
		if err != nil {
			return Account{}, err
		}
		account, charged, err := k.chargeBy(ctx, policy, named, user, u, counters)
		if charged || err != nil {
			return account, err
		}
		doc, err := k.read(ctx, user)
		if err != nil {
			return Account{}, err
		}
		if named == nil || doc.Name == named[0].Value {
			return policy.Account(doc.Quota), ErrOverQuota
		}
		policy, named = k.assumeName(user, doc.Name) // the user was renamed
	}
}

// chargeBy charges by a policy, if that is the user's: named is the condition for that.
func (k *Keeper) chargeBy(
	ctx context.Context, policy Policy, named bson.D, user mailkey.UserID, u Usage, counters []*Counter,
) (_ Account, done bool, _ error) {
	room := append(
		room(fieldLimitBytes, fieldFreeBytes, u.Bytes, policy.Limits.Bytes),
		room(fieldLimitMessages, fieldFreeMessages, u.Messages, policy.Limits.Messages)...)
	filter := append(k.filter(user), named...)
	if len(room) > 0 {
		filter = append(filter, bson.E{Key: "$and", Value: room})
	}
	inc, fields := freed(Usage{}.Sub(u)), projection[:len(projection):len(projection)]
	for _, c := range counters {
		inc = append(inc, bson.E{Key: c.Field, Value: c.By})
		fields = append(fields, bson.E{Key: c.Field, Value: 1})
	}
	opts := options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(fields)
	if named != nil {
		opts.SetHint(bson.D{{Key: "_id", Value: 1}}) // not the index on names
	}
	raw, err := k.users.FindOneAndUpdate(ctx, filter, bson.D{{Key: "$inc", Value: inc}}, opts).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return Account{}, false, nil
	case err != nil:
		return Account{}, false, fmt.Errorf("charge quota: %w", err)
	}
	account, err := charged(policy, raw, counters)
	return account, err == nil, err
}

// charged reads the document after a charge.
func charged(policy Policy, raw bson.Raw, counters []*Counter) (Account, error) {
	var doc document
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return Account{}, fmt.Errorf("charge quota: %w", err)
	}
	for _, c := range counters {
		n, ok := raw.Lookup(c.Field).AsInt64OK()
		if !ok {
			return Account{}, fmt.Errorf("charge quota: the user's %s is no number", c.Field)
		}
		c.After = n
	}
	return policy.Account(doc.Quota), nil
}

// room returns the conditions that n of a resource is free: of the own limit or, if that is
// Default, of the policy's. What does not grow needs no room.
func room(limit, free string, n, byDefault int64) bson.A {
	if n <= 0 {
		return nil
	}
	enough := func(n int64) bson.D { return bson.D{{Key: free, Value: bson.D{{Key: "$gte", Value: n}}}} }
	if byDefault <= 0 {
		return bson.A{enough(n)}
	}
	// The condition of the policy is the stricter one.
	return bson.A{enough(n), bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: limit, Value: bson.D{{Key: "$ne", Value: Default}}}},
		enough(n + boundless - byDefault)}}}}
}

// Release lowers the usage by u. The caller puts it into the transaction that removes the messages.
// It works for users that are being deleted, too.
func (k *Keeper) Release(ctx context.Context, user mailkey.UserID, u Usage) error {
	res, err := k.users.UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}}}, incFree(u))
	if err != nil {
		return fmt.Errorf("release quota: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	return nil
}

// SetLimits replaces the own limits by the result of change; usage stays. Limits below the usage
// are allowed: then no more mail can be stored. change runs again if others change the limits at
// the same time.
func (k *Keeper) SetLimits(ctx context.Context, user mailkey.UserID, change func(Limits) Limits) (Account, error) {
	for range casAttempts {
		read, err := k.read(ctx, user)
		if err != nil {
			return Account{}, err
		}
		old := read.Quota
		l := change(Limits{old.LimitBytes, old.LimitMessages})
		if err := l.Check(); err != nil {
			return Account{}, err
		}
		filter := append(k.filter(user),
			bson.E{Key: fieldLimitBytes, Value: old.LimitBytes},
			bson.E{Key: fieldLimitMessages, Value: old.LimitMessages})
		update := append(
			incFree(Usage{base(l.Bytes) - base(old.LimitBytes), base(l.Messages) - base(old.LimitMessages)}),
			bson.E{Key: "$set", Value: bson.D{
				{Key: fieldLimitBytes, Value: l.Bytes}, {Key: fieldLimitMessages, Value: l.Messages}}})
		var doc document
		err = k.users.FindOneAndUpdate(ctx, filter, update,
			options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(projection)).Decode(&doc)
		if err == nil {
			return k.Account(doc.Name, doc.Quota), nil
		}
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return Account{}, fmt.Errorf("set quota limits: %w", err)
		}
	}
	return Account{}, fmt.Errorf("set quota limits: others changed them %d times meanwhile", casAttempts)
}

// Recalculate compares the recorded usage with the result of count and returns the difference
// (counted minus recorded). With repair set it corrects the usage. ctx is that of a transaction
// with snapshot reads, in which count sums up the user's mail.
func (k *Keeper) Recalculate(ctx context.Context, user mailkey.UserID, repair bool,
	count func(context.Context) (Usage, error)) (diff Usage, err error) {
	account, err := k.Get(ctx, user)
	if err != nil {
		return Usage{}, err
	}
	actual, err := count(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("recalculate quota: %w", err)
	}
	diff = actual.Sub(account.Usage)
	if !repair || diff == (Usage{}) {
		return diff, nil
	}
	if _, err := k.users.UpdateOne(ctx, k.filter(user), incFree(Usage{}.Sub(diff))); err != nil {
		return Usage{}, fmt.Errorf("recalculate quota: %w", err)
	}
	return diff, nil
}

func (k *Keeper) filter(user mailkey.UserID) bson.D {
	return bson.D{{Key: "_id", Value: bson.Binary{Data: user[:]}}, k.alive}
}

// incFree returns the update that raises the free amounts by u.
func incFree(u Usage) bson.D { return bson.D{{Key: "$inc", Value: freed(u)}} }

func freed(u Usage) bson.D {
	return bson.D{{Key: fieldFreeBytes, Value: u.Bytes}, {Key: fieldFreeMessages, Value: u.Messages}}
}
