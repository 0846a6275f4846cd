package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"gadwall/bench"
	"gadwall/bench/result"
)

// Target is a server that is measured.
type Target struct {
	Server     result.Server
	IMAP, LMTP string // host:port
	Layers     Layers // of connections to IMAP
	// UserFormat makes the address of user n from 0 on, as fmt does: "bench%d@example.com".
	UserFormat string
	Password   string // of all users
	// Create makes a user. It is nil if the users are there already.
	Create func(ctx context.Context, user, password string) error
	// PID is the server's process on this machine; 0 if it is not known.
	PID int
	// DataDir is the directory in which the server stores; empty if it is not known.
	DataDir string
	// Counters reads what its database counts; nil if that is not known.
	Counters func(ctx context.Context) (Counters, error)
	// Footprint reads what it has stored, but for its directory; nil if that is not known. That may take
	// long.
	Footprint func(ctx context.Context) (*bench.Footprint, error)
	// Metrics reads the metrics of a Gadwall; nil if they are not known.
	Metrics func(ctx context.Context) (Metrics, error)
}

// User is the address of user n, which is also the name for LOGIN.
func (t *Target) User(n int) string { return fmt.Sprintf(t.UserFormat, n) }

// CreateUsers makes the first n users, if the target can.
func (t *Target) CreateUsers(ctx context.Context, n int) error {
	if t.Create == nil {
		return nil
	}
	for i := range n {
		if err := t.Create(ctx, t.User(i), t.Password); err != nil {
			return fmt.Errorf("create user %s: %w", t.User(i), err)
		}
	}
	return nil
}

// Disk is the size of the data directory; ok is false if it is not known.
func (t *Target) Disk() (octets int64, ok bool, err error) {
	if t.DataDir == "" {
		return 0, false, nil
	}
	octets, err = bench.DiskUsage(t.DataDir)
	return octets, err == nil, err
}

const (
	// createTimeout bounds one request of HTTPUsers.
	createTimeout = time.Minute
	// maxAnswer bounds what is read of an answer of the HTTP API.
	maxAnswer = 4 << 10
)

// HTTPUsers makes users by the HTTP API of a Gadwall. A user who exists is left as it is. token may
// be empty.
func HTTPUsers(addr, token string) func(ctx context.Context, user, password string) error {
	client := &http.Client{Timeout: createTimeout}
	return func(ctx context.Context, user, password string) error {
		body, err := json.Marshal(map[string]string{"username": user, "password": password})
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost,
			"http://"+addr+"/user/create", bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusConflict {
			return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(answer))
		}
		return nil
	}
}
