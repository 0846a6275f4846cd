package mailstore

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/text/secure/precis"

	"gadwall/internal/passhash"
)

// Parameters of argon2id for new hashes: the least that OWASP recommends. Each computation takes
// this memory, so only a few run at a time: see newHashing.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds for hashes read from the database, which may come from an import.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonTime   = 16
	maxArgonKey    = 64
)

const (
	// maxHashing bounds the computations with the parameters of new hashes that run at a time.
	maxHashing = 8
	// hashingIdle is the time after the last computation at which its memory is given back. That
	// collects garbage, so it is worth it only after a burst.
	hashingIdle = 5 * time.Second
)

// hashing bounds the computations that run at a time by the memory they take: as many as there are
// processors, at most maxHashing, with the parameters of new hashes. Of hashes that take more,
// fewer run, and those that take more than all others together run one by one. When there was
// nothing to compute for a while, their memory goes back to the system.
type hashing struct {
	memory *semaphore.Weighted
	all    int64 // KiB

	mu      sync.Mutex
	running int
	idle    *time.Timer // calls giveBack; nil before the first computation
	stopped bool

	// For tests.
	giveBack  func() // debug.FreeOSMemory
	computing func() // called for each computation
}

func newHashing() *hashing {
	all := int64(min(runtime.GOMAXPROCS(0), maxHashing)) * argonMemory
	return &hashing{
		memory: semaphore.NewWeighted(all), all: all,
		giveBack: debug.FreeOSMemory, computing: func() {},
	}
}

// begin and end surround a computation.
func (h *hashing) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running++
	h.computing()
	if h.idle != nil {
		h.idle.Stop()
	}
}

func (h *hashing) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running--; h.running > 0 || h.stopped {
		return
	}
	if h.idle == nil {
		h.idle = time.AfterFunc(hashingIdle, func() { h.giveBack() })
		return
	}
	h.idle.Reset(hashingIdle)
}

// stop cancels giving memory back.
func (h *hashing) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.idle != nil {
		h.idle.Stop()
	}
}

// while runs f, a computation with that memory in KiB, when there is room for it.
func (h *hashing) while(ctx context.Context, memory uint32, f func()) error {
	n := min(int64(memory), h.all)
	if err := h.memory.Acquire(ctx, n); err != nil {
		return err
	}
	defer h.memory.Release(n)
	h.begin()
	defer h.end()
	f()
	return nil
}

var errBadHash = errors.New("not an argon2id hash")

// argonHash is an argon2id hash in its parts.
type argonHash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// String writes the hash in PHC string format.
func (h argonHash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time,
		h.threads, b64(h.salt), b64(h.key))
}

// parseHash reads a PHC string.
func parseHash(s string) (h argonHash, err error) {
	fields := strings.Split(s, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" {
		return h, errBadHash
	}
	if fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("%w: version %q", errBadHash, fields[2])
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, fmt.Errorf("%w: parameters %q", errBadHash, fields[3])
	}
	if h.memory < 8 || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.threads < 1 {
		return h, fmt.Errorf("%w: parameters %q out of range", errBadHash, fields[3])
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return h, fmt.Errorf("%w: salt: %w", errBadHash, err)
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil {
		return h, fmt.Errorf("%w: key: %w", errBadHash, err)
	}
	if len(h.salt) < 8 || len(h.salt) > maxArgonKey || len(h.key) < 16 || len(h.key) > maxArgonKey {
		return h, fmt.Errorf("%w: salt or key of %d and %d octets", errBadHash, len(h.salt), len(h.key))
	}
	return h, nil
}

// compute computes the hash, which is expensive.
func (h argonHash) compute(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
}

// noHash stands in for the hash of users that do not exist. A comparison with it takes as long as
// with any other, and never succeeds, since nobody knows a password for it.
var noHash = storedPassword{argonHash: newHash()}

func newHash() argonHash {
	h := argonHash{memory: argonMemory, time: argonTime, threads: argonThreads,
		salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	rand.Read(h.salt)
	rand.Read(h.key)
	return h
}

// preparePassword brings a password into the form that is hashed, in which it is the same however a
// client composes its characters (RFC 8265 section 4, OpaqueString). Passwords which that profile
// refuses (with control characters, for instance) are used as they are.
func preparePassword(password string) string {
	if p, err := precis.OpaqueString.String(password); err == nil {
		return p
	}
	return password
}

func checkPassword(password string) error {
	if len(password) < MinPasswordLength || len(password) > MaxPasswordLength {
		return invalid(ErrWeakPassword, "it has %d octets; %d to %d are possible",
			len(password), MinPasswordLength, MaxPasswordLength)
	}
	// Some clients cannot send them, and protocols forbid NUL, CR and LF (RFC 4616 section 2,
	// RFC 3501 section 9).
	if strings.ContainsFunc(password, unicode.IsControl) {
		return invalid(ErrWeakPassword, "it has a control character")
	}
	return nil
}

// storedPassword is a password as a user's document has it: a hash of ours, or one that another
// system made.
type storedPassword struct {
	argonHash
	foreign *passhash.Hash // nil for ours
}

// parsePassword reads a stored hash. The error is ErrWeakPassword.
func parsePassword(stored string) (storedPassword, error) {
	ours, err := parseHash(stored)
	if err == nil {
		return storedPassword{argonHash: ours}, nil
	}
	foreign, err := passhash.Parse(stored)
	if err != nil {
		return storedPassword{}, invalid(ErrWeakPassword, "%v", err)
	}
	return storedPassword{foreign: foreign}, nil
}

// hash computes the PHC string of a new password. The error is ErrWeakPassword.
func (s *Store) hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	return s.computeHash(ctx, password)
}

func (s *Store) computeHash(ctx context.Context, password string) (string, error) {
	h := newHash()
	err := s.hashing.while(ctx, h.memory, func() { h.key = h.compute(preparePassword(password)) })
	if err != nil {
		return "", err
	}
	return h.String(), nil
}

// verify reports whether the password has the hash.
func (s *Store) verify(ctx context.Context, h storedPassword, password string) (bool, error) {
	var same bool
	if h.foreign != nil {
		// What another system hashed is what the client sent, in whatever form. A computation
		// counts as one of ours at least: it needs a processor.
		err := s.hashing.while(ctx, max(h.foreign.KiB, argonMemory), func() { same = h.foreign.Matches(password) })
		return same, err
	}
	err := s.hashing.while(ctx, h.memory, func() {
		same = subtle.ConstantTimeCompare(h.compute(preparePassword(password)), h.key) == 1
	})
	return same, err
}
