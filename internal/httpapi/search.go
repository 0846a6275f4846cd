package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/search/language"
	"gadwall/internal/search/snippet"
	"gadwall/internal/uidset"
)

// foundMessage is a message that a search found.
type foundMessage struct {
	Mailbox        string    `json:"mailbox"`
	UID            uint32    `json:"uid"`
	ID             string    `json:"id,omitempty"`     // EMAILID
	Thread         string    `json:"thread,omitempty"` // THREADID
	Date           time.Time `json:"date"`             // of arrival
	Size           int64     `json:"size"`
	Flags          []string  `json:"flags"`
	HasAttachments bool      `json:"hasAttachments"`
	From           string    `json:"from"`
	Subject        string    `json:"subject"` // HTML: hits are marked
	Snippet        string    `json:"snippet"` // HTML: hits are marked
}

// foundPage is what a search answers.
type foundPage struct {
	Success bool           `json:"success"`
	Results []foundMessage `json:"results"`
	Next    string         `json:"next,omitempty" doc:"There are more: for after."`
}

// searchRoutes are the routes of searches.
func (s *Server) searchRoutes() []route {
	if s.opts.Accounts == nil {
		return nil
	}
	return []route{{http.MethodGet, "/users/{id}/search", operators, 0, routeTimeout, s.searchMail, operation{
		id: "search", summary: "Messages that a search finds.", tag: "messages", answer: foundPage{},
		query: append(paged(maxFound, "The next of an answer."), parameter{
			name: "q", text: "The search, in the words of docs/api.md.", schema: text()}),
		failures: []int{http.StatusBadRequest, http.StatusNotFound}}}}
}

// searchMail answers GET /users/{id}/search.
func (s *Server) searchMail(w http.ResponseWriter, r *http.Request) {
	query, err := language.Parse(r.FormValue("q"), time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, "InvalidSearch", "q: "+err.Error())
		return
	}
	limit, err := pageLimit(r, defaultFound, maxFound)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	after, err := parsePlace(r.FormValue("after"))
	if err != nil {
		fail(w, http.StatusBadRequest, "InvalidField", `after must be the "next" of an answer`)
		return
	}
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	f := finding{account: s.opts.Accounts.Of(user), query: query, limit: limit}
	if err := f.run(r.Context(), after); err != nil {
		var missing *noFolderError
		if errors.As(err, &missing) {
			fail(w, http.StatusBadRequest, "NoSuchMailbox", missing.Error())
			return
		}
		s.failWith(w, r, err)
		return
	}
	answer(w, http.StatusOK, foundPage{true, f.results, f.next})
}

// place is where a page begins: behind a message, in the order of answers.
type place struct {
	mailbox uint32 // number
	uid     uint32 // messages below it; 0: all
}

func (p place) String() string { return fmt.Sprintf("%d.%d", p.mailbox, p.uid) }

func parsePlace(s string) (p place, err error) {
	if s == "" {
		return p, nil
	}
	box, uid, found := strings.Cut(s, ".")
	n, err := strconv.ParseUint(box, 10, 32)
	m, err2 := strconv.ParseUint(uid, 10, 32)
	if !found || err != nil || err2 != nil || m == 0 {
		return p, strconv.ErrSyntax
	}
	return place{uint32(n), uint32(m)}, nil
}

// noFolderError says that in: names a mailbox that does not exist.
type noFolderError struct{ name string }

func (e *noFolderError) Error() string { return "in: no mailbox is called " + e.name }

// finding is one page of a search. The order is that of the mailboxes' numbers, which stay when a
// mailbox is renamed, and within a mailbox from the newest message to the oldest.
type finding struct {
	account *account.Account
	query   language.Query
	limit   int

	results []foundMessage
	next    string
}

// run finds the messages of the page.
func (f *finding) run(ctx context.Context, after place) error {
	f.results = []foundMessage{}
	boxes, err := f.mailboxes(ctx)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if box.Key.Number() < after.mailbox {
			continue
		}
		below := uint32(0)
		if box.Key.Number() == after.mailbox {
			below = after.uid
		}
		if err := f.searchMailbox(ctx, box, below); err != nil {
			return err
		}
		if f.next != "" {
			return nil
		}
	}
	return nil
}

// mailboxes returns the mailboxes to search.
func (f *finding) mailboxes(ctx context.Context) ([]*mailstore.Mailbox, error) {
	all, err := f.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	named := func(names []string) (map[string]bool, error) {
		set := make(map[string]bool)
		for _, name := range names {
			i := slices.IndexFunc(all, func(b *mailstore.Mailbox) bool { return strings.EqualFold(b.Path, name) })
			if i < 0 {
				return nil, &noFolderError{name}
			}
			set[all[i].Path] = true
		}
		return set, nil
	}
	in, err := named(f.query.In)
	if err != nil {
		return nil, err
	}
	not, err := named(f.query.Not)
	if err != nil {
		return nil, err
	}
	boxes := slices.DeleteFunc(slices.Clone(all), func(b *mailstore.Mailbox) bool {
		return len(in) > 0 && !in[b.Path] || not[b.Path]
	})
	slices.SortFunc(boxes, func(a, b *mailstore.Mailbox) int { return int(a.Key.Number()) - int(b.Key.Number()) })
	return boxes, nil
}

// searchMailbox adds what a mailbox has of the page.
func (f *finding) searchMailbox(ctx context.Context, box *mailstore.Mailbox, below uint32) error {
	scope := uidset.All()
	if below > 0 {
		if below == 1 {
			return nil
		}
		scope = uidset.Of(uidset.Range{First: 1, Last: below - 1})
	}
	opened, _, err := f.account.OpenKey(ctx, box.Key, account.ReadOnly)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	plan, err := search.Compile(f.query.Key, box.Key, scope)
	if err != nil {
		return err
	}
	room := f.limit - len(f.results)
	var uids []uint32
	for found, err := range opened.Search(ctx, search.Request{Plan: plan, Reverse: true, Limit: room + 1}) {
		if err != nil {
			return err
		}
		if len(uids) == room { // there is one more
			f.next = place{box.Key.Number(), found.UID + 1}.String()
			break
		}
		uids = append(uids, found.UID)
	}
	return f.describe(ctx, opened, box.Path, uids)
}

// describe adds the messages with these UIDs, which descend.
func (f *finding) describe(ctx context.Context, box *account.Mailbox, path string, uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	ascending := slices.Clone(uids)
	slices.Sort(ascending)
	const fields = mailstore.FieldFlags | mailstore.FieldInternalDate | mailstore.FieldSize | mailstore.FieldContent |
		mailstore.FieldSearch | mailstore.FieldNumber | mailstore.FieldThread | mailstore.FieldPreview
	var messages []*mailstore.Message
	var ids []contents.ID
	for m, err := range box.Messages(ctx, mailstore.Query{UIDs: uidset.FromAscending(ascending)}, fields) {
		if err != nil {
			return err
		}
		messages, ids = append(messages, m), append(ids, m.Content)
	}
	want := contents.Want{RootHeader: true, Parts: len(f.query.Needles) > 0}
	loaded, err := box.Contents().Load(ctx, ids, want)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(messages) {
		found := foundMessage{
			Mailbox: path, UID: m.UID, ID: m.EmailID(), Thread: m.ThreadID(), Date: m.InternalDate, Size: m.Size,
			Flags: append(append([]string{}, m.Flags.Names()...), m.Keywords...), HasAttachments: m.HasAttachments,
		}
		if content := loaded[m.Content]; content != nil { // else it is damaged; the log has it
			if err := f.show(ctx, &found, m, content); err != nil {
				return fmt.Errorf("read message %d: %w", m.UID, err)
			}
		}
		f.results = append(f.results, found)
	}
	return nil
}

// show adds what a reader sees of a message.
func (f *finding) show(
	ctx context.Context, found *foundMessage, m *mailstore.Message, content *contents.Content,
) error {
	header, err := search.HeaderText(ctx, content, "From", "Subject")
	if err != nil {
		return err
	}
	found.From = header[0]
	found.Subject, _ = snippet.Of(header[1], f.query.Needles, len(header[1]))
	var ok bool
	if found.Snippet, ok = snippet.Of(m.Preview, f.query.Needles, snippetLength); ok || len(f.query.Needles) == 0 {
		return nil
	}
	text, err := search.PlainText(ctx, content, maxSnippetText)
	if err != nil {
		return err
	}
	// Without a hit it was in a header field, or far behind: the preview stays.
	if piece, ok := snippet.Of(text, f.query.Needles, snippetLength); ok {
		found.Snippet = piece
	}
	return nil
}
