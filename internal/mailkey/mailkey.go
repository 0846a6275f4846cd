package mailkey

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// UserID names a user: 8 random bytes.
type UserID [8]byte

// Mailbox names a mailbox: its user's id and its number, big endian.
type Mailbox [12]byte

// Message names a message: its mailbox's key and its UID, big endian. Byte order is therefore the
// order of users, within a user of mailboxes, and within a mailbox of UIDs.
type Message [16]byte

// NewUserID draws the id of a new user.
func NewUserID() UserID {
	var id UserID
	rand.Read(id[:]) // never fails, as documented
	return id
}

// ParseUserID reads what UserID.String wrote.
func ParseUserID(s string) (UserID, error) {
	var id UserID
	if err := parseHex(id[:], s); err != nil {
		return UserID{}, fmt.Errorf("user id %q: %w", s, err)
	}
	return id, nil
}

// ParseMailbox reads what Mailbox.String wrote.
func ParseMailbox(s string) (Mailbox, error) {
	var k Mailbox
	if err := parseHex(k[:], s); err != nil {
		return Mailbox{}, fmt.Errorf("mailbox key %q: %w", s, err)
	}
	return k, nil
}

func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("want %d hexadecimal digits, have %d characters", 2*len(dst), len(s))
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}

// String is the id in hexadecimal.
func (id UserID) String() string { return hex.EncodeToString(id[:]) }

// Mailbox returns the key of the user's mailbox with this number.
func (id UserID) Mailbox(number uint32) Mailbox {
	var k Mailbox
	copy(k[:], id[:])
	binary.BigEndian.PutUint32(k[8:], number)
	return k
}

// Binary is the id as it stands in the database.
func (id UserID) Binary() bson.Binary { return bson.Binary{Data: id[:]} }

// String is the key in hexadecimal.
func (k Mailbox) String() string { return hex.EncodeToString(k[:]) }

// User returns the id of the mailbox's user.
func (k Mailbox) User() UserID { return UserID(k[:8]) }

// Number returns the number of the mailbox within its user.
func (k Mailbox) Number() uint32 { return binary.BigEndian.Uint32(k[8:]) }

// Message returns the key of the mailbox's message with this UID.
func (k Mailbox) Message(uid uint32) Message {
	var m Message
	copy(m[:], k[:])
	binary.BigEndian.PutUint32(m[12:], uid)
	return m
}

// Binary is the key as it stands in the database.
func (k Mailbox) Binary() bson.Binary { return bson.Binary{Data: k[:]} }

// String is the key in hexadecimal.
func (k Message) String() string { return hex.EncodeToString(k[:]) }

// Mailbox returns the key of the message's mailbox.
func (k Message) Mailbox() Mailbox { return Mailbox(k[:12]) }

// User returns the id of the message's user.
func (k Message) User() UserID { return UserID(k[:8]) }

// UID returns the message's UID.
func (k Message) UID() uint32 { return binary.BigEndian.Uint32(k[12:]) }

// Binary is the key as it stands in the database.
func (k Message) Binary() bson.Binary { return bson.Binary{Data: k[:]} }
