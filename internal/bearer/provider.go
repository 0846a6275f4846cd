package bearer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// provider is what is known of the provider.
type provider struct {
	issuer string
	client *http.Client
	now    func() time.Time
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	fetching sync.WaitGroup

	mu     sync.Mutex
	flight chan struct{} // a fetch for which callers wait; closed when it ends
	last   *snapshot
	failed error     // of the last fetch
	next   time.Time // no fetch before it
}

// snapshot is what the provider said at one time.
type snapshot struct {
	fetched       time.Time
	keys          []jose.JSONWebKey
	introspection string // where it answers questions about tokens; may be empty
}

// bounded is a RoundTripper that bounds what is read of an answer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		body := resp.Body
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, maxAnswer), body}
	}
	return resp, err
}

func newProvider(issuer string, transport http.RoundTripper, now func() time.Time) *provider {
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &provider{
		issuer: issuer, now: now, ctx: ctx, cancel: cancel,
		client: &http.Client{
			Transport: bounded{transport}, Timeout: requestTimeout,
			// Credentials of ours and tokens of users go to where discovery says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close ends fetches.
func (p *provider) close() {
	p.mu.Lock()
	p.cancel()
	p.mu.Unlock()
	p.fetching.Wait()
	p.client.CloseIdleConnections()
}

// current returns a snapshot that is younger than age. If it cannot be fetched, one that is younger
// than bearable will do.
func (p *provider) current(ctx context.Context, age, bearable time.Duration) (*snapshot, error) {
	p.mu.Lock()
	now := p.now()
	switch {
	case p.last != nil && now.Sub(p.last.fetched) < age:
		defer p.mu.Unlock()
		return p.last, nil
	case p.ctx.Err() != nil:
		defer p.mu.Unlock()
		return nil, p.ctx.Err()
	case p.flight == nil && now.Before(p.next):
		defer p.mu.Unlock()
		return p.younger(bearable)
	}
	if p.flight == nil {
		p.flight = make(chan struct{})
		p.fetching.Go(p.run)
	}
	f := p.flight
	p.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case <-f:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.younger(bearable)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run fetches for all who wait.
func (p *provider) run() {
	ctx, cancel := context.WithTimeout(p.ctx, fetchTimeout)
	defer cancel()
	s, err := p.fetch(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed = err; err != nil {
		p.next = p.now().Add(retryAfter)
	} else {
		s.fetched = p.now()
		p.last = s
	}
	close(p.flight)
	p.flight = nil
}

// younger returns the last snapshot if it is young enough, else why there is none. p.mu is held.
func (p *provider) younger(age time.Duration) (*snapshot, error) {
	if p.last != nil && p.now().Sub(p.last.fetched) < age {
		return p.last, nil
	}
	if p.failed != nil {
		return nil, p.failed
	}
	return nil, errOutdated
}

// errOutdated reports a snapshot that grew old while its caller waited.
var errOutdated = errors.New("the keys of the provider are too old")

// fetch asks for the discovery document and the keys that it names.
func (p *provider) fetch(ctx context.Context) (*snapshot, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s", quoted(err.Error()))
	}
	var document struct {
		Keys          string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
	}
	if err := found.Claims(&document); err != nil {
		return nil, fmt.Errorf("discovery: %s", quoted(err.Error()))
	}
	s := &snapshot{introspection: document.Introspection}
	for _, at := range []string{document.Keys, document.Introspection} {
		if at != "" && !sameProtection(p.issuer, at) {
			return nil, fmt.Errorf("discovery: %q is not protected by TLS", quoted(at))
		}
	}
	if document.Keys == "" {
		return s, nil // it may answer questions about tokens
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, document.Keys, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: %s", quoted(err.Error()))
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := p.ask(req, &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		// Keys of kinds that this program does not know are of no use to it, and no error (RFC 7517
		// section 5).
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			s.keys = append(s.keys, key)
		}
	}
	return s, nil
}

// ask sends a request and reads the JSON that answers it.
func (p *provider) ask(req *http.Request, answer any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s", quoted(err.Error()))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the provider answers %s", quoted(resp.Status))
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("the answer is not as it should be: %s", quoted(err.Error()))
	}
	return nil
}

// sameProtection reports whether a URL is as safe as that of the issuer, which may be on loopback.
func sameProtection(issuer, at string) bool {
	return strings.HasPrefix(at, "https://") || strings.HasPrefix(issuer, "http://")
}

// quoted is text of the provider as an error quotes it.
func quoted(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxQuoted)], "")
}
