package mailstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"gadwall/internal/mailkey"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// DefaultScramIterations is the cost of a new ScramVerifier: what OWASP recommends for PBKDF2 with
// SHA-256. Clients pay it too, at each login.
const DefaultScramIterations = 600_000

const (
	// scramSalt is the length of a salt in octets.
	scramSalt = 16
	// scramOf is the length of what names the hash to which a verifier belongs.
	scramOf = 16
	// scramSecret is the length of the secret of which the salts of unknown users are made.
	scramSecret = 32
)

// scramState is the _id of the document with that secret.
const scramState = "scram"

// ScramVerifier is what a server keeps of a password for SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).
// It is weaker than the hash of a password: it costs less to try passwords with it, and ServerKey
// lets its thief play the server.
type ScramVerifier struct {
	User       mailkey.UserID // whose password it is; zero for nobody's
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// scramDoc is a ScramVerifier as the user's document has it.
type scramDoc struct {
	Salt       []byte `bson:"salt"`
	Iterations int    `bson:"iter"`
	StoredKey  []byte `bson:"stored"`
	ServerKey  []byte `bson:"server"`
	// Of names the stored hash of the same password. With any other hash the verifier is outdated,
	// whoever changed the password.
	Of []byte `bson:"of"`
}

// hashName names a stored hash in a scramDoc.
func hashName(hash string) []byte {
	sum := sha256.Sum256([]byte(hash))
	return sum[:scramOf]
}

// isOf reports whether the verifier is of the password with this hash.
func (d *scramDoc) isOf(hash string) bool { return d != nil && hmac.Equal(d.Of, hashName(hash)) }

// OffersScram reports whether the store keeps verifiers for SCRAM.
func (s *Store) OffersScram() bool { return s.scram }

// ScramVerifier returns the verifier of a user. For a user who does not exist, or has none, it returns
// one that no password fits, and always with the same salt, so that nobody learns who exists.
func (s *Store) ScramVerifier(ctx context.Context, username string) (ScramVerifier, error) {
	name, err := NormalizeAddress(username)
	if err != nil {
		name = username
	}
	doc, err := s.findUserByLogin(ctx, name)
	if err != nil && !errors.Is(err, ErrNoSuchUser) {
		return ScramVerifier{}, fmt.Errorf("scram: %w", err)
	}
	secret, err := s.scramSecret(ctx) // for all, since it takes time the first time
	if err != nil {
		return ScramVerifier{}, err
	}
	if doc != nil && doc.Scram.isOf(doc.Hash) {
		id, err := userIDFrom(doc.ID)
		if err != nil {
			return ScramVerifier{}, err
		}
		d := doc.Scram
		return ScramVerifier{id, d.Salt, d.Iterations, d.StoredKey, d.ServerKey}, nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(s.LoginName(name))) // two names of a user have one salt
	v := ScramVerifier{Salt: mac.Sum(nil)[:scramSalt], Iterations: s.scramCost,
		StoredKey: make([]byte, sha256.Size), ServerKey: make([]byte, sha256.Size)}
	rand.Read(v.StoredKey) // never fails, as documented
	rand.Read(v.ServerKey)
	return v, nil
}

// scramSecret returns the secret of the database, made by the instance that needs it first.
func (s *Store) scramSecret(ctx context.Context) ([]byte, error) {
	s.scramMu.Lock()
	defer s.scramMu.Unlock()
	if s.scramKnown != nil {
		return s.scramKnown, nil
	}
	secret := make([]byte, scramSecret)
	rand.Read(secret)
	var doc struct {
		Secret []byte `bson:"secret"`
	}
	err := s.state.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: scramState}},
		bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "secret", Value: secret}}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&doc)
	if err != nil {
		return nil, fmt.Errorf("scram: secret of the database: %w", err)
	}
	if len(doc.Secret) != scramSecret {
		return nil, errors.New("scram: the secret in the database is none")
	}
	s.scramKnown = doc.Secret
	return s.scramKnown, nil
}

// newScram computes the verifier of a password with this stored hash. It is nil if the store keeps
// none, and for passwords that SCRAM cannot have.
func (s *Store) newScram(ctx context.Context, hash, password string) (d *scramDoc, err error) {
	if !s.scram {
		return nil, nil
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return nil, nil
	}
	salt := make([]byte, scramSalt)
	rand.Read(salt)
	waited := s.hashing.while(ctx, argonMemory, func() {
		var keys scram.StoredCredentials
		keys, err = client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: s.scramCost})
		d = &scramDoc{Salt: salt, Iterations: s.scramCost,
			StoredKey: keys.StoredKey, ServerKey: keys.ServerKey, Of: hashName(hash)}
	})
	if err = errors.Join(waited, err); err != nil {
		return nil, fmt.Errorf("scram: %w", err)
	}
	return d, nil
}

// passwordUpdate is the update that gives a user a password. d is nil for no verifier.
func passwordUpdate(hash string, d *scramDoc) (set, unset bson.D) {
	set = bson.D{{Key: userHash, Value: hash}}
	if d == nil {
		return set, bson.D{{Key: userScram, Value: ""}}
	}
	return append(set, bson.E{Key: userScram, Value: d}), nil
}

// followScram brings the verifier of a user whose password is known in line with the setting: it
// makes one, or takes it away. A failure does not concern the login: the next one tries again.
func (s *Store) followScram(ctx context.Context, user *User, doc *userDoc, password string) {
	if s.scram && doc.Scram.isOf(doc.Hash) || !s.scram && doc.Scram == nil {
		return
	}
	d, err := s.newScram(ctx, doc.Hash, password)
	if err == nil && (d != nil || doc.Scram != nil) {
		update := bson.D{{Key: "$set", Value: bson.D{{Key: userScram, Value: d}}}}
		if d == nil {
			update = bson.D{{Key: "$unset", Value: bson.D{{Key: userScram, Value: ""}}}}
		}
		_, err = s.users.UpdateOne(ctx, append(byID(user.ID.Binary()),
			bson.E{Key: userHash, Value: doc.Hash}, notSet(userDeleting)), update)
	}
	if err != nil {
		s.log.Warn("the verifier for SCRAM of a user stays as it is", "user", user.Username, "error", err)
	}
}
