package mailkey

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestKeysHoldTheirParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := UserID(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "user"))
		number := rapid.Uint32().Draw(t, "number")
		uid := rapid.Uint32().Draw(t, "uid")
		box := user.Mailbox(number)
		message := box.Message(uid)
		if box.User() != user || box.Number() != number {
			t.Fatalf("mailbox key %s of %s and %d", box, user, number)
		}
		if message.Mailbox() != box || message.User() != user || message.UID() != uid {
			t.Fatalf("message key %s of %s and %d", message, box, uid)
		}
		if id, err := ParseUserID(user.String()); err != nil || id != user {
			t.Fatalf("ParseUserID: %v, %v", id, err)
		}
		if k, err := ParseMailbox(box.String()); err != nil || k != box {
			t.Fatalf("ParseMailbox: %v, %v", k, err)
		}
	})
}

func TestKeysSortByMailboxThenUID(t *testing.T) {
	user := UserID{1, 2, 3}
	ordered := []Message{
		user.Mailbox(1).Message(1), user.Mailbox(1).Message(255), user.Mailbox(1).Message(256),
		user.Mailbox(1).Message(1<<32 - 1), user.Mailbox(2).Message(1), user.Mailbox(256).Message(1),
		UserID{1, 2, 4}.Mailbox(1).Message(1),
	}
	for i := range len(ordered) - 1 {
		if bytes.Compare(ordered[i][:], ordered[i+1][:]) >= 0 {
			t.Errorf("%s is not before %s", ordered[i], ordered[i+1])
		}
	}
}

func TestParseKeysRefuses(t *testing.T) {
	for _, s := range []string{"", "0102", "zz02030405060708", "010203040506070809", "0102030405060708 "} {
		if _, err := ParseUserID(s); err == nil {
			t.Errorf("ParseUserID(%q) succeeded", s)
		}
		if _, err := ParseMailbox(s); err == nil {
			t.Errorf("ParseMailbox(%q) succeeded", s)
		}
	}
}
