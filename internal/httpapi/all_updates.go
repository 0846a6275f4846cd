package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gadwall/internal/feed"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
)

// GET /updates is a stream of what happens to the mail of all users, on all instances, for operators who
// look on (feed.Watch). Unlike the stream of one user it has no positions, and it leaves out what is too
// much. Three kinds of events are of this stream alone: "start", "reach", which says whose events arrive,
// and "left-out", which counts.

func (s *Server) allUpdateRoutes() []route {
	return []route{{http.MethodGet, "/updates", operators, 0, 0, s.allUpdates, operation{
		id: "getAllUpdates", tag: "updates", answerTypes: []string{typeEvents},
		summary: "What happens to the mail of all users, as it happens, as server-sent events; " +
			"docs/events.md describes them.",
		query: []parameter{
			{name: "user", text: "Only of this user: an id or a name.", schema: text()},
			{name: "domain", text: "Only of users of this domain.", schema: text()},
			{name: "kinds", text: "The kinds to tell, separated by commas: some of " + kindWords() + ".",
				schema: text()}},
		failures: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusTooManyRequests}}}}
}

// watchStream is one stream to an operator.
type watchStream struct {
	eventStream
	whole   bool // the client may read mail
	watch   *feed.Watch
	session *sessions.Session
}

// allUpdates answers with a stream that ends as that of updates does.
func (s *Server) allUpdates(w http.ResponseWriter, r *http.Request) {
	var o feed.WatchOptions
	var err error
	if o.Kinds, err = kindsOf(r); err == nil && r.FormValue("user") != "" {
		var user *mailstore.User
		if user, err = s.anyUser(r.Context(), r.FormValue("user")); err == nil {
			o.User = user.ID
		}
	}
	if domain := r.FormValue("domain"); err == nil && domain != "" {
		if o.Domain, err = mailstore.NormalizeDomain(domain); err != nil {
			err = badField("there is no such domain: " + domain)
		}
	}
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	if !s.watches.admit() {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusTooManyRequests, "TooManyStreams", "too many streams are open")
		return
	}
	defer s.watches.release()
	if !beginStream(w, r) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	t := tokenOf(r.Context())
	u := &watchStream{eventStream: s.newEventStream(w, r), whole: t == nil || t.Grants("mail:read")}
	u.session = s.opts.Registry.Open(s.streamOf(r), func(string) { cancel() })
	defer u.session.Close()
	u.watch = s.opts.Accounts.Watch(o)
	defer u.watch.Close()
	err = u.run(ctx)
	var write *writeError
	switch {
	case ctx.Err() != nil, errors.As(err, &write):
	case errors.Is(err, feed.ErrWatchEnded), errors.Is(err, errNoLonger):
	default:
		s.log.Warn("stream of all updates ended", "request", requestID(w), "error", err)
	}
}

// run sends events until the stream ends.
func (u *watchStream) run(ctx context.Context) error {
	if err := u.begin(); err != nil {
		return err
	}
	others := false
	if err := u.write(ownEvent("start", map[string]any{"instances": reach(others)})); err != nil {
		return err
	}
	checked := time.Now()
	for {
		if time.Since(checked) >= u.server.heartbeat {
			if err := u.checkToken(ctx); err != nil {
				return err
			}
			checked = time.Now()
		}
		seen, err := u.watch.Next(ctx, time.Now().Add(u.server.heartbeat))
		if err != nil {
			return err
		}
		if len(seen.Events) == 0 && seen.LeftOut == 0 && seen.Others == others {
			err = u.write([]byte(":\n\n"))
		} else {
			err = u.send(&seen, others)
			others = seen.Others
		}
		if err != nil {
			return err
		}
	}
}

// reach names the instances of which a stream tells.
func reach(others bool) string {
	if others {
		return "all"
	}
	return "one"
}

// ownEvent is an event that is of the stream alone.
func ownEvent(kind string, fields map[string]any) []byte {
	fields["kind"] = kind
	data, _ := json.Marshal(fields) // of texts and numbers: it does not fail
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
}

// send sends what was seen. others is what the client knows.
func (u *watchStream) send(seen *feed.Seen, others bool) error {
	var b bytes.Buffer
	if seen.Others != others {
		b.Write(ownEvent("reach", map[string]any{"instances": reach(seen.Others)}))
	}
	for i := range seen.Events {
		e := &seen.Events[i]
		if !u.whole {
			conceal(&e.Event)
		}
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", e.Kind, data)
	}
	if seen.LeftOut > 0 {
		b.Write(ownEvent("left-out", map[string]any{"changes": seen.LeftOut}))
	}
	u.server.updateMetrics.watched.Add(float64(len(seen.Events)))
	u.server.updateMetrics.leftOut.Add(float64(seen.LeftOut))
	u.session.Touch()
	return u.write(b.Bytes())
}

// conceal takes out of an event what only those may know who may read the mail: what the message says, its
// keywords, and what the user has called the mailbox.
func conceal(e *feed.Event) {
	hide := func(m *feed.Mailbox) {
		if m != nil && m.Path != mailstore.Inbox {
			m.Path = ""
		}
	}
	// An event has its mailbox to itself, but for chunks of one change, of which the first call is enough.
	hide(e.Mailbox)
	if e.From != nil {
		hide(&e.From.Mailbox)
	}
	e.Before = ""
	if m := e.Message; m != nil {
		m.Subject, m.From, m.MessageID, m.Preview = "", nil, "", ""
		m.Flags = slices.DeleteFunc(m.Flags, func(f string) bool { return !strings.HasPrefix(f, `\`) })
	}
	for i := range e.Messages {
		m := &e.Messages[i]
		m.Subject, m.From, m.MessageID, m.Preview = "", nil, "", ""
		m.Flags = slices.DeleteFunc(m.Flags, func(f string) bool { return !strings.HasPrefix(f, `\`) })
	}
}
