package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
)

var (
	// ErrNoSuchHook reports an id of which there is no hook.
	ErrNoSuchHook = errors.New("no such webhook")
	// ErrInvalid is matched by errors that say what is wrong with a hook's values.
	ErrInvalid = errors.New("not a webhook")
	// ErrTooMany reports that there are MaxHooks hooks.
	ErrTooMany = fmt.Errorf("there can be %d webhooks", MaxHooks)
)

// A Hook is a URL that is told what happens.
type Hook struct {
	ID   string // 16 hexadecimal digits
	Name string // what it is for
	URL  string
	// Kinds are the kinds of events that the hook wants; all, if there is none.
	Kinds []feed.Kind
	// User is the one user whose events the hook gets; the zero value stands for all users.
	User mailkey.UserID
	// Secret is the key of the signatures.
	Secret  string
	Created time.Time
	// Paused says why the hook gets nothing now; empty if it does. What happens meanwhile waits.
	Paused string

	removed bool
}

// Why a hook is paused.
const (
	PausedByOperator = "by an operator"
	// PausedGone: the URL answered 410 (RFC 9110 section 15.5.11).
	PausedGone = "the URL answered that it is gone"
)

// hookDoc is a hook in the database. The collection has the document of the signing key, too.
type hookDoc struct {
	ID      string       `bson:"_id"`
	Name    string       `bson:"name"`
	URL     string       `bson:"url"`
	Kinds   []feed.Kind  `bson:"kinds,omitempty"`
	User    *bson.Binary `bson:"user,omitempty"`
	Secret  string       `bson:"secret"`
	Created time.Time    `bson:"created"`
	Paused  string       `bson:"paused,omitempty"`
	Removed bool         `bson:"removed,omitempty"` // its readers and letters are on their way
}

func (d *hookDoc) hook() *Hook {
	h := &Hook{ID: d.ID, Name: d.Name, URL: d.URL, Kinds: d.Kinds, Secret: d.Secret, Created: d.Created.UTC(),
		Paused: d.Paused, removed: d.Removed}
	if d.User != nil {
		copy(h.User[:], d.User.Data)
	}
	return h
}

// of reports whether the hook gets events of a user.
func (h *Hook) of(user mailkey.UserID) bool { return h.User == mailkey.UserID{} || h.User == user }

// wants reports whether the hook gets events of a kind.
func (h *Hook) wants(k feed.Kind) bool { return len(h.Kinds) == 0 || slices.Contains(h.Kinds, k) }

// tellsOf are the kinds of events that an event of the bus may stand for.
var tellsOf = map[events.Kind][]feed.Kind{
	events.New: {feed.NewMessage, feed.Sent, feed.Moved, feed.Junk, feed.NotJunk},
	events.Changed: {feed.FlagsChanged, feed.Moved, feed.Expunged, feed.Junk, feed.NotJunk, feed.Sent,
		feed.NewMessage},
	events.Junk: {feed.NewMessage, feed.Moved, feed.Junk, feed.NotJunk, feed.Sent},
	events.Ham:  {feed.NewMessage, feed.Moved, feed.Junk, feed.NotJunk, feed.Sent},
	events.MailboxList: {feed.MailboxCreated, feed.MailboxRenamed, feed.MailboxChanged,
		feed.MailboxDeleted, feed.MailboxSubscribed, feed.MailboxUnsubscribed, feed.Moved},
	events.Quota: {feed.QuotaReached},
}

// mayWant reports whether there may be something for the hook when an event of this kind is
// published. Kinds that tellsOf does not know may stand for anything.
func (h *Hook) mayWant(k events.Kind) bool {
	kinds, known := tellsOf[k]
	return !known || len(h.Kinds) == 0 || slices.ContainsFunc(kinds, h.wants)
}

// check returns an ErrInvalid if the values are not those of a hook.
func (h *Hook) check() error {
	u, err := url.Parse(h.URL)
	switch {
	case len(h.URL) > MaxURL:
		return fmt.Errorf("%w: the URL has more than %d octets", ErrInvalid, MaxURL)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%w: the URL must begin with https:// or http://", ErrInvalid)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%w: the URL has a user or a fragment", ErrInvalid)
	case h.Name == "" || len(h.Name) > MaxName || !utf8.ValidString(h.Name):
		return fmt.Errorf("%w: the name has 1 to %d octets", ErrInvalid, MaxName)
	}
	for i, k := range h.Kinds {
		if !slices.Contains(feed.Kinds, k) || slices.Contains(h.Kinds[:i], k) {
			return fmt.Errorf("%w: %q is no kind of event, or there twice", ErrInvalid, k)
		}
	}
	return nil
}

// Add makes a hook of these values and returns it with its id and secret. Errors: ErrInvalid,
// ErrTooMany.
func (r *Registry) Add(ctx context.Context, h Hook) (*Hook, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := r.hooks.CountDocuments(ctx, live(), options.Count().SetLimit(MaxHooks))
	if err != nil {
		return nil, fmt.Errorf("add webhook: %w", err)
	}
	if n >= MaxHooks {
		return nil, ErrTooMany
	}
	var id [8]byte
	rand.Read(id[:]) // never fails, as documented
	h.ID, h.Secret, h.Created, h.Paused = hex.EncodeToString(id[:]), newSecret(), r.now(), ""
	doc := hookDoc{ID: h.ID, Name: h.Name, URL: h.URL, Kinds: h.Kinds, Secret: h.Secret, Created: h.Created}
	if (h.User != mailkey.UserID{}) {
		user := h.User.Binary()
		doc.User = &user
	}
	if _, err := r.hooks.InsertOne(ctx, doc); err != nil {
		return nil, fmt.Errorf("add webhook: %w", err)
	}
	return &h, r.refresh(ctx)
}

func newSecret() string { return "whsec_" + rand.Text() }

// live is the condition for documents of hooks that were not removed.
func live() bson.D {
	return bson.D{{Key: "url", Value: bson.D{{Key: "$exists", Value: true}}},
		{Key: "removed", Value: bson.D{{Key: "$exists", Value: false}}}}
}

func byHook(id string) bson.D { return append(bson.D{{Key: "_id", Value: id}}, live()...) }

// Hooks returns the hooks in the order in which they were made.
func (r *Registry) Hooks(ctx context.Context) ([]*Hook, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.find(ctx, live())
}

func (r *Registry) find(ctx context.Context, filter bson.D) ([]*Hook, error) {
	// Those that were not removed come first: they have no such field.
	cursor, err := r.hooks.Find(ctx, filter, options.Find().SetLimit(2*MaxHooks).
		SetSort(bson.D{{Key: "removed", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	var docs []hookDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	list := make([]*Hook, len(docs))
	for i := range docs {
		list[i] = docs[i].hook()
	}
	slices.SortFunc(list, func(a, b *Hook) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// Hook returns the hook of this id. The error is ErrNoSuchHook.
func (r *Registry) Hook(ctx context.Context, id string) (*Hook, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var doc hookDoc
	err := r.hooks.FindOne(ctx, byHook(id)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchHook
	}
	if err != nil {
		return nil, fmt.Errorf("find webhook: %w", err)
	}
	return doc.hook(), nil
}

// A HookChange is what becomes of a hook; nil leaves a value as it is.
type HookChange struct {
	Name, URL *string
	Kinds     *[]feed.Kind
	// Paused stops the hook, or lets it go on where it was.
	Paused *bool
	// NewSecret replaces the secret.
	NewSecret bool
}

// Change changes a hook and returns it. Errors: ErrNoSuchHook, ErrInvalid.
func (r *Registry) Change(ctx context.Context, id string, c HookChange) (*Hook, error) {
	h, err := r.Hook(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Name != nil {
		h.Name = *c.Name
	}
	if c.URL != nil {
		h.URL = *c.URL
	}
	if c.Kinds != nil {
		h.Kinds = *c.Kinds
	}
	if c.NewSecret {
		h.Secret = newSecret()
	}
	if c.Paused != nil && !*c.Paused {
		h.Paused = ""
	} else if c.Paused != nil && h.Paused == "" {
		h.Paused = PausedByOperator
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	set := bson.D{{Key: "name", Value: h.Name}, {Key: "url", Value: h.URL}, {Key: "secret", Value: h.Secret}}
	var unset bson.D
	for _, field := range []struct {
		name  string
		value any
		none  bool
	}{{"kinds", h.Kinds, len(h.Kinds) == 0}, {"paused", h.Paused, h.Paused == ""}} {
		if field.none {
			unset = append(unset, bson.E{Key: field.name, Value: ""})
		} else {
			set = append(set, bson.E{Key: field.name, Value: field.value})
		}
	}
	update := bson.D{{Key: "$set", Value: set}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	if err := r.updateHook(ctx, id, update); err != nil {
		return nil, err
	}
	return h, nil
}

// pause stops a hook because of what its URL answered.
func (r *Registry) pause(ctx context.Context, id, why string) error {
	return r.updateHook(ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "paused", Value: why}}}})
}

func (r *Registry) updateHook(ctx context.Context, id string, update bson.D) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := r.hooks.UpdateOne(ctx, byHook(id), update)
	if err != nil {
		return fmt.Errorf("change webhook: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchHook
	}
	return r.refresh(ctx)
}

// Remove removes a hook. What it has not got it does not get. The error is ErrNoSuchHook.
func (r *Registry) Remove(ctx context.Context, id string) error {
	// The sender removes the readers and letters, and the document at last.
	return r.updateHook(ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "removed", Value: true}}}})
}
