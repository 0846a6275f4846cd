package passhash

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	cryptpbkdf2 "github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Bounds of what verifying a hash may cost, as the hash says it.
const (
	// MaxLength bounds a stored hash in octets, the scheme's name included.
	MaxLength = 512

	maxBcryptCost   = 14
	maxSHARounds    = 1_000_000
	maxIterations   = 2_000_000 // of PBKDF2
	maxArgonKiB     = 256 << 10
	maxArgonTime    = 16
	maxArgonThreads = 16
	maxSalt         = 64
)

// ErrMalformed reports a hash that Parse cannot read, or does not accept.
var ErrMalformed = errors.New("not a password hash that can be used")

// Hash is a password hash that another system made.
type Hash struct {
	// Scheme is the name that the scheme has in Dovecot, such as SHA512-CRYPT.
	Scheme string
	// Weak says that whoever steals the hash can try very many passwords.
	Weak bool
	// KiB is the memory that Matches needs, 0 for not much.
	KiB uint32

	digest algorithm.Digest                   // nil with matches
	hashed func(password string) (sum []byte) // computes what want is
	want   []byte
}

// Matches reports whether the password has the hash.
func (h *Hash) Matches(password string) bool {
	if h.digest != nil {
		ok, err := h.digest.MatchAdvanced(password)
		return err == nil && ok
	}
	return subtle.ConstantTimeCompare(h.hashed(password), h.want) == 1
}

// Weak reports the scheme of a stored hash, and whether that is weak. It is not for a hash that
// Parse refuses.
func Weak(stored string) (scheme string, weak bool) {
	h, err := Parse(stored)
	if err != nil {
		return "", false
	}
	return h.Scheme, h.Weak
}

// Parse reads a stored hash: {ARGON2ID}, {ARGON2I}, {BLF-CRYPT}, {SHA512-CRYPT}, {SHA256-CRYPT},
// {MD5-CRYPT}, {CRYPT}, {PBKDF2}, {SSHA}, {SSHA256} or {SSHA512}, or one of crypt(3)'s forms without
// the braces. The error is ErrMalformed.
func Parse(stored string) (*Hash, error) {
	if len(stored) > MaxLength {
		return nil, fmt.Errorf("%w: it has %d octets, %d are possible", ErrMalformed, len(stored), MaxLength)
	}
	scheme, rest := "CRYPT", stored
	if strings.HasPrefix(stored, "{") {
		name, after, found := strings.Cut(stored[1:], "}")
		if !found {
			return nil, fmt.Errorf("%w: the scheme has no closing brace", ErrMalformed)
		}
		scheme, rest = strings.ToUpper(name), after
	}
	var h *Hash
	var err error
	switch scheme {
	case "SSHA":
		h, err = salted(rest, sha1.New)
	case "SSHA256":
		h, err = salted(rest, sha256.New)
	case "SSHA512":
		h, err = salted(rest, sha512.New)
	case "PBKDF2":
		if h, err = dovecotPBKDF2(rest); err != nil {
			h, err = modular(rest)
		}
	case "CRYPT", "ARGON2ID", "ARGON2I", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT":
		h, err = modular(rest)
		if err == nil && scheme != "CRYPT" && h.Scheme != scheme {
			err = fmt.Errorf("it is of scheme %s", h.Scheme)
		}
	default:
		err = fmt.Errorf("unknown scheme %s", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if h.Scheme == "" {
		h.Scheme = scheme
	}
	return h, nil
}

// salted reads base64 of a digest and the salt behind it.
func salted(encoded string, digest func() hash.Hash) (*Hash, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	size := digest().Size()
	if len(raw) <= size || len(raw) > size+maxSalt {
		return nil, fmt.Errorf("%d octets for digest and salt", len(raw))
	}
	sum, salt := raw[:size], bytes.Clone(raw[size:])
	return &Hash{Weak: true, want: sum, hashed: func(password string) []byte {
		d := digest()
		d.Write([]byte(password))
		d.Write(salt)
		return d.Sum(nil)
	}}, nil
}

// dovecotPBKDF2 reads Dovecot's form, "$1$salt$rounds$hex": PBKDF2 with SHA-1 over the salt's text.
func dovecotPBKDF2(encoded string) (*Hash, error) {
	fields := strings.Split(encoded, "$")
	if len(fields) != 5 || fields[0] != "" || fields[1] != "1" {
		return nil, errors.New("not of the form $1$salt$rounds$hash")
	}
	rounds, err := strconv.Atoi(fields[3])
	if err != nil || rounds < 1 || rounds > maxIterations {
		return nil, fmt.Errorf("%q rounds", fields[3])
	}
	want, err := hex.DecodeString(fields[4])
	if err != nil || len(want) != sha1.Size {
		return nil, errors.New("not a digest of SHA-1 in hexadecimal digits")
	}
	salt := []byte(fields[2])
	return &Hash{want: want, hashed: func(password string) []byte {
		sum, err := pbkdf2.Key(sha1.New, password, salt, rounds, sha1.Size)
		if err != nil {
			return nil // FIPS mode refuses short salts
		}
		return sum
	}}, nil
}

// modular reads a hash in the forms of crypt(3) and PHC.
func modular(encoded string) (*Hash, error) {
	fields := strings.Split(encoded, "$")
	if len(fields) < 4 || fields[0] != "" {
		return nil, errors.New("no scheme, and not of the form $scheme$salt$hash")
	}
	switch fields[1] {
	case "argon2id", "argon2i":
		return argon(encoded, fields)
	case "2a", "2b", "2y":
		cost, err := strconv.Atoi(fields[2])
		if err != nil || cost < 4 || cost > maxBcryptCost {
			return nil, fmt.Errorf("cost %q, at most %d is possible", fields[2], maxBcryptCost)
		}
		return decoded("BLF-CRYPT", false, encoded, bcrypt.Decode)
	case "5", "6":
		if text, ok := strings.CutPrefix(fields[2], "rounds="); ok {
			rounds, err := strconv.Atoi(text)
			if err != nil || rounds < 1000 || rounds > maxSHARounds {
				return nil, fmt.Errorf("%q rounds, at most %d are possible", text, maxSHARounds)
			}
		}
		name := map[string]string{"5": "SHA256-CRYPT", "6": "SHA512-CRYPT"}[fields[1]]
		return decoded(name, false, encoded, shacrypt.Decode)
	case "1":
		return decoded("MD5-CRYPT", true, encoded, md5crypt.Decode)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return cryptPBKDF2(encoded, fields)
	}
	return nil, fmt.Errorf("unknown scheme $%s$", fields[1])
}

// argon reads "$argon2id$v=19$m=...,t=...,p=...$salt$key".
func argon(encoded string, fields []string) (*Hash, error) {
	var memory, time, threads uint32
	if len(fields) != 6 {
		return nil, errors.New("not of the form $argon2id$v=19$m=,t=,p=$salt$key")
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil {
		return nil, fmt.Errorf("parameters %q", fields[3])
	}
	if memory > maxArgonKiB || time > maxArgonTime || threads > maxArgonThreads {
		return nil, fmt.Errorf("parameters %q are too expensive", fields[3])
	}
	h, err := decoded(strings.ToUpper(fields[1]), false, encoded, argon2.Decode)
	if err == nil {
		h.KiB = memory
	}
	return h, err
}

// cryptPBKDF2 reads passlib's form, "$pbkdf2-sha256$rounds$salt$hash".
func cryptPBKDF2(encoded string, fields []string) (*Hash, error) {
	rounds, err := strconv.Atoi(fields[2])
	if err != nil || rounds < 1 || rounds > maxIterations {
		return nil, fmt.Errorf("%q rounds, at most %d are possible", fields[2], maxIterations)
	}
	return decoded("PBKDF2", false, encoded, cryptpbkdf2.Decode)
}

func decoded(scheme string, weak bool, encoded string, decode func(string) (algorithm.Digest, error)) (*Hash, error) {
	digest, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	return &Hash{Scheme: scheme, Weak: weak, digest: digest}, nil
}
