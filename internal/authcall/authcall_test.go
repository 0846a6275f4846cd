package authcall

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/quota"
)

const (
	testSecret = "0123456789abcdef"
	password   = "correct horse"
)

// program is a program that is asked.
type program struct {
	url string

	mu        sync.Mutex
	answer    func(w http.ResponseWriter, r *http.Request, q Question)
	questions []Question
}

func newProgram(t *testing.T) *program {
	p := new(program)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		// As docs/operations.md says, with nothing of the package.
		mac := hmac.New(sha256.New, []byte(testSecret))
		fmt.Fprintf(mac, "%s.%s", r.Header.Get("Gadwall-Timestamp"), body)
		if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("Gadwall-Signature") != want {
			t.Errorf("signature %q, want %q", r.Header.Get("Gadwall-Signature"), want)
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s, %s", r.Method, r.Header.Get("Content-Type"))
		}
		var q Question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		p.mu.Lock()
		p.questions = append(p.questions, q)
		answer := p.answer
		p.mu.Unlock()
		answer(w, r, q)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	p.say(`{"allow":false}`)
	return p
}

// say lets the program answer this from now on.
func (p *program) say(answer string) {
	p.answerWith(func(w http.ResponseWriter, _ *http.Request, _ Question) { _, _ = io.WriteString(w, answer) })
}

func (p *program) answerWith(f func(w http.ResponseWriter, r *http.Request, q Question)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

func (p *program) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.questions)
}

func (p *program) caller(t *testing.T, remember time.Duration) *Caller {
	c := New(Options{URL: p.url, Secret: testSecret, Timeout: time.Minute, Remember: remember,
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	t.Cleanup(c.Close)
	return c
}

var question = Question{
	Username: "ada", Password: password, Protocol: "imap", Method: "PLAIN", Address: "192.0.2.1", TLS: true,
}

func TestAnswers(t *testing.T) {
	p := newProgram(t)
	c := p.caller(t, 0)
	name, yes, no := "Ada", true, false
	five, both := &quota.Limits{Bytes: 5}, &quota.Limits{Bytes: 5, Messages: -1}
	for in, want := range map[string]struct {
		Answer
		err error // nil with an empty answer: trouble
	}{
		`{"allow":true}`: {Answer{Username: "ada"}, nil},
		`{"allow":true,"username":"ada@example.com"}`:        {Answer{Username: "ada@example.com"}, nil},
		`{"allow":true,"name":"Ada","unknown":[1]}`:          {Answer{Username: "ada", DisplayName: &name}, nil},
		`{"allow":true,"quota":5}`:                           {Answer{Username: "ada", Limits: five}, nil},
		`{"allow":true,"quota":{"storage":5,"messages":-1}}`: {Answer{Username: "ada", Limits: both}, nil},
		`{"allow":true,"state":"suspended"}`:                 {Answer{Username: "ada", Suspended: &yes}, nil},
		`{"allow":true,"state":"active"}`:                    {Answer{Username: "ada", Suspended: &no}, nil},

		`{"allow":false}`:                       {Answer{}, ErrDenied},
		`{"allow":false,"username":"ada"}`:      {Answer{}, ErrDenied},
		`{}`:                                    {},
		``:                                      {},
		`true`:                                  {},
		`{"allow":"true"}`:                      {},
		`{"allow":true`:                         {},
		`{"allow":true} {"allow":true}`:         {},
		`{"allow":true,"state":"sleeping"}`:     {},
		`{"allow":true,"quota":-2}`:             {},
		`{"allow":true,"quota":"much"}`:         {},
		strings.Repeat(" ", maxAnswer) + `true`: {},
	} {
		p.say(in)
		got, fresh, err := c.Ask(t.Context(), question)
		if !reflect.DeepEqual(got, want.Answer) || !fresh {
			t.Errorf("%.100q: %+v, want %+v", in, got, want.Answer)
		}
		trouble := want.err == nil && want.Username == ""
		if trouble != (err != nil && !errors.Is(err, ErrDenied)) || !trouble && !errors.Is(err, want.err) {
			t.Errorf("%.100q: error %v, want %v", in, err, want.err)
		}
	}
	for _, q := range p.questions {
		if q != question {
			t.Fatalf("asked %+v", q)
		}
	}
}

// TestTrouble: what is no answer of the program denies nobody anything.
func TestTrouble(t *testing.T) {
	p := newProgram(t)
	c := p.caller(t, time.Hour)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, q Question){
		"403": func(w http.ResponseWriter, _ *http.Request, _ Question) { w.WriteHeader(http.StatusForbidden) },
		"500": func(w http.ResponseWriter, _ *http.Request, _ Question) { w.WriteHeader(500) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request, _ Question) {
			http.Redirect(w, r, p.url, http.StatusTemporaryRedirect)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request, _ Question) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"allow":true}`)
		},
		"gone": func(http.ResponseWriter, *http.Request, Question) { panic(http.ErrAbortHandler) },
	} {
		p.answerWith(answer)
		before := p.asked()
		_, _, err := c.Ask(t.Context(), question)
		if err == nil || errors.Is(err, ErrDenied) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
		if n := p.asked() - before; n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
	// A program that does not answer in time.
	release := make(chan struct{})
	defer close(release)
	p.answerWith(func(http.ResponseWriter, *http.Request, Question) { <-release })
	impatient := New(Options{URL: p.url, Secret: testSecret, Timeout: time.Millisecond})
	if _, _, err := impatient.Ask(t.Context(), question); err == nil || errors.Is(err, ErrDenied) {
		t.Errorf("no answer: %v", err)
	}
}

// TestRemembers: a password that was right is not asked about again for a while; others are, and
// what was wrong is.
func TestRemembers(t *testing.T) {
	p := newProgram(t)
	c := p.caller(t, time.Hour)
	ask := func(q Question, questions int, want error) {
		t.Helper()
		before := p.asked()
		_, fresh, err := c.Ask(t.Context(), q)
		if n := p.asked() - before; n != questions || !errors.Is(err, want) || fresh != (questions > 0) {
			t.Errorf("%+v: asked %d times, fresh %t, %v", q, n, fresh, err)
		}
	}
	ask(question, 1, ErrDenied)
	ask(question, 1, ErrDenied)
	p.say(`{"allow":true}`)
	ask(question, 1, nil)
	elsewhere := question
	elsewhere.Address = "192.0.2.2"
	ask(elsewhere, 0, nil)
	p.say(`{"allow":false}`)
	ask(question, 0, nil)
	for _, change := range []func(q *Question){
		func(q *Question) { q.Username = "eve" },
		func(q *Question) { q.Password = "another horse" },
		func(q *Question) { q.Protocol = "smtp" },
	} {
		q := question
		change(&q)
		ask(q, 1, ErrDenied)
	}
	nobody := question
	nobody.Username = ""
	if _, _, err := c.Ask(t.Context(), nobody); !errors.Is(err, ErrDenied) {
		t.Errorf("nobody: %v", err)
	}
	nobody.Username = strings.Repeat("a", maxName+1)
	if _, _, err := c.Ask(t.Context(), nobody); !errors.Is(err, ErrDenied) {
		t.Errorf("a long name: %v", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"allow":true,"username":"a@b","quota":{"storage":1},"state":"active"}`))
	f.Add([]byte(`{"allow":false}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body)
		if err != nil {
			if !reflect.DeepEqual(a, Answer{}) {
				t.Errorf("%+v with %v", a, err)
			}
			return
		}
		var raw map[string]any
		if json.Unmarshal(body, &raw) != nil {
			t.Errorf("%q is no object", body)
		}
		if a.Limits != nil && a.Limits.Check() != nil {
			t.Errorf("limits %+v", a.Limits)
		}
	})
}
