package mailstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Token is what the store knows of a token of the HTTP API. The token itself it does not know: it
// keeps a hash.
type Token struct {
	ID     string
	Name   string   // what it is for
	Scopes []string // of TokenScopes
	// User, if it is not the zero value, is the one user whose mail the token opens.
	User    mailkey.UserID
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // the last use, to an hour; zero for never
}

// TokenScopes are the scopes that a token can have, with what each is for. One that ends in :read
// is for requests that change nothing. The one without that suffix includes it.
var TokenScopes = []struct{ Name, Text string }{
	{"all", "everything"},
	{"users", "users, their passwords, addresses, domains and application passwords"},
	{"users:read", "the same, to read"},
	{"mail", "mailboxes and messages"},
	{"mail:read", "the same, to read"},
	{"self", "of a user's token: the user's own name, passwords, tokens, sessions and authentication log"},
	{"self:read", "the same, to read"},
	{"metrics", "figures of the server"},
	{"tokens", "tokens with no more scopes than this one has"},
}

// Credential names the token.
func (t *Token) Credential() Credential { return Credential("token/" + t.ID) }

// Grants reports whether the token has the scope.
func (t *Token) Grants(scope string) bool {
	whole := strings.TrimSuffix(scope, ":read")
	return slices.ContainsFunc(t.Scopes, func(s string) bool { return s == "all" || s == scope || s == whole })
}

// Of reports whether the token is one user's.
func (t *Token) Of(user mailkey.UserID) bool { return t.User == user && user != mailkey.UserID{} }

const (
	// tokenPrefix marks tokens, so that programs that look for leaked secrets find them.
	tokenPrefix = "gdw_"
	tokenID     = 8 // octets
)

type tokenDoc struct {
	ID      string       `bson:"_id"`
	Hash    []byte       `bson:"hash"` // SHA-256: a token of 130 random bits cannot be guessed from it
	Name    string       `bson:"name"`
	Scopes  []string     `bson:"scopes"`
	User    *bson.Binary `bson:"user,omitempty"`
	Created time.Time    `bson:"created"`
	Expires *time.Time   `bson:"expires,omitempty"`
	Used    *time.Time   `bson:"used,omitempty"`
}

func (d *tokenDoc) token() (Token, error) {
	t := Token{ID: d.ID, Name: d.Name, Scopes: d.Scopes, Created: d.Created.UTC()}
	if d.Expires != nil {
		t.Expires = d.Expires.UTC()
	}
	if d.Used != nil {
		t.Used = d.Used.UTC()
	}
	var err error
	if d.User != nil {
		t.User, err = userIDFrom(*d.User)
	}
	return t, err
}

// CreateToken makes a token of that name, scopes, user and expiry, and returns it: nobody can read
// it later. Errors: ErrInvalidToken for values that no token can have, ErrTooMany.
func (s *Store) CreateToken(ctx context.Context, t Token) (*Token, string, error) {
	if t.Name == "" || len(t.Name) > MaxDisplayName || !utf8.ValidString(t.Name) {
		return nil, "", invalid(ErrInvalidToken, "the name of a token has 1 to %d octets", MaxDisplayName)
	}
	if err := checkScopes(t); err != nil {
		return nil, "", err
	}
	t.Created, t.Expires = now(), t.Expires.UTC()
	if !t.Expires.IsZero() && !t.Expires.After(t.Created) {
		return nil, "", invalid(ErrInvalidToken, "the token's time is over already")
	}
	if err := s.roomForToken(ctx, t); err != nil {
		return nil, "", err
	}
	var id [tokenID]byte
	rand.Read(id[:]) // never fails, as documented
	t.ID = hex.EncodeToString(id[:])
	secret := rand.Text()
	hash := sha256.Sum256([]byte(secret))
	doc := tokenDoc{ID: t.ID, Hash: hash[:], Name: t.Name, Scopes: t.Scopes, Created: t.Created}
	if t.User != (mailkey.UserID{}) {
		user := t.User.Binary()
		doc.User = &user
	}
	if !t.Expires.IsZero() {
		doc.Expires = &t.Expires
	}
	if _, err := s.tokens.InsertOne(ctx, doc); err != nil {
		return nil, "", fmt.Errorf("create token: %w", err)
	}
	return &t, tokenPrefix + t.ID + "_" + secret, nil
}

// roomForToken returns ErrTooMany if there can be no further token, or none of its user.
func (s *Store) roomForToken(ctx context.Context, t Token) error {
	filter, most := bson.D{notSet(tokenUser)}, int64(MaxTokens)
	if t.User != (mailkey.UserID{}) {
		filter, most = bson.D{{Key: tokenUser, Value: t.User.Binary()}}, MaxUserTokens
	}
	n, err := s.countUpTo(ctx, s.tokens, filter, most)
	if err != nil {
		return err
	}
	if n >= most {
		return invalid(ErrTooMany, "there can be %d tokens", most)
	}
	return nil
}

// checkScopes returns an error if a token cannot have its scopes.
func checkScopes(t Token) error {
	if len(t.Scopes) == 0 || len(t.Scopes) > len(TokenScopes) {
		return invalid(ErrInvalidToken, "a token has at least one scope, and none of them twice")
	}
	for i, scope := range t.Scopes {
		known := false
		for _, k := range TokenScopes {
			known = known || k.Name == scope
		}
		switch {
		case !known || slices.Contains(t.Scopes[:i], scope):
			return invalid(ErrInvalidToken, "%q is no scope, or there twice", scope)
		case t.User != (mailkey.UserID{}) && !strings.HasPrefix(scope, "mail") && !strings.HasPrefix(scope, "self"):
			return invalid(ErrInvalidToken, "a user's token can have mail, mail:read, self and self:read")
		case t.User == (mailkey.UserID{}) && strings.HasPrefix(scope, "self"):
			return invalid(ErrInvalidToken, "%s is for the token of a user", scope)
		}
	}
	return nil
}

// TokenBySecret returns the token of these characters, which CreateToken returned. The error is
// ErrNoSuchToken, also for one whose time is over.
func (s *Store) TokenBySecret(ctx context.Context, secret string) (*Token, error) {
	rest, found := strings.CutPrefix(secret, tokenPrefix)
	id, secret, _ := strings.Cut(rest, "_")
	if !found || len(id) != hex.EncodedLen(tokenID) {
		return nil, ErrNoSuchToken
	}
	var doc tokenDoc
	err := s.tokens.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchToken
	}
	if err != nil {
		return nil, fmt.Errorf("find token: %w", err)
	}
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], doc.Hash) != 1 {
		return nil, ErrNoSuchToken
	}
	t, err := doc.token()
	if err != nil {
		return nil, err
	}
	if !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return nil, ErrNoSuchToken
	}
	s.noteTokenUse(ctx, &t)
	return &t, nil
}

// noteTokenUse writes when a token was used, if that was not just now. A failure does not concern the
// request.
func (s *Store) noteTokenUse(ctx context.Context, t *Token) {
	at := now()
	if at.Sub(t.Used) < usedEvery {
		return
	}
	_, err := s.tokens.UpdateOne(ctx, bson.D{{Key: "_id", Value: t.ID}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "used", Value: at}}}})
	if err != nil {
		s.log.Warn("the last use of a token was not noted", "token", t.ID, "error", err)
	}
}

// IsToken reports whether characters have the form of a token.
func IsToken(secret string) bool { return strings.HasPrefix(secret, tokenPrefix) }

// Tokens returns all tokens, also those whose time is over, in the order in which they were made.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) { return s.tokensBy(ctx, bson.D{}) }

// TokensOf returns the tokens of a user, as Tokens does.
func (s *Store) TokensOf(ctx context.Context, user mailkey.UserID) ([]Token, error) {
	return s.tokensBy(ctx, bson.D{{Key: tokenUser, Value: user.Binary()}})
}

// HasAdminToken reports whether there is a token for everything whose time is not over.
func (s *Store) HasAdminToken(ctx context.Context) (bool, error) {
	list, err := s.tokensBy(ctx, bson.D{{Key: "scopes", Value: "all"}, notSet(tokenUser)})
	return slices.ContainsFunc(list, func(t Token) bool {
		return t.Expires.IsZero() || time.Now().Before(t.Expires)
	}), err
}

func (s *Store) tokensBy(ctx context.Context, filter bson.D) ([]Token, error) {
	cursor, err := s.tokens.Find(ctx, filter, options.Find().SetLimit(MaxTokens))
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var docs []tokenDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	list := make([]Token, len(docs))
	for i := range docs {
		if list[i], err = docs[i].token(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// RevokeToken takes a token away, for the next request on, and ends the streams that it opened. The error
// is ErrNoSuchToken.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	return s.revokeToken(ctx, mailkey.UserID{}, id, bson.D{{Key: "_id", Value: id}})
}

// RevokeTokenOf is RevokeToken for a token that must be the user's.
func (s *Store) RevokeTokenOf(ctx context.Context, user mailkey.UserID, id string) error {
	return s.revokeToken(ctx, user, id, bson.D{{Key: "_id", Value: id}, {Key: tokenUser, Value: user.Binary()}})
}

func (s *Store) revokeToken(ctx context.Context, user mailkey.UserID, id string, filter bson.D) error {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != tokenID {
		return ErrNoSuchToken
	}
	t := Token{ID: id}
	return s.shutOut(ctx, LoggedOut{User: user, Credential: t.Credential()}, func(ctx context.Context) error {
		res, err := s.tokens.DeleteOne(ctx, filter, options.DeleteOne().SetHint(byKey))
		switch {
		case err != nil:
			return fmt.Errorf("revoke token: %w", err)
		case res.DeletedCount == 0:
			return ErrNoSuchToken
		}
		return nil
	})
}
