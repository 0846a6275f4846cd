package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// Message is what the API tells of a message in a mailbox. A list has the fields that were chosen.
type Message struct {
	UID     uint32 `json:"uid"`
	Mailbox string `json:"mailbox,omitempty" doc:"The id of its mailbox; in threads."`

	ID     string `json:"id,omitempty" doc:"The EMAILID of IMAP: it stays when the message is moved."`
	Thread string `json:"thread,omitempty" doc:"The THREADID of IMAP."`

	ModSeq uint64   `json:"modseq,omitempty"`
	Flags  []string `json:"flags,omitzero" doc:"System flags such as \\Seen, and keywords."`

	Date time.Time `json:"date,omitzero" doc:"Of arrival."`
	Size int64     `json:"size,omitempty" doc:"In octets."`

	Envelope       *Envelope `json:"envelope,omitempty"`
	Preview        string    `json:"preview,omitempty"`
	HasAttachments bool      `json:"hasAttachments,omitempty"`
}

// Envelope is what the header of a message says to people.
type Envelope struct {
	Subject   string    `json:"subject"`
	Date      string    `json:"date,omitempty" doc:"As the message has it."`
	From      []Address `json:"from"`
	Sender    []Address `json:"sender,omitempty" doc:"If it differs from from."`
	ReplyTo   []Address `json:"replyTo,omitempty" doc:"If it differs from from."`
	To        []Address `json:"to"`
	Cc        []Address `json:"cc,omitempty"`
	Bcc       []Address `json:"bcc,omitempty"`
	MessageID string    `json:"messageId,omitempty"`
	InReplyTo string    `json:"inReplyTo,omitempty"`
}

// Address is a mail address in a header.
type Address struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

type messagePage struct {
	Messages []Message `json:"messages"`
	Next     string    `json:"next,omitempty" doc:"There are more: for after."`
	ModSeq   uint64    `json:"modseq" doc:"Of the mailbox."`
}

type thread struct {
	Messages  []Message `json:"messages" doc:"The oldest first."`
	Truncated bool      `json:"truncated,omitempty" doc:"There are more than are listed."`
}

// messageFields are the words for fields of messages, with what the store loads for them.
var messageFields = []struct {
	word   string
	fields mailstore.Fields
}{
	{"id", mailstore.FieldNumber | mailstore.FieldThread},
	{"flags", mailstore.FieldFlags},
	{"date", mailstore.FieldInternalDate},
	{"size", mailstore.FieldSize},
	{"envelope", mailstore.FieldEnvelope},
	{"preview", mailstore.FieldPreview},
	{"attachments", mailstore.FieldSearch},
}

func fieldWords() (words []string) {
	for _, f := range messageFields {
		words = append(words, f.word)
	}
	return words
}

// allMessageFields are those of a list whose fields nobody has chosen.
func allMessageFields() (fields mailstore.Fields) {
	for _, f := range messageFields {
		fields |= f.fields
	}
	return fields
}

// chosenFields returns the fields that a request wants.
func chosenFields(r *http.Request) (fields mailstore.Fields, err error) {
	text := r.FormValue("fields")
	if text == "" {
		return allMessageFields(), nil
	}
next:
	for word := range strings.SplitSeq(text, ",") {
		for _, f := range messageFields {
			if f.word == word {
				fields |= f.fields
				continue next
			}
		}
		return 0, badField("fields are some of " + strings.Join(fieldWords(), ", "))
	}
	return fields, nil
}

// messageRoutes are the routes of messages.
func (s *Server) messageRoutes() []route {
	bad, gone := http.StatusBadRequest, http.StatusNotFound
	const (
		all = "/users/{id}/mailboxes/{mailbox}/messages"
		one = all + "/{uid}"
	)
	list := []route{
		s.route(http.MethodGet, all, s.listMessages, operation{
			id: "listMessages", summary: "The messages of a mailbox, the newest first, page by page.",
			tag: "messages", answer: messagePage{}, tagged: true, failures: []int{bad, gone},
			query: append(paged(maxMessages, "The next of an answer: a UID."), parameter{
				name: "fields", schema: text(),
				text: "What to tell: some of " + strings.Join(fieldWords(), ", ") + ", separated by commas."})}),
		s.route(http.MethodGet, one, s.getMessage, operation{
			id: "getMessage", summary: "A message as a reader sees it, parsed.", tag: "messages",
			answer: ParsedMessage{}, tagged: true, failures: []int{bad, gone}}),
		s.route(http.MethodPatch, all, s.changeFlags, operation{
			id: "changeFlags", summary: "Change flags of messages.", tag: "messages", body: flagsOfMany{},
			answer: flagsChanged{}, failures: []int{bad, gone}}),
		s.route(http.MethodPatch, one, s.changeFlagsOfOne, operation{
			id: "changeFlagsOfOne", summary: "Change flags of a message.", tag: "messages", body: flagsOfOne{},
			answer: Message{}, guarded: true, failures: []int{bad, gone, http.StatusConflict}}),
		s.route(http.MethodPost, all+"/copy", s.copyMessages, operation{
			id: "copyMessages", summary: "Copy messages to a mailbox.", tag: "messages", body: destination{},
			answer: copied{}, failures: []int{bad, gone, http.StatusInsufficientStorage}}),
		s.route(http.MethodPost, all+"/move", s.moveMessages, operation{
			id: "moveMessages", summary: "Move messages to a mailbox.", tag: "messages", body: destination{},
			answer: copied{}, failures: []int{bad, gone}}),
		s.route(http.MethodDelete, all, s.deleteMessages, operation{
			id: "deleteMessages", summary: "Remove messages for good.", tag: "messages", answer: removed{},
			query:    []parameter{{name: "uids", text: "UIDs separated by commas.", schema: text(), required: true}},
			failures: []int{bad, gone}}),
		s.route(http.MethodDelete, one, s.deleteMessage, operation{
			id: "deleteMessage", summary: "Remove a message for good.", tag: "messages",
			status: http.StatusNoContent, guarded: true, failures: []int{bad, gone}}),
		s.route(http.MethodGet, "/users/{id}/threads/{thread}", s.getThread, operation{
			id: "getThread", summary: "The messages of a thread, in all mailboxes.", tag: "messages", answer: thread{},
			failures: []int{bad, gone}}),
	}
	return append(list, s.streamRoutes(all, one)...)
}

// shownMessage returns what is loaded of a message.
func shownMessage(m *mailstore.Message, fields mailstore.Fields) Message {
	shown := Message{UID: m.UID, ID: m.EmailID(), Thread: m.ThreadID(), ModSeq: m.ModSeq, Date: m.InternalDate,
		Size: m.Size, Preview: m.Preview, HasAttachments: m.HasAttachments}
	if fields&mailstore.FieldFlags != 0 {
		shown.Flags = flagNames(m.Flags, m.Keywords)
	}
	if fields&mailstore.FieldEnvelope != 0 {
		shown.Envelope = shownEnvelope(m.Envelope)
	}
	return shown
}

func flagNames(flags mailstore.Flags, keywords []string) []string {
	return append(append([]string{}, flags.Names()...), keywords...) // not nil: no flags are an empty list
}

// shownEnvelope returns what an ENVELOPE says; nil for one that is too large to be stored.
func shownEnvelope(wire []byte) *Envelope {
	h, ok := envelope.ReadHeader(wire)
	if !ok {
		return nil
	}
	shown := &Envelope{
		Subject: h.Subject, Date: h.Date, From: addressesOf(h.From), To: addressesOf(h.To), Cc: addressesOf(h.Cc),
		Bcc: addressesOf(h.Bcc), MessageID: h.MessageID, InReplyTo: h.InReplyTo,
	}
	if !slices.Equal(h.Sender, h.From) {
		shown.Sender = addressesOf(h.Sender)
	}
	if !slices.Equal(h.ReplyTo, h.From) {
		shown.ReplyTo = addressesOf(h.ReplyTo)
	}
	return shown
}

func addressesOf(list []envelope.Address) []Address {
	shown := make([]Address, len(list))
	for i, a := range list {
		shown[i] = Address{Name: a.Name, Address: a.Mail}
	}
	return shown
}

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := pageLimit(r, defaultMessages, maxMessages)
	if err != nil {
		return nil, err
	}
	fields, err := chosenFields(r)
	if err != nil {
		return nil, err
	}
	query := mailstore.Query{Reverse: true, Limit: limit + 1}
	if text := r.FormValue("after"); text != "" {
		uid, err := parseUID(text)
		if err != nil {
			return nil, badField(`after must be the "next" of an answer`)
		}
		query.UIDs = uidset.Of(uidset.Range{First: 1, Last: uid - 1})
	}
	box, at, err := s.mailbox(r, account.ReadOnly)
	if err != nil {
		return nil, err
	}
	// The list may be newer than the tag. Then the client asks once more than it needs to.
	if notModified(w, r, fmt.Sprintf(`W/"%d-%d"`, at.UIDValidity, at.HighestModSeq)) {
		return notChanged, nil
	}
	page := messagePage{Messages: []Message{}, ModSeq: at.HighestModSeq}
	for m, err := range box.Messages(r.Context(), query, fields) {
		if err != nil {
			return nil, err
		}
		if len(page.Messages) == limit {
			page.Next = strconv.FormatUint(uint64(page.Messages[limit-1].UID), 10)
			break
		}
		page.Messages = append(page.Messages, shownMessage(m, fields))
	}
	return page, nil
}

// parseUID reads a UID.
func parseUID(text string) (uint32, error) {
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil || uid == 0 {
		return 0, badField("a UID is a number from 1 to 4294967295")
	}
	return uint32(uid), nil
}

// message returns the message that the path names.
func (s *Server) message(r *http.Request, box *account.Mailbox, fields mailstore.Fields) (*mailstore.Message, error) {
	uid, err := parseUID(r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	for m, err := range box.Messages(r.Context(), mailstore.Query{UIDs: uidset.FromAscending([]uint32{uid})}, fields) {
		return m, err
	}
	return nil, errNoMessage
}

var errNoMessage = refuse(http.StatusNotFound, "NoSuchMessage", "no such message")

func (s *Server) getThread(_ http.ResponseWriter, r *http.Request) (any, error) {
	number, ok := mailstore.ParseThreadID(r.PathValue("thread"))
	if !ok {
		return nil, badField(`a thread has an id such as "T42"`)
	}
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	found := thread{Messages: []Message{}}
	for _, box := range boxes {
		opened, _, err := a.OpenKey(ctx, box.Key, account.ReadOnly)
		if err != nil {
			return nil, err
		}
		plan, err := search.Compile(search.Thread(number), box.Key, uidset.All())
		if err != nil {
			return nil, err
		}
		var uids []uint32
		for hit, err := range opened.Search(ctx, search.Request{Plan: plan, Limit: maxThread + 1}) {
			if err != nil {
				return nil, err
			}
			uids = append(uids, hit.UID)
		}
		if len(uids) == 0 {
			continue
		}
		fields := allMessageFields()
		for m, err := range opened.Messages(ctx, mailstore.Query{UIDs: uidset.FromAscending(uids)}, fields) {
			if err != nil {
				return nil, err
			}
			shown := shownMessage(m, fields)
			shown.Mailbox = mailboxID(box.Key)
			found.Messages = append(found.Messages, shown)
		}
	}
	if len(found.Messages) == 0 {
		return nil, refuse(http.StatusNotFound, "NoSuchThread", "no message is in such a thread")
	}
	slices.SortStableFunc(found.Messages, func(a, b Message) int { return a.Date.Compare(b.Date) })
	if len(found.Messages) > maxThread {
		found.Messages, found.Truncated = found.Messages[:maxThread], true
	}
	return found, nil
}
