package mailstore

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"gadwall/internal/mailkey"
)

// verifiedKey stands for a user, the stored hash and a password that was found to fit it.
type verifiedKey [32]byte

// verifiedPasswords remembers for a short time which passwords were found right, so that a client
// that logs in again does not cost a computation of argon2id. It holds no password: an entry is a
// hash under a key that the process draws at its start and never tells. The stored hash is part of
// what is hashed, so an entry is worth nothing once a user's password was changed. Wrong passwords
// are not remembered: each costs its whole price.
type verifiedPasswords struct {
	key    [32]byte
	keep   time.Duration // 0: nothing is remembered
	max    int
	now    func() time.Time
	mu     sync.Mutex
	until  map[verifiedKey]time.Time
	nextGC time.Time // when entries that have ended are looked for
}

func newVerifiedPasswords(keep time.Duration, limit int) *verifiedPasswords {
	v := &verifiedPasswords{keep: keep, max: limit, now: time.Now, until: make(map[verifiedKey]time.Time)}
	rand.Read(v.key[:]) // never fails, as documented
	return v
}

// keyOf returns the key of an entry. Lengths stand before what varies in length, so that no two
// triples are hashed from the same octets.
func (v *verifiedPasswords) keyOf(user mailkey.UserID, hash, password string) verifiedKey {
	h, err := blake3.NewKeyed(v.key[:])
	if err != nil {
		panic(err) // the key has the length that it must have
	}
	var length [8]byte
	write := func(s string) {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.WriteString(s)
	}
	h.Write(user[:])
	write(hash)
	write(password)
	return verifiedKey(h.Sum(nil))
}

// has reports whether the entry is there and has not ended. It does not last longer for being used.
func (v *verifiedPasswords) has(k verifiedKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	until, ok := v.until[k]
	return ok && v.now().Before(until)
}

// add remembers an entry. When there are too many, one of the others goes, whichever it is.
func (v *verifiedPasswords) add(k verifiedKey) {
	if v.keep <= 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if now.After(v.nextGC) {
		for old, until := range v.until {
			if !now.Before(until) {
				delete(v.until, old)
			}
		}
		v.nextGC = now.Add(v.keep)
	}
	if _, ok := v.until[k]; !ok && len(v.until) >= v.max {
		for old := range v.until {
			delete(v.until, old)
			break
		}
	}
	v.until[k] = now.Add(v.keep)
}
