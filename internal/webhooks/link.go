package webhooks

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// A link is the last part of the address of a message's source: the message, until when the link
// holds, and a signature with a key of the database. Who has it may read this message, without a
// token. The HTTP API has the route.
//
//	base64url( message key (16) | seconds since 1970 (8) | HMAC-SHA256 of both (32) )

// LinkPath is the path of links in the HTTP API.
const LinkPath = "/sources/"

const (
	signingKey = "signing key" // _id of the document in the collection of hooks
	keySize    = 32
	linkSize   = 16 + 8 + sha256.Size
)

// ErrBadLink reports a link that this database has not made, or whose time is over.
var ErrBadLink = errors.New("the link is not valid, or not any more")

// key returns the key of links, which is made when it is first asked for.
func (r *Registry) key(ctx context.Context) ([]byte, error) {
	r.keyOnce.Lock()
	defer r.keyOnce.Unlock()
	if r.linkKey != nil {
		return r.linkKey, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := make([]byte, keySize)
	rand.Read(key) // never fails, as documented
	var doc struct {
		Key bson.Binary `bson:"key"`
	}
	err := r.hooks.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: signingKey}},
		bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "key", Value: bson.Binary{Data: key}}}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&doc)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	if len(doc.Key.Data) != keySize {
		return nil, fmt.Errorf("signing key of %d octets", len(doc.Key.Data))
	}
	r.linkKey = doc.Key.Data
	return r.linkKey, nil
}

func signLink(key, signed []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(signed)
	return mac.Sum(nil)
}

// Link returns the path at which the source of a message can be read for a while.
func (r *Registry) Link(ctx context.Context, m mailkey.Message) (path string, err error) {
	key, err := r.key(ctx)
	if err != nil {
		return "", err
	}
	return LinkPath + link(key, m, r.now().Add(linkValid)), nil
}

// link returns the link of a message.
func link(key []byte, m mailkey.Message, until time.Time) string {
	b := make([]byte, 0, linkSize)
	b = append(b, m[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(until.Unix()))
	b = append(b, signLink(key, b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ReadLink returns the message of a link. The error is ErrBadLink, unless the database fails.
func (r *Registry) ReadLink(ctx context.Context, text string) (m mailkey.Message, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != linkSize {
		return m, ErrBadLink
	}
	key, err := r.key(ctx)
	if err != nil {
		return m, err
	}
	signed, signature := b[:linkSize-sha256.Size], b[linkSize-sha256.Size:]
	if !hmac.Equal(signature, signLink(key, signed)) {
		return m, ErrBadLink
	}
	copy(m[:], signed)
	if until := int64(binary.BigEndian.Uint64(signed[len(m):])); r.now().Unix() >= until {
		return m, ErrBadLink
	}
	return m, nil
}
