package webhooks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gadwall/internal/feed"
	"gadwall/internal/signature"
)

// HeaderDelivery has the id of the delivery, which is the same when it is sent again.
const HeaderDelivery = "Gadwall-Delivery"

// Resync is the kind of the event that says that events are missing: the receiver must read again
// what it shows of the user's mail.
const Resync feed.Kind = "resync"

// Test is the kind of the event that an operator sends to try a hook.
const Test feed.Kind = "test"

// A Delivery is the body of a request.
type Delivery struct {
	ID      string       `json:"id"`
	Webhook string       `json:"webhook"`
	User    *User        `json:"user,omitempty"` // none for Test
	Created time.Time    `json:"created"`
	Events  []feed.Event `json:"events"`
}

// User is whose mail it is.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// deliveryID is the same for the same events of a reader.
func deliveryID(hook, from, to string) string {
	sum := sha256.Sum256([]byte(hook + "\x00" + from + "\x00" + to))
	return hex.EncodeToString(sum[:16])
}

// An AnswerError is an answer that is no success.
type AnswerError struct {
	Status int
	// RetryAfter is how long the receiver wants to be left alone; 0 if it did not say.
	RetryAfter time.Duration
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("the answer was %d %s", e.Status, http.StatusText(e.Status))
}

// newClient returns a client for deliveries. It follows no redirect: the answer must come from the
// URL that the operator named.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 2*perHook, perHook
	transport.ResponseHeaderTimeout, transport.MaxResponseHeaderBytes = requestTimeout, maxAnswerHeader
	return &http.Client{Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// post sends a body. The error is an *AnswerError if there was an answer.
func post(ctx context.Context, client *http.Client, h *Hook, id string, body []byte, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Gadwall")
	req.Header.Set(HeaderDelivery, id)
	signature.Set(req.Header, h.Secret, now, body)
	res, err := client.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // without the URL, which may have a secret
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	// Read, so that the connection can be used again; what it says does not matter.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode/100 == 2 {
		return nil
	}
	answer := &AnswerError{Status: res.StatusCode}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		answer.RetryAfter = min(time.Duration(seconds)*time.Second, lastRetry)
	}
	return answer
}

// isGone reports whether the URL wants no requests any more.
func isGone(err error) bool {
	var answer *AnswerError
	return errors.As(err, &answer) && answer.Status == http.StatusGone
}

// Try sends a test to a hook, and returns how that went: nil, an *AnswerError, or what kept the
// request from being answered. Other errors: ErrNoSuchHook.
func (r *Registry) Try(ctx context.Context, id string) error {
	h, err := r.Hook(ctx, id)
	if err != nil {
		return err
	}
	now := r.now()
	d := Delivery{ID: deliveryID(h.ID, "test", now.String()), Webhook: h.ID, Created: now,
		Events: []feed.Event{{Kind: Test}}}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return post(ctx, newClient(), h, d.ID, body, now)
}
