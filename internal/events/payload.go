package events

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"gadwall/internal/mailkey"
)

const (
	// channelPrefix is followed by the user's id in lower-case hexadecimal.
	channelPrefix = "gadwall:u:"
	// channelAll reaches every instance: whatever is sent there means "everybody
	// must read again".
	channelAll = "gadwall:all"
)

// payload is an event on the wire, in JSON so that a spam filter or a webmail
// server can subscribe without a library of ours. The user is in the channel's
// name.
type payload struct {
	// the sending bus, which already told its own subscribers
	Origin  string   `json:"from"`
	Kind    string   `json:"kind"`           // see Kind.String
	Mailbox uint32   `json:"mbox,omitempty"` // mailbox number
	ModSeq  uint64   `json:"modseq,omitempty"`
	UIDs    []uint32 `json:"uids,omitempty"`
	// Of kind "quota" alone.
	Quota *QuotaLevel `json:"quota,omitempty"`
}

func channelOf(user mailkey.UserID) string { return channelPrefix + hex.EncodeToString(user[:]) }

func userOf(channel string) (user mailkey.UserID, ok bool) {
	rest, ok := strings.CutPrefix(channel, channelPrefix)
	if !ok || len(rest) != 2*len(user) {
		return user, false
	}
	_, err := hex.Decode(user[:], []byte(rest))
	return user, err == nil
}

func encode(origin string, ev Event) ([]byte, error) {
	return json.Marshal(payload{origin, ev.Kind.String(), ev.Mailbox, ev.ModSeq, ev.UIDs, ev.Quota})
}

// decode reads what came in on the user's channel. Kinds of a later version are
// an error; the caller answers errors with Resync.
func decode(user mailkey.UserID, data string) (origin string, ev Event, err error) {
	if len(data) > maxPayload {
		return "", Event{}, errors.New("event too long")
	}
	var p payload
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return "", Event{}, err
	}
	if len(p.UIDs) > MaxUIDs {
		p.UIDs = nil
	}
	for k := Changed; k <= Metadata; k++ {
		if k.String() == p.Kind && (k == Quota) == (p.Quota != nil) {
			return p.Origin, Event{User: user, Mailbox: p.Mailbox, ModSeq: p.ModSeq, Kind: k,
				UIDs: p.UIDs, Quota: p.Quota}, nil
		}
	}
	return p.Origin, Event{}, errors.New("unknown kind of event, or not as its kind must be")
}
