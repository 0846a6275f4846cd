package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json" // RFC 9457 section 6.1
)

// answer sends a value as JSON, compressed if that is worth it and the client can read it.
func answer(w http.ResponseWriter, status int, v any) { answerAs(w, status, typeJSON, v) }

func answerAs(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs; net/http recovers
	}
	body = append(body, '\n')
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Add("Vary", "Accept-Encoding")
	if rw, ok := w.(*responseWriter); ok && rw.gzip && len(body) >= minCompressed {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		// A buffer takes everything.
		_, _ = z.Write(body)
		_ = z.Close()
		header.Set("Content-Encoding", "gzip")
		body = packed.Bytes()
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// acceptsGzip reports whether Accept-Encoding names gzip and does not refuse it.
func acceptsGzip(r *http.Request) bool {
	for field := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(field, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimSpace(params)
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}

// newRequestID names a request in its answer and in the log.
func newRequestID() string { return rand.Text()[:12] }

// requestID returns the id that an answer has for its request.
func requestID(w http.ResponseWriter) string { return w.Header().Get(headerRequestID) }

// headerRequestID is in every answer. A client may send its own.
const headerRequestID = "X-Request-Id"

// chosenRequestID returns the client's id for a request, if it can be one, or a new id.
func chosenRequestID(r *http.Request) string {
	id := r.Header.Get(headerRequestID)
	if id == "" || len(id) > maxRequestID || strings.Trim(id, requestIDCharacters) != "" {
		return newRequestID()
	}
	return id
}

const requestIDCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
