package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gadwall/quota"
)

// Quota is what holds for users who have no limits of their own, and when to warn. All processes on
// the same data should agree; see package quota on what happens while they do not.
type Quota struct {
	DefaultStorage  StorageLimit `name:"quota-default-storage" env:"GADWALL_QUOTA_DEFAULT_STORAGE" default:"unlimited" placeholder:"SIZE" help:"Most that a user without a limit of its own may store, e.g. 10GiB, or unlimited."`
	DefaultMessages MessageLimit `name:"quota-default-messages" env:"GADWALL_QUOTA_DEFAULT_MESSAGES" default:"unlimited" placeholder:"N" help:"Most messages that a user without a limit of its own may have, or unlimited."`
	Warn            WarnLevels   `name:"quota-warn" env:"GADWALL_QUOTA_WARN" default:"80,95" help:"Percentages of a limit at which to log and publish a warning, or off."`
}

// Check reports the first setting that cannot work.
func (q Quota) Check() error {
	if q.DefaultStorage == StorageLimit(quota.Default) || q.DefaultMessages == MessageLimit(quota.Default) {
		return errors.New("--quota-default-storage and --quota-default-messages: want a limit or unlimited")
	}
	if err := quota.Levels(q.Warn).Check(); err != nil {
		return fmt.Errorf("--quota-warn: %w", err)
	}
	return nil
}

// Policy is the settings in the words of package quota.
func (q Quota) Policy() quota.Policy {
	return quota.Policy{
		Limits: quota.Limits{Bytes: int64(q.DefaultStorage), Messages: int64(q.DefaultMessages)},
		Levels: quota.Levels(q.Warn),
	}
}

// Words for limits that are no amount.
const (
	wordDefault   = "default"
	wordUnlimited = "unlimited"
)

// StorageLimit is a limit on octets: a Size, "unlimited" or "default".
type StorageLimit int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *StorageLimit) UnmarshalText(text []byte) error {
	return parseLimit((*int64)(l), text, "a size such as 10GiB", func(s string) (int64, error) {
		var size Size
		err := size.UnmarshalText([]byte(s))
		return int64(size), err
	})
}

// String writes the limit as UnmarshalText reads it.
func (l StorageLimit) String() string {
	return limitString(int64(l), func() string { return Size(l).String() })
}

// MessageLimit is a limit on messages: a number, "unlimited" or "default".
type MessageLimit int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *MessageLimit) UnmarshalText(text []byte) error {
	return parseLimit((*int64)(l), text, "a number", func(s string) (int64, error) {
		return strconv.ParseInt(s, 10, 64)
	})
}

// String writes the limit as UnmarshalText reads it.
func (l MessageLimit) String() string {
	return limitString(int64(l), func() string { return strconv.FormatInt(int64(l), 10) })
}

func parseLimit(dst *int64, text []byte, want string, amount func(string) (int64, error)) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	switch s {
	case wordDefault:
		*dst = quota.Default
		return nil
	case wordUnlimited:
		*dst = quota.Unlimited
		return nil
	}
	// No 0: to some programs it means no limit, to others that nothing may be stored.
	n, err := amount(s)
	if err != nil || n < 1 || n > quota.MaxLimit {
		return fmt.Errorf("%q is not %s above 0, %s or %s", text, want, wordUnlimited, wordDefault)
	}
	*dst = n
	return nil
}

func limitString(limit int64, amount func() string) string {
	switch limit {
	case quota.Default:
		return wordDefault
	case quota.Unlimited:
		return wordUnlimited
	}
	return amount()
}

// WarnLevels are percentages separated by commas, or Off.
type WarnLevels quota.Levels

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *WarnLevels) UnmarshalText(text []byte) error {
	*l = nil
	if string(text) == Off {
		return nil
	}
	for field := range strings.SplitSeq(string(text), ",") {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(field), "%"))
		if err != nil {
			return fmt.Errorf("%q is not a list of percentages such as 80,95, or %s", text, Off)
		}
		*l = append(*l, n)
	}
	return nil
}

// String writes the levels as UnmarshalText reads them.
func (l WarnLevels) String() string {
	if len(l) == 0 {
		return Off
	}
	var texts []string
	for _, n := range l {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ",")
}

// UnmarshalJSON implements json.Unmarshaler: octets as a number, or a string as UnmarshalText reads
// it.
func (l *StorageLimit) UnmarshalJSON(data []byte) error { return limitFromJSON(data, l) }

// UnmarshalJSON implements json.Unmarshaler: a number, or a string as UnmarshalText reads it.
func (l *MessageLimit) UnmarshalJSON(data []byte) error { return limitFromJSON(data, l) }

func limitFromJSON(data []byte, l encoding.TextUnmarshaler) error {
	if string(data) == "null" {
		return nil // as if it were not there
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		text = wholeNumber(string(data))
	}
	if err := l.UnmarshalText([]byte(text)); err != nil {
		return &LimitError{err}
	}
	return nil
}

// wholeNumber writes a number of JSON without an exponent or a fraction of zero: encoders of many
// languages write 1e9 and 1000000000.0 for the same. Everything else stays as it is.
func wholeNumber(text string) string {
	const exact = 1 << 53 // a float64 has all whole numbers up to here
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") || f != math.Trunc(f) || math.Abs(f) > exact {
		return text
	}
	return strconv.FormatInt(int64(f), 10)
}

// LimitError reports a limit in JSON that cannot be one.
type LimitError struct{ error }
