package mailstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// Scope is a set of the things that a password may be used for.
type Scope uint8

const (
	ScopeIMAP Scope = 1 << iota
	ScopeSMTP       // submission
	ScopeHTTP       // the HTTP API, as the user
	ScopeAll  = ScopeIMAP | ScopeSMTP | ScopeHTTP
)

// scopeNames are the scopes with the names that commands and the HTTP API use.
var scopeNames = []struct {
	scope Scope
	name  string
}{{ScopeIMAP, "imap"}, {ScopeSMTP, "smtp"}, {ScopeHTTP, "http"}}

func (s Scope) has(t Scope) bool { return s&t == t && t != 0 }

// Names returns the names of the scopes in the set.
func (s Scope) Names() []string {
	var names []string
	for _, n := range scopeNames {
		if s.has(n.scope) {
			names = append(names, n.name)
		}
	}
	return names
}

// ParseScope returns the set of the scopes with these names.
func ParseScope(names []string) (Scope, error) {
	var set Scope
next:
	for _, name := range names {
		for _, n := range scopeNames {
			if strings.EqualFold(n.name, name) {
				set |= n.scope
				continue next
			}
		}
		return 0, fmt.Errorf("unknown scope %q: imap, smtp and http are known", name)
	}
	return set, nil
}

// AppPassword is a further password of a user, made by the server for one application. It can be
// revoked without a change for the others.
type AppPassword struct {
	ID      string // names it among those of the user
	Name    string // what the user calls it
	Scopes  Scope
	Created time.Time
	Used    time.Time // the last use, to an hour; zero for never
}

// appPasswordDoc is an AppPassword as the user's document has it.
type appPasswordDoc struct {
	ID      string    `bson:"id"`
	Name    string    `bson:"name"`
	Hash    []byte    `bson:"hash"` // SHA-256: a password of 100 random bits cannot be guessed from it
	Scopes  Scope     `bson:"scopes"`
	Created time.Time `bson:"created"`
}

func (d *appPasswordDoc) credential() Credential { return Credential("app/" + d.ID) }

const (
	// appPasswordID is the length of an id in octets.
	appPasswordID = 8
	// appPasswordLength is in characters of 5 bits.
	appPasswordLength = 20
	// appPasswordGroup is how many characters stand between two hyphens.
	appPasswordGroup = 4
	// usedEvery is how exactly the last use is known. A client that logs in for each request does
	// not cost a write each time.
	usedEvery = time.Hour
)

var appPasswordAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newAppPassword returns a password as a person may type it: abcd-efgh-ijkl-mnop-qrst.
func newAppPassword() string {
	random := make([]byte, appPasswordLength*5/8+1)
	rand.Read(random) // never fails, as documented
	text := appPasswordAlphabet.EncodeToString(random)[:appPasswordLength]
	var groups []string
	for ; text != ""; text = text[appPasswordGroup:] {
		groups = append(groups, text[:appPasswordGroup])
	}
	return strings.Join(groups, "-")
}

// hashAppPassword returns the hash of a password that has the form of an application password,
// with or without hyphens and spaces, in any case; ok is false for others.
func hashAppPassword(password string) (hash [sha256.Size]byte, ok bool) {
	text := strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(password))
	if len(text) != appPasswordLength {
		return hash, false
	}
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return hash, false
		}
	}
	return sha256.Sum256([]byte(text)), true
}

// appPassword returns the application password that the password is, nil if it is none.
func (d *userDoc) appPassword(password string) *appPasswordDoc {
	hash, ok := hashAppPassword(password)
	if !ok {
		return nil
	}
	for i := range d.Apps {
		if subtle.ConstantTimeCompare(d.Apps[i].Hash, hash[:]) == 1 {
			return &d.Apps[i]
		}
	}
	return nil
}

// AddAppPassword makes an application password and returns it: nobody can read it later. Errors:
// ErrInvalidToken for a name that is empty or too long, or no scope; ErrTooMany; ErrNoSuchUser.
func (s *Store) AddAppPassword(ctx context.Context, user mailkey.UserID, name string, scopes Scope) (
	*AppPassword, string, error,
) {
	if name == "" || len(name) > MaxDisplayName || !utf8.ValidString(name) {
		return nil, "", invalid(ErrInvalidToken,
			"the name of an application password has 1 to %d octets", MaxDisplayName)
	}
	if scopes&ScopeAll == 0 || scopes&^ScopeAll != 0 {
		return nil, "", invalid(ErrInvalidToken,
			"an application password is for imap, smtp, http, or several of them")
	}
	password := newAppPassword()
	hash, _ := hashAppPassword(password)
	var id [appPasswordID]byte
	rand.Read(id[:])
	doc := appPasswordDoc{ID: hex.EncodeToString(id[:]), Name: name, Hash: hash[:], Scopes: scopes, Created: now()}
	// There is room as long as there is no last place.
	last := fmt.Sprintf("%s.%d", userApps, MaxAppPasswords-1)
	res, err := s.users.UpdateOne(ctx,
		append(byID(user.Binary()), notSet(userDeleting), notSet(last)),
		bson.D{{Key: "$push", Value: bson.D{{Key: userApps, Value: doc}}}})
	if err != nil {
		return nil, "", fmt.Errorf("add application password: %w", err)
	}
	if res.MatchedCount == 0 {
		if _, err := s.UserByID(ctx, user); err != nil {
			return nil, "", err
		}
		return nil, "", invalid(ErrTooMany, "a user can have %d application passwords", MaxAppPasswords)
	}
	return &AppPassword{ID: doc.ID, Name: name, Scopes: scopes, Created: doc.Created}, password, nil
}

// AppPasswords returns the application passwords of a user, in the order in which they were made.
// The error is ErrNoSuchUser.
func (s *Store) AppPasswords(ctx context.Context, user mailkey.UserID) ([]AppPassword, error) {
	doc, err := s.findUser(ctx, byID(user.Binary()))
	if err != nil {
		return nil, err
	}
	list := make([]AppPassword, len(doc.Apps))
	for i, d := range doc.Apps {
		list[i] = AppPassword{ID: d.ID, Name: d.Name, Scopes: d.Scopes, Created: d.Created.UTC()}
		if used, ok := doc.AppsUsed[d.ID]; ok {
			list[i].Used = used.UTC()
		}
	}
	return list, nil
}

// RevokeAppPassword takes an application password away, and ends the sessions that it opened. Errors:
// ErrNoSuchPassword, ErrNoSuchUser.
func (s *Store) RevokeAppPassword(ctx context.Context, user mailkey.UserID, id string) error {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != appPasswordID {
		return ErrNoSuchPassword // it becomes the name of a field
	}
	who := LoggedOut{User: user, Credential: (&appPasswordDoc{ID: id}).credential()}
	return s.shutOut(ctx, who, func(ctx context.Context) error {
		res, err := s.users.UpdateOne(ctx, append(byID(user.Binary()), notSet(userDeleting)),
			bson.D{{Key: "$pull", Value: bson.D{{Key: userApps, Value: bson.D{{Key: "id", Value: id}}}}},
				{Key: "$unset", Value: bson.D{{Key: userAppsUsed + "." + id, Value: ""}}}})
		switch {
		case err != nil:
			return fmt.Errorf("revoke application password: %w", err)
		case res.MatchedCount == 0:
			return ErrNoSuchUser
		case res.ModifiedCount == 0:
			return ErrNoSuchPassword
		}
		return nil
	})
}

// noteUse writes when an application password was used, if that was not just now. A failure does
// not concern the login.
func (s *Store) noteUse(ctx context.Context, user mailkey.UserID, doc *userDoc, app *appPasswordDoc) {
	at := now()
	if at.Sub(doc.AppsUsed[app.ID]) < usedEvery {
		return
	}
	// Not in the password's own document: an array's element has no name that stays.
	_, err := s.users.UpdateOne(ctx,
		append(byID(user.Binary()), notSet(userDeleting), bson.E{Key: userApps + ".id", Value: app.ID}),
		bson.D{{Key: "$set", Value: bson.D{{Key: userAppsUsed + "." + app.ID, Value: at}}}})
	if err != nil {
		s.log.Warn("the last use of an application password was not noted", "user", user.String(), "error", err)
	}
}
