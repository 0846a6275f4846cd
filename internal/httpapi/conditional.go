package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// notChanged is the answer of an endpoint that has nothing new to tell: 304 without a body.
var notChanged = new(struct{})

// notModified sets the ETag of an answer, and reports whether the client has it already (RFC 9110
// section 13.1.2).
func notModified(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	// The client keeps the answer, and asks each time whether it still holds.
	w.Header().Set("Cache-Control", "private, no-cache")
	for sent := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		sent = strings.TrimSpace(sent)
		if sent == "*" || strings.TrimPrefix(sent, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// messageTag is the ETag of a message as a reader sees it.
func messageTag(uidValidity, uid uint32, modseq uint64) string {
	return fmt.Sprintf(`W/"%d-%d-%d"`, uidValidity, uid, modseq)
}

// errPrecondition is the answer if the message is not the one that If-Match has.
var errPrecondition = refuse(http.StatusPreconditionFailed, "Changed", "the message is not what If-Match says")

// matching returns the mod-sequence since which the message must be unchanged by If-Match (RFC 9110
// section 13.1.1), 0 without that. The tag is one that says when a message changed, so a weak one
// serves.
func matching(r *http.Request, uidValidity, uid uint32) (modseq uint64, err error) {
	sent := strings.Join(r.Header.Values("If-Match"), ",")
	if sent == "" || strings.TrimSpace(sent) == "*" {
		return 0, nil
	}
	for tag := range strings.SplitSeq(sent, ",") {
		number, found := strings.CutPrefix(strings.TrimPrefix(strings.TrimSpace(tag), "W/"),
			fmt.Sprintf(`"%d-%d-`, uidValidity, uid))
		n, err := strconv.ParseUint(strings.TrimSuffix(number, `"`), 10, 64)
		if found && err == nil {
			modseq = max(modseq, n)
		}
	}
	if modseq == 0 {
		return 0, errPrecondition
	}
	return modseq, nil
}

// span is a range of octets.
type span struct{ off, n int64 }

// requestedRange returns the range that a request asks for of size octets. partial is false for the
// whole, which is also the answer to a Range that is malformed or has several ranges (RFC 9110
// section 14.2). ok is false for a range that does not exist.
func requestedRange(r *http.Request, size int64, tag string) (s span, partial, ok bool) {
	whole := span{0, size}
	unit, spec, _ := strings.Cut(r.Header.Get("Range"), "=")
	if !strings.EqualFold(unit, "bytes") || strings.Contains(spec, ",") {
		return whole, false, true
	}
	if condition := r.Header.Get("If-Range"); condition != "" && condition != tag {
		return whole, false, true
	}
	from, to, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || strings.Trim(from+to, "0123456789") != "" || from+to == "" {
		return whole, false, true
	}
	number := func(s string) int64 {
		n, _ := strconv.ParseInt(s, 10, 64) // the maximum if it is larger
		return n
	}
	switch {
	case from == "": // the last octets
		n := min(number(to), size)
		return span{size - n, n}, true, n > 0
	case to != "" && number(to) < number(from):
		return whole, false, true
	case number(from) >= size:
		return span{}, true, false
	case to == "":
		return span{number(from), size - number(from)}, true, true
	}
	return span{number(from), min(number(to), size-1) - number(from) + 1}, true, true
}

// startRange begins the answer with octets of something that has size of them, and returns which
// ones to send. ok is false if the answer is complete.
func startRange(w http.ResponseWriter, r *http.Request, size int64, tag string) (s span, ok bool) {
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	if notModified(w, r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return span{}, false
	}
	s, partial, exists := requestedRange(r, size, tag)
	if !exists {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		fail(w, http.StatusRequestedRangeNotSatisfiable, "NoSuchRange", "there is no such range")
		return span{}, false
	}
	h.Set("Content-Length", strconv.FormatInt(s.n, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.off, s.off+s.n-1, size))
	}
	return s, s.start(w, r, status)
}

// start sends the header, and reports whether a body follows.
func (s span) start(w http.ResponseWriter, r *http.Request, status int) bool {
	w.WriteHeader(status)
	return r.Method != http.MethodHead
}
