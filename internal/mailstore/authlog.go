package mailstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// LoginResult says how an attempt to log in ended. It is stored as it is.
type LoginResult string

const (
	LoginOK            LoginResult = "ok"
	LoginWrongPassword LoginResult = "wrong password" // or another credential that is not right
	LoginNoSuchUser    LoginResult = "no such user"
	LoginSuspended     LoginResult = "suspended"
	LoginWrongScope    LoginResult = "wrong scope" // an application password that is for something else
	LoginNotAllowed    LoginResult = "not allowed" // to act for another user, or by the deployment's rules
	LoginTooMany       LoginResult = "too many"    // waited for their turn already
)

// LoginEvent is one attempt to log in, or several that are alike.
type LoginEvent struct {
	LoginKind
	Count       int64
	First, Last time.Time
}

// LoginKind is what attempts to log in have in common that the log counts as one entry.
type LoginKind struct {
	// User is whose login it is; the zero value if the name is nobody's.
	User mailkey.UserID
	// Username is the name that the client gave, normalised. It is empty if it cannot be a user's: it
	// may then be a password that somebody typed into the wrong field.
	Username  string
	Protocol  string // imap, smtp, http
	Mechanism string // of SASL, or of HTTP
	Remote    string // the client's address; empty for a Unix socket
	By        string // what was shown: "password", "app password phone", "token 1a2b"
	Actor     string // the master user who acts for User; else empty
	Result    LoginResult
	// Period is when the time begins whose attempts one entry counts.
	Period time.Time
}

// Failed reports whether the attempt failed.
func (k *LoginKind) Failed() bool { return k.Result != LoginOK }

// Known reports whether the name is a user's.
func (k *LoginKind) Known() bool { return k.User != mailkey.UserID{} }

// key returns the key of the kind's document: the user, and a hash of the rest. So all instances
// count in the same document, and those of a user lie together.
func (k *LoginKind) key() bson.Binary {
	h := sha256.New()
	for _, s := range []string{k.Username, k.Protocol, k.Mechanism, k.Remote, k.By, k.Actor, string(k.Result),
		strconv.FormatInt(k.Period.Unix(), 10)} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return bson.Binary{Data: append(k.User[:], h.Sum(nil)[:authlogHash]...)}
}

// authlogHash is how many octets of the hash are in the key of an entry.
const authlogHash = 16

type loginDoc struct {
	ID        bson.Binary `bson:"_id"`
	User      bson.Binary `bson:"u"`
	Username  string      `bson:"n"`
	Protocol  string      `bson:"p"`
	Mechanism string      `bson:"m"`
	Remote    string      `bson:"a"`
	By        string      `bson:"w"`
	Actor     string      `bson:"x"`
	Result    LoginResult `bson:"r"`
	Count     int64       `bson:"c"`
	First     time.Time   `bson:"s"`
	Last      time.Time   `bson:"l"`
}

func (d *loginDoc) event() (LoginEvent, error) {
	e := LoginEvent{LoginKind: LoginKind{Username: d.Username, Protocol: d.Protocol, Mechanism: d.Mechanism,
		Remote: d.Remote, By: d.By, Actor: d.Actor, Result: d.Result},
		Count: d.Count, First: d.First.UTC(), Last: d.Last.UTC()}
	var err error
	e.User, err = userIDFrom(d.User)
	return e, err
}

// WriteLogins adds attempts to the authentication log. An entry that exists counts further.
func (s *Store) WriteLogins(ctx context.Context, list []LoginEvent) error {
	for len(list) > 0 {
		n := min(len(list), maxBatch)
		models := make([]mongo.WriteModel, n)
		for i := range n {
			models[i] = s.loginUpdate(&list[i])
		}
		if _, err := s.authlog.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
			return fmt.Errorf("write authentication log: %w", err)
		}
		list = list[n:]
	}
	return nil
}

func (s *Store) loginUpdate(e *LoginEvent) mongo.WriteModel {
	first := bson.D{{Key: authlogUser, Value: e.User.Binary()}, {Key: authlogResult, Value: e.Result}}
	for _, f := range []struct{ key, value string }{
		{authlogName, e.Username}, {authlogProtocol, e.Protocol}, {authlogMechanism, e.Mechanism},
		{authlogRemote, e.Remote}, {authlogBy, e.By}, {authlogActor, e.Actor},
	} {
		if f.value != "" {
			first = append(first, bson.E{Key: f.key, Value: f.value})
		}
	}
	if e.Failed() {
		first = append(first, bson.E{Key: authlogFailed, Value: true})
	}
	return mongo.NewUpdateOneModel().SetFilter(byID(e.key())).SetUpsert(true).SetUpdate(bson.D{
		{Key: "$setOnInsert", Value: first},
		{Key: "$inc", Value: bson.D{{Key: authlogCount, Value: e.Count}}},
		{Key: "$min", Value: bson.D{{Key: authlogFirst, Value: e.First}}},
		{Key: "$max", Value: bson.D{{Key: authlogLast, Value: e.Last},
			{Key: authlogExpires, Value: e.Last.Add(s.authlogKept)}}}})
}

// LoginQuery says which entries of the authentication log LoginPage returns.
type LoginQuery struct {
	User   *mailkey.UserID // nil: those of all users, and of names that are nobody's
	Failed bool            // only failures; required without User
	After  string          // the next of another page
	Limit  int             // at most MaxPage; 0 for MaxPage
}

// LoginPage returns entries of the authentication log, the latest first, and where the next page
// begins, "" if there is none. An entry that counts further meanwhile moves to the front, and a later
// page may not have it. The error is ErrInvalidPage for an After that no page had.
func (s *Store) LoginPage(ctx context.Context, q LoginQuery) (list []LoginEvent, next string, err error) {
	limit := q.Limit
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	filter, hint, err := q.filter()
	if err != nil {
		return nil, "", err
	}
	cursor, err := s.authlog.Find(ctx, filter,
		options.Find().SetHint(hint).SetSort(latestLogins).SetLimit(int64(limit+1)))
	if err != nil {
		return nil, "", fmt.Errorf("read authentication log: %w", err)
	}
	var docs []loginDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, "", fmt.Errorf("read authentication log: %w", err)
	}
	if len(docs) > limit {
		docs = docs[:limit]
		last := &docs[limit-1]
		next = fmt.Sprintf("%d-%s", last.Last.UnixMilli(), hex.EncodeToString(last.ID.Data))
	}
	list = make([]LoginEvent, len(docs))
	for i := range docs {
		if list[i], err = docs[i].event(); err != nil {
			return nil, "", err
		}
	}
	return list, next, nil
}

var latestLogins = bson.D{{Key: authlogLast, Value: -1}, {Key: "_id", Value: -1}}

// filter returns the filter of the page, and the index that has it in order.
func (q LoginQuery) filter() (filter bson.D, index string, err error) {
	if q.User != nil {
		// The key, too, by which a sharded cluster finds the shard.
		filter, index = bson.D{{Key: authlogUser, Value: q.User.Binary()}, loginsOf(*q.User)}, indexUserLogins
	} else {
		q.Failed, index = true, indexFailedLogins
	}
	if q.Failed {
		filter = append(filter, bson.E{Key: authlogFailed, Value: true})
	}
	if q.After != "" {
		last, id, err := parseLoginPlace(q.After)
		if err != nil {
			return nil, "", err
		}
		filter = append(filter, bson.E{Key: authlogLast, Value: bson.D{{Key: "$lte", Value: last}}},
			bson.E{Key: "$or", Value: bson.A{
				bson.D{{Key: authlogLast, Value: bson.D{{Key: "$lt", Value: last}}}},
				bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: id}}}}}})
	}
	return filter, index, nil
}

// loginsOf is the range of keys of a user's entries.
func loginsOf(user mailkey.UserID) bson.E {
	last := append(user[:], make([]byte, authlogHash)...)
	first := append([]byte(nil), last...)
	for i := len(user); i < len(last); i++ {
		last[i] = 0xff
	}
	return bson.E{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: bson.Binary{Data: first}}, {Key: "$lte", Value: bson.Binary{Data: last}}}}
}

func parseLoginPlace(after string) (last time.Time, id bson.Binary, err error) {
	millis, key, _ := strings.Cut(after, "-")
	n, err := strconv.ParseInt(millis, 10, 64)
	raw, bad := hex.DecodeString(key)
	if err != nil || bad != nil || len(raw) != len(mailkey.UserID{})+authlogHash {
		return last, id, invalid(ErrInvalidPage, "after is not the next of a page")
	}
	return time.UnixMilli(n).UTC(), bson.Binary{Data: raw}, nil
}
