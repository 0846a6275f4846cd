package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/database"
)

// A connecting watches the driver while it looks for the database: it knows in the end why which
// server could not be reached, and ends the wait when no time can help.
type connecting struct {
	hopeless func(error) bool
	cancel   context.CancelFunc

	mu      sync.Mutex
	servers []string         // as far as the driver knows
	failed  map[string]error // by server: the last attempt
	gaveUp  bool
	over    bool // nobody waits any more
}

// monitor has the driver report to w.
func (w *connecting) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{
		TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) {
			var servers []string
			for _, s := range e.NewDescription.Servers {
				servers = append(servers, s.Addr.String())
			}
			w.change(func() { w.servers = servers })
		},
		ServerHeartbeatFailed: func(e *event.ServerHeartbeatFailedEvent) {
			server, _, _ := strings.Cut(e.ConnectionID, "[-")
			w.change(func() { w.failed[server] = e.Failure })
		},
		ServerHeartbeatSucceeded: func(e *event.ServerHeartbeatSucceededEvent) {
			server, _, _ := strings.Cut(e.ConnectionID, "[-")
			w.change(func() { delete(w.failed, server) })
		},
	}
}

// change notes what the driver found out, and ends the wait if every server is out of reach for
// good.
func (w *connecting) change(note func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	note()
	for _, s := range w.servers {
		if err := w.failed[s]; err == nil || !w.hopeless(err) {
			return
		}
	}
	if len(w.servers) > 0 {
		w.gaveUp = true
		w.cancel()
	}
}

// explain ends the watch and says in a line why the database could not be reached. An error that
// comes from settings is a SettingError. If the caller's context ended, the error wraps the
// context's, and tells what the wait was for.
func (w *connecting) explain(ctx context.Context, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		waited := ""
		if len(w.failed) > 0 {
			waited = " (" + w.reasons() + ")"
		}
		return fmt.Errorf("connecting to the database: %w%s", context.Cause(ctx), waited)
	}
	switch {
	case isAuthentication(err):
		return &SettingError{errors.New("--mongodb-uri: the database refuses the user name or the password")}
	case len(w.failed) == 0 && database.IsUnavailable(err):
		return fmt.Errorf("the database has no primary, or does not answer in time (%s)",
			strings.Join(w.servers, ", "))
	case len(w.failed) == 0:
		return fmt.Errorf("cannot use the database: %w", err)
	}
	text := "cannot reach the database: " + w.reasons()
	if w.gaveUp {
		return &SettingError{errors.New(text)}
	}
	return errors.New(text)
}

// reasons says of each server that is out of reach why. The caller holds mu.
func (w *connecting) reasons() string {
	var reasons []string
	for server, err := range w.failed {
		reasons = append(reasons, server+": "+reason(err))
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; ")
}

// isAuthentication reports whether the server knows the user by another password, or not at all.
// The driver makes a text of the server's code.
func isAuthentication(err error) bool {
	return database.HasCode(err, database.AuthenticationFailed, database.Unauthorized) ||
		strings.Contains(err.Error(), "auth error")
}

// isHopeless reports whether a server will be as unreachable in a while as it is now: no such host,
// no such socket, no permission.
func isHopeless(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound || errors.Is(err, fs.ErrNotExist) || isForbidden(err)
}

func isForbidden(err error) bool { return errors.Is(err, fs.ErrPermission) }

// reason says in words of everyday why a connection failed.
func reason(err error) string {
	var lookup *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "no such host"
	case errors.As(err, &lookup):
		return "the name server does not answer"
	case errors.Is(err, fs.ErrNotExist):
		return "no such socket"
	case isForbidden(err):
		return "permission denied"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}
