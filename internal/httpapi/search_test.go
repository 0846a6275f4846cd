package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// searched is a server with the mail of one user.
type searched struct {
	*storetest.Store
	user *mailstore.User
	url  string
}

func newSearched(t *testing.T) *searched {
	t.Helper()
	st := storetest.Open(t, storetest.Options{})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &searched{Store: st, user: st.User(t, "ada@example.com")}
	s.url = start(t, Options{Users: st, Accounts: accounts})
	return s
}

func (s *searched) deliver(t *testing.T, path, message string) {
	t.Helper()
	w := s.Contents.NewWriter(t.Context())
	if _, err := io.WriteString(w, strings.ReplaceAll(message, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Deliver(t.Context(), stored,
		[]mailstore.Delivery{{Mailbox: s.Mailbox(t, s.user, path).Key, Magic: stored.Magics[0]}})
	if err != nil || got[0].Err != nil {
		t.Fatal(err, got)
	}
}

// searchAnswer is the answer of a search.
type searchAnswer struct {
	Results []foundMessage
	Next    string
	Code    string
}

func (s *searched) search(t *testing.T, status int, user, q string, more ...string) (a searchAnswer) {
	t.Helper()
	params := url.Values{"q": {q}}
	for i := 0; i < len(more); i += 2 {
		params.Set(more[i], more[i+1])
	}
	got, body, _ := request(t, http.MethodGet, s.url+"/users/"+url.PathEscape(user)+"/search?"+params.Encode(), "")
	if got != status {
		t.Errorf("%s: status %d, want %d: %s", q, got, status, body)
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return a
}

func TestSearchMail(t *testing.T) {
	s := newSearched(t)
	s.deliver(t, "INBOX", "From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Looms & cards\n\n"+
		"First line.\nThe analytical engine weaves <patterns>.\n")
	s.deliver(t, "INBOX", "From: Charles <c@example.org>\nSubject: Lunch\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nÄpfel\n--b\n"+
		"Content-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=a.pdf\n\n%PDF\n--b--\n")
	s.deliver(t, "Archive", "From: Ada <ada@example.org>\nSubject: Old looms\n\nnothing\n")

	found := func(q string) string {
		t.Helper()
		var list []string
		for _, r := range s.search(t, http.StatusOK, "ada@example.com", q).Results {
			list = append(list, fmt.Sprintf("%s/%d", r.Mailbox, r.UID))
		}
		return strings.Join(list, " ")
	}
	for q, want := range map[string]string{
		"looms":                        "INBOX/1 Archive/1",
		"looms in:Archive":             "Archive/1",
		"looms -in:archive":            "INBOX/1",
		"from:ada -subject:old":        "INBOX/1",
		"has:attachment":               "INBOX/2",
		"-has:attachment in:INBOX":     "INBOX/1",
		`"engine weaves"`:              "INBOX/1",
		"äpfel OR old":                 "INBOX/2 Archive/1",
		"to:bob is:unread":             "INBOX/1",
		"is:flagged":                   "",
		"larger:1M":                    "",
		"smaller:1M before:2000-01-01": "",
		"newer:1d":                     "INBOX/2 INBOX/1 Archive/1",
	} {
		if got := found(q); got != want {
			t.Errorf("%s: found %q, want %q", q, got, want)
		}
	}

	r := s.search(t, http.StatusOK, s.user.ID.String(), "weave loom").Results
	if len(r) != 1 || r[0].Subject != "<mark>Loom</mark>s &amp; cards" || r[0].ID == "" || r[0].Thread == "" ||
		!strings.Contains(r[0].Snippet, "engine <mark>weave</mark>s &lt;patterns&gt;") ||
		!strings.Contains(r[0].From, "ada@example.org") || r[0].Flags == nil {
		t.Errorf("%+v", r)
	}
	if r := s.search(t, http.StatusOK, "ada@example.com", "lunch").Results; len(r) != 1 || !r[0].HasAttachments {
		t.Errorf("%+v", r)
	}

	for _, tt := range []struct {
		status           int
		user, q, code    string
		parameter, value string
	}{
		{http.StatusNotFound, "nobody@example.com", "x", "NoSuchUser", "", ""},
		{http.StatusNotFound, "0123456789abcdef", "x", "NoSuchUser", "", ""},
		{http.StatusBadRequest, "ada@example.com", "OR", "InvalidSearch", "", ""},
		{http.StatusBadRequest, "ada@example.com", "x in:nowhere", "NoSuchMailbox", "", ""},
		{http.StatusBadRequest, "ada@example.com", "x", "InvalidField", "limit", "101"},
		{http.StatusBadRequest, "ada@example.com", "x", "InvalidField", "after", "1.0"},
	} {
		if got := s.search(t, tt.status, tt.user, tt.q, tt.parameter, tt.value); got.Code != tt.code {
			t.Errorf("%+v: code %s", tt, got.Code)
		}
	}
}

// TestSearchPages: pages of any size are together what one page has, without a gap or a repeat.
func TestSearchPages(t *testing.T) {
	s := newSearched(t)
	for i := range 7 {
		s.deliver(t, []string{"INBOX", "Archive"}[i%2], fmt.Sprintf("Subject: word %d\n\n\n", i))
	}
	place := func(r foundMessage) string { return fmt.Sprintf("%s/%d", r.Mailbox, r.UID) }
	var all []string
	for _, r := range s.search(t, http.StatusOK, "ada@example.com", "word").Results {
		all = append(all, place(r))
	}
	if len(all) != 7 {
		t.Fatalf("%d of 7 found", len(all))
	}
	for size := 1; size <= 8; size++ {
		var got []string
		for next := ""; ; {
			a := s.search(t, http.StatusOK, "ada@example.com", "word", "limit", fmt.Sprint(size), "after", next)
			if len(a.Results) > size || len(a.Results) == 0 {
				t.Fatalf("a page of %d has %d", size, len(a.Results))
			}
			for _, r := range a.Results {
				got = append(got, place(r))
			}
			if next = a.Next; next == "" {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %q, want %q", size, got, all)
		}
	}
}
