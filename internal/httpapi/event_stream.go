package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gadwall/internal/feed"
	"gadwall/internal/mailstore"
)

// eventStream is what streams of server-sent events have in common.
type eventStream struct {
	server  *Server
	w       http.ResponseWriter
	control *http.ResponseController
	request *http.Request
}

func (s *Server) newEventStream(w http.ResponseWriter, r *http.Request) eventStream {
	return eventStream{s, w, http.NewResponseController(w), r}
}

// beginStream sets the header of a stream. It reports false if that is all that the client wants.
func beginStream(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Set("Content-Type", typeEvents)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx passes on at once
	return r.Method != http.MethodHead
}

// kindWords are the kinds of events, for people.
func kindWords() string {
	words := make([]string, len(feed.Kinds))
	for i, k := range feed.Kinds {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

// kindsOf returns the kinds that a request asks for; nil for all.
func kindsOf(r *http.Request) (kinds []feed.Kind, err error) {
	words := r.FormValue("kinds")
	if words == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(words, ",") {
		kind := feed.Kind(word)
		if !slices.Contains(feed.Kinds, kind) {
			return nil, badField("there is no such kind of events: " + word)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// begin sends the first octets, so that the client knows that the stream is there.
func (u *eventStream) begin() error {
	return u.write(fmt.Appendf(nil, "retry: %d\n\n", u.server.retry.Milliseconds()))
}

// writeError ends the stream of a client that is gone or does not read.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }

// write sends at once. A client that does not take it in time is cut.
func (u *eventStream) write(b []byte) error {
	// An error means that the connection is closed, of which Write tells, too.
	_ = u.control.SetWriteDeadline(time.Now().Add(u.server.updateWait))
	_, err := u.w.Write(b)
	if err == nil {
		err = u.control.Flush()
	}
	if err != nil {
		return &writeError{err}
	}
	return nil
}

// checkToken ends the stream if the token was revoked, or its time is over.
func (u *eventStream) checkToken(ctx context.Context) error {
	t := tokenOf(ctx)
	if t == nil || t.ID == "" {
		return nil
	}
	_, err := u.server.opts.Users.TokenBySecret(ctx, bearer(u.request))
	if errors.Is(err, mailstore.ErrNoSuchToken) {
		return errNoLonger
	}
	return err
}
