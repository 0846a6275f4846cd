package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gadwall/internal/activity"
)

// route is one thing that a client can ask for.
type route struct {
	method, path string
	who          access
	// maxBody bounds the request's body in octets; a route with 0 takes none.
	maxBody int64
	// timeout bounds reading the request, the work and the answer. With 0 the connection has no
	// deadline and the handler sets its own, by http.ResponseController.
	timeout time.Duration
	handle  http.HandlerFunc
	about   operation
}

// access says who may use a route.
type access uint8

const (
	// operators have the token, or are on this machine where there is none.
	operators access = iota
	// everybody may ask, also past the limits of connections.
	everybody
	// visitors are all clients within the limits of connections: the route tells nothing, or its path
	// has a secret that the handler checks.
	visitors
)

// routes is the whole interface.
func (s *Server) routes() []route {
	metrics := promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{})
	return slices.Concat(s.fixedRoutes(), []route{
		{http.MethodGet, "/metrics", operators, 0, metricsTimeout, metrics.ServeHTTP, operation{
			id: "metrics", summary: "Figures for Prometheus.", tag: "server", fixed: true,
			answerTypes: []string{"text/plain"}}},
		{http.MethodGet, "/openapi.json", operators, 0, routeTimeout, s.openAPI, operation{
			id: "openapi", summary: "This document.", tag: "document", answer: map[string]json.RawMessage{}}},
	}, s.consoleRoutes(), s.operationRoutes(), s.userRoutes(), s.tokenRoutes(), s.userTokenRoutes(),
		s.authlogRoutes(), s.domainRoutes(), s.sessionRoutes(), s.searchRoutes(), s.mailRoutes(),
		s.webhookRoutes())
}

// mailRoutes are the routes of mailboxes and messages.
func (s *Server) mailRoutes() []route {
	if s.opts.Accounts == nil {
		return nil
	}
	return slices.Concat(s.mailboxRoutes(), s.aclRoutes(), s.messageRoutes(), s.updateRoutes(), s.allUpdateRoutes(),
		s.submitRoutes())
}

// fixedRoutes have answers on which other programs rely.
func (s *Server) fixedRoutes() []route {
	return []route{
		{http.MethodPost, "/user/create", operators, maxUserBody, routeTimeout, s.createUser, operation{
			id: "createUserFixed", summary: "Create a user; failures have a form of their own.", tag: "users",
			body: newUser{}, answer: createdUser{}, fixed: true,
			failures: []int{http.StatusBadRequest, http.StatusConflict, http.StatusInsufficientStorage}}},
		{http.MethodGet, "/health", everybody, 0, healthTimeout, s.health, operation{
			id: "health", summary: "Whether this instance works.", tag: "server", answer: healthState{}, fixed: true}},
	}
}

// handler routes requests by the table.
func (s *Server) handler(routes []route) http.Handler {
	byPath := make(map[string]map[string]route)
	for _, r := range routes {
		methods := byPath[r.path]
		if methods == nil {
			methods = make(map[string]route)
			byPath[r.path] = methods
		}
		methods[r.method] = r
		if r.method == http.MethodGet {
			methods[http.MethodHead] = r
		}
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		allowed := slices.DeleteFunc(slices.Sorted(maps.Keys(methods)), func(method string) bool {
			return method == http.MethodHead
		})
		fixed := methods[allowed[0]].about.fixed
		if path == "/" {
			path = "/{$}" // and not what is below it
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
			r, ok := methods[req.Method]
			if !ok {
				// TRACE and the like: what one method of the path has is the form of all.
				if rw, fits := w.(*responseWriter); fits {
					rw.plain = fixed
				}
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed",
					"use "+strings.Join(allowed, " or "))
				return
			}
			s.run(r, w, req)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "NotFound", "no such resource")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set(headerRequestID, chosenRequestID(r))
		if isReserved(r.Context()) {
			w.Header().Set("Connection", "close")
		}
		control := http.NewResponseController(w)
		body := &watchedBody{ReadCloser: r.Body, ended: r.ContentLength == 0, received: &s.counts.traffic.Received}
		r.Body = body
		counted := &responseWriter{ResponseWriter: w, body: body, gzip: acceptsGzip(r), sent: &s.counts.traffic.Sent}
		begun := time.Now()
		mux.ServeHTTP(counted, r)
		s.counts.done(r, counted, time.Since(begun))
		if !body.ended {
			// net/http would wait for the rest, to throw it away. The answer says that the
			// connection closes, and an error here means that it is closed already.
			_ = control.SetReadDeadline(time.Now())
		}
	})
}

// run lets a request through to its route.
func (s *Server) run(route route, w http.ResponseWriter, r *http.Request) {
	if rw, ok := w.(*responseWriter); ok {
		rw.plain = route.about.fixed
		rw.operation = s.counts.of(route.about.id)
		r = r.WithContext(rw.operation.Context(r.Context()))
	}
	deadline := time.Time{}
	if route.timeout > 0 {
		deadline = time.Now().Add(route.timeout)
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		r = r.WithContext(ctx)
	}
	control := http.NewResponseController(w)
	// An error means that the connection is closed, which the handler finds out by itself.
	_ = control.SetReadDeadline(deadline)
	_ = control.SetWriteDeadline(deadline)
	if route.who == visitors && isReserved(r.Context()) {
		tooMany(w)
		return
	}
	if route.who == operators {
		who, ok := s.admit(w, r)
		if !ok || !mayUse(w, who.token, &route) {
			return
		}
		r = r.WithContext(withCaller(r.Context(), who))
	}
	if route.maxBody == 0 && r.ContentLength != 0 {
		fail(w, http.StatusRequestEntityTooLarge, "TooLarge", "this takes no body")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, route.maxBody)
	route.handle(w, r)
}

// watchedBody notes whether a request's body was read to its end.
type watchedBody struct {
	io.ReadCloser
	ended    bool
	received *atomic.Int64
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.received.Add(int64(n))
	if err == io.EOF {
		b.ended = true
	}
	return n, err
}

// responseWriter announces that the connection closes if the answer comes before the body's end.
type responseWriter struct {
	http.ResponseWriter
	body    *watchedBody
	gzip    bool // the client can read it
	plain   bool // failures have the form Failure
	started bool
	// status is that of the answer, operation the route's; nil if there is no such route.
	status    int
	operation *activity.Operation
	sent      *atomic.Int64
}

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	if !w.started && status >= 200 && !w.body.ended {
		w.Header().Set("Connection", "close")
	}
	if !w.started && status >= 200 {
		w.started, w.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
