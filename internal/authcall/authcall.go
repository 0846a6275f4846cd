// Package authcall asks another program whether a password is right: one that knows the users, such
// as the accounts of a provider. docs/operations.md describes the questions and answers.
//
// # What always holds
//
//   - A question is signed, so that the program knows who asks. It goes to the configured URL and
//     nowhere else: no redirect is followed.
//   - Only an answer that is complete and says "allow" lets a user in, and only one that says so
//     keeps a user out (ErrDenied). Everything else (no answer in time, another status, no JSON) is
//     trouble, of which no client is told that its password is wrong.
//   - Times, answers and memory are bounded. What is remembered holds no password (package proofs),
//     and only what was allowed is remembered.
package authcall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gadwall/internal/proofs"
	"gadwall/internal/signature"
	"gadwall/quota"
)

const (
	// maxAnswer bounds an answer in octets.
	maxAnswer = 64 << 10
	// maxName bounds a user's name in a question, in octets; longer ones are of nobody.
	maxName = 1024
	// maxRemembered bounds the passwords that are remembered as right.
	maxRemembered = 20_000
	// maxQuoted bounds what an error quotes, in octets.
	maxQuoted = 200
	// maxConnections bounds the connections to the program that wait for more questions.
	maxConnections = 32
	// DefaultTimeout and DefaultRemember are those of Options.
	DefaultTimeout  = 5 * time.Second
	DefaultRemember = time.Minute
)

// ErrDenied reports that the program does not let the user in.
var ErrDenied = errors.New("denied")

// Options of a Caller. URL and Secret are required.
type Options struct {
	URL    string
	Secret string // of the signatures
	// Timeout bounds one question; 0 means DefaultTimeout.
	Timeout time.Duration
	// Remember is how long a password that was right is not asked about again; 0 asks each time.
	Remember time.Duration
	// Version of this program, for the header User-Agent; it may be empty.
	Version string
	// Now is the clock of timestamps; nil means time.Now.
	Now func() time.Time
}

// Question is what the program is asked.
type Question struct {
	Username string `json:"username"` // as the client sent it, but in no domain that is an alias
	Password string `json:"password"`
	Protocol string `json:"protocol"` // imap, smtp or http
	Method   string `json:"method"`   // a SASL mechanism, or how else the client logs in
	Address  string `json:"address"`  // of the client
	TLS      bool   `json:"tls"`
}

// Answer is what the program says of a user whom it lets in.
type Answer struct {
	// Username is the user's name in the store.
	Username string
	// Others are nil if the program says nothing of them.
	DisplayName *string
	Limits      *quota.Limits
	Suspended   *bool
}

// Caller asks. It is safe for concurrent use.
type Caller struct {
	opts   Options
	client *http.Client
	known  *proofs.Cache[Answer]
}

// New returns a Caller. The caller of New closes it.
func New(o Options) *Caller {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = maxConnections
	transport.MaxResponseHeaderBytes = maxAnswer
	return &Caller{
		opts: o, known: proofs.New[Answer](o.Remember, maxRemembered),
		client: &http.Client{
			Transport: transport, Timeout: o.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes connections that nobody uses.
func (c *Caller) Close() { c.client.CloseIdleConnections() }

// Ask asks whether a password is right. fresh is false for an answer of a moment ago. The error
// ErrDenied means that it is not; others, that nobody knows.
func (c *Caller) Ask(ctx context.Context, q Question) (answer Answer, fresh bool, err error) {
	if q.Username == "" || len(q.Username) > maxName {
		return Answer{}, true, ErrDenied
	}
	key := c.known.KeyOf(q.Username, q.Password, q.Protocol)
	if answer, ok := c.known.Get(key); ok {
		return answer, false, nil
	}
	body, err := c.post(ctx, q)
	if err != nil {
		return Answer{}, true, err
	}
	answer, err = parseAnswer(body)
	if err != nil {
		return Answer{}, true, err
	}
	if answer.Username == "" {
		answer.Username = q.Username
	}
	c.known.Add(key, answer)
	return answer, true, nil
}

// post sends a question and returns the body of the answer.
func (c *Caller) post(ctx context.Context, q Question) ([]byte, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("auth-url: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.opts.URL, bytes.NewReader(question))
	if err != nil {
		return nil, fmt.Errorf("auth-url: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", strings.TrimSuffix("Gadwall/"+c.opts.Version, "/"))
	signature.Set(req.Header, c.opts.Secret, c.opts.Now(), question)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("auth-url: %s", quoted(err.Error()))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("auth-url: the answer is %s", quoted(resp.Status))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("auth-url: %s", quoted(err.Error()))
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("auth-url: the answer has more than %d octets", maxAnswer)
	}
	return body, nil
}

// parseAnswer reads the body of an answer.
func parseAnswer(body []byte) (a Answer, err error) {
	var raw struct {
		Allow    *bool   `json:"allow"`
		Username string  `json:"username"`
		Name     *string `json:"name"`
		Quota    *limits `json:"quota"`
		State    *string `json:"state"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		// The error may quote the answer.
		return a, errors.New("auth-url: the answer is not JSON as it should be")
	}
	if raw.Allow == nil {
		return a, errors.New(`auth-url: the answer has no "allow"`)
	}
	if !*raw.Allow {
		return a, ErrDenied
	}
	a = Answer{Username: raw.Username, DisplayName: raw.Name}
	if raw.Quota != nil {
		l := quota.Limits(*raw.Quota)
		if err := l.Check(); err != nil {
			return Answer{}, fmt.Errorf("auth-url: %w", err)
		}
		a.Limits = &l
	}
	if raw.State != nil {
		suspended := *raw.State == "suspended"
		if !suspended && *raw.State != "active" {
			return Answer{}, fmt.Errorf("auth-url: state %q is neither active nor suspended", quoted(*raw.State))
		}
		a.Suspended = &suspended
	}
	return a, nil
}

// limits are {"storage":OCTETS,"messages":N}, or a number of octets.
type limits quota.Limits

func (l *limits) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &l.Bytes) == nil {
		return nil
	}
	var both struct {
		Storage  int64 `json:"storage"`
		Messages int64 `json:"messages"`
	}
	if err := json.Unmarshal(raw, &both); err != nil {
		return err
	}
	*l = limits{Bytes: both.Storage, Messages: both.Messages}
	return nil
}

func quoted(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxQuoted)], "")
}
