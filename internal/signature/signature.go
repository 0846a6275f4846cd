// Package signature signs the requests that the server sends to programs of others: questions to an
// external authenticator, and webhooks. The receiver computes the signature again, and compares the
// time with its own, so that nobody can send an old request once more.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// Headers of a signed request.
const (
	// HeaderTimestamp has the time of the request, in seconds since 1970.
	HeaderTimestamp = "Gadwall-Timestamp"
	// HeaderSignature has Version and the result of Sign.
	HeaderSignature = "Gadwall-Signature"
	// Version stands before the signature, so that there can be another one.
	Version = "v1="
)

// Sign returns the HMAC-SHA256 of the timestamp, a full stop, and the body, in
// hexadecimal.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + ".")) // never fails, as documented
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Set signs the request that has this header and body.
func Set(h http.Header, secret string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, Version+Sign(secret, timestamp, body))
}
