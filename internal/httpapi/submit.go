package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"gadwall/internal/mailpath"
	"gadwall/internal/submission"
)

// submitted says what became of a message that a user sends.
type submitted struct {
	MessageID   string          `json:"messageId"`
	Answer      string          `json:"answer" doc:"The smarthost's words when it took the message."`
	Recipients  []sentRecipient `json:"recipients"`
	Mailbox     string          `json:"mailbox,omitempty" doc:"The path of the mailbox that has the copy."`
	UIDValidity uint32          `json:"uidValidity,omitempty"`
	UID         uint32          `json:"uid,omitempty" doc:"That of the copy; absent if it waits for the database."`
}

// sentRecipient is the smarthost's answer for one recipient.
type sentRecipient struct {
	Address string `json:"address"`
	Code    int    `json:"code" doc:"Of SMTP: 250 if the smarthost takes the recipient."`
	Status  string `json:"status" doc:"The enhanced status code of RFC 3463."`
	Text    string `json:"text"`
}

func (s *Server) submitRoutes() []route {
	if s.opts.Submission == nil {
		return nil
	}
	return []route{
		{http.MethodPost, "/users/{id}/submit", operators, s.opts.Submission.MaxMessageSize(), 0,
			s.endpoint(http.StatusOK, s.submit), operation{
				id: "submit", summary: "Send a message, and keep a copy of it in the mailbox for sent ones.",
				tag: "messages", bodyType: typeMessage, answer: submitted{}, query: []parameter{
					{name: "from", text: "The sender of the envelope; default: that of From.", schema: text()},
					{name: "to", text: "A recipient, any number of times; default: those of To, Cc and Bcc.",
						schema: schema{"type": "array", "items": text()}}},
				failures: []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests,
					http.StatusInsufficientStorage, http.StatusServiceUnavailable}}},
	}
}

// submit sends the message of the body.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) (any, error) {
	who, err := s.account(r)
	if err != nil {
		return nil, err
	}
	if r.ContentLength > s.opts.Submission.MaxMessageSize() {
		return nil, tooLarge(s.opts.Submission.MaxMessageSize())
	}
	body := &arriving{Reader: r.Body, control: http.NewResponseController(w)}
	from, to, head, err := envelopeOf(r, body)
	if err != nil {
		return nil, incomplete(body, err)
	}
	// The end of the body is the client's part. What follows does not end when the client goes.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	envelope := submission.Envelope{
		From: from, Size: max(r.ContentLength, 0), Body8Bit: false, UTF8: !isASCII(from + strings.Join(to, "")),
		Received: func([]string) string { return received(r, s.opts.Submission.Hostname()) },
		Logger:   s.log.With("request", requestID(w)),
	}
	message, err := s.opts.Submission.Begin(ctx, who, envelope)
	if err != nil {
		return nil, notSent(err)
	}
	defer message.Abort() // does nothing after Finish
	result := submitted{Recipients: make([]sentRecipient, len(to))}
	var last error
	for i, address := range to {
		result.Recipients[i] = sentRecipient{address, 250, "2.1.5", "OK"}
		var refused *submission.Refusal
		if last = message.Rcpt(submission.Recipient{Address: address}); errors.As(last, &refused) {
			result.Recipients[i] = sentRecipient{address, refused.Code, refused.Status, refused.Text}
		}
	}
	if len(message.Recipients()) == 0 {
		return nil, notSent(last)
	}
	if err := message.Start(); err != nil {
		return nil, notSent(err)
	}
	if _, err := io.Copy(message, io.MultiReader(bytes.NewReader(head), body)); err != nil {
		message.Abandoned(err)
		return nil, incomplete(body, err)
	}
	_ = body.control.SetWriteDeadline(time.Now().Add(submitTimeout)) // a closed connection is found out later
	sent, err := message.Finish()
	if err != nil {
		return nil, notSent(err)
	}
	result.MessageID, result.Answer = sent.MessageID, sent.Text
	if sent.Copy != nil {
		result.Mailbox, result.UIDValidity, result.UID = sent.Copy.Path, sent.Copy.UIDValidity, sent.Copy.UID
	}
	return result, nil
}

// incomplete is the answer to a body that cannot be read.
func incomplete(body *arriving, err error) error {
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return tooLarge(limit.Limit)
	case body.failed != nil:
		return refuse(http.StatusBadRequest, "Incomplete", "the body ended before its end")
	}
	return err
}

// notSent is the answer for a refusal of submission.
func notSent(err error) error {
	var r *submission.Refusal
	if !errors.As(err, &r) {
		return err
	}
	text := fmt.Sprintf("%d %s %s", r.Code, r.Status, r.Text)
	switch {
	case r.Status == "5.3.4":
		return refuse(http.StatusRequestEntityTooLarge, "TooLarge", text)
	case r.Status == "4.2.2":
		return refuse(http.StatusInsufficientStorage, "OverQuota", text)
	case r.Code == 450 && r.Status == "4.7.1":
		return refuse(http.StatusTooManyRequests, "SentTooMuch", text)
	case r.Temporary():
		return refuse(http.StatusServiceUnavailable, "NotNow", text)
	}
	return refuse(http.StatusUnprocessableEntity, "Refused", text)
}

// envelopeOf returns the sender and the recipients: those of the query or, without them, of the header.
// head is what was read of the body for that.
func envelopeOf(r *http.Request, body io.Reader) (from string, to []string, head []byte, err error) {
	query := r.URL.Query()
	from, to = query.Get("from"), query["to"]
	if !query.Has("from") || len(to) == 0 {
		var header mail.Header
		if head, header, err = readHeader(body); err != nil {
			return "", nil, nil, err
		}
		if !query.Has("from") {
			list, ok := readAddresses(header, "From")
			if !ok || len(list) != 1 {
				return "", nil, nil, badField("From must have one address, unless from is given")
			}
			from = list[0]
		}
		if len(to) == 0 {
			for _, name := range []string{"To", "Cc", "Bcc"} {
				more, ok := readAddresses(header, name)
				if !ok {
					// Without those the message would go to a part of its recipients.
					return "", nil, nil, badField("the addresses in " + name + " cannot be read; give to")
				}
				to = append(to, more...)
			}
		}
	}
	to = unique(to)
	if len(to) == 0 || len(to) > maxSubmitRecipients {
		return "", nil, nil, badField(fmt.Sprintf("there must be 1 to %d recipients", maxSubmitRecipients))
	}
	for _, address := range append([]string{from}, to...) {
		if address == "" && from == "" {
			continue // the null reverse-path
		}
		if mailpath.Check(address, true) != nil {
			return "", nil, nil, badField(fmt.Sprintf("%q is no address", address))
		}
	}
	return from, to, head, nil
}

// unique takes out what was there before.
func unique(list []string) []string {
	seen := make(map[string]bool, len(list))
	var kept []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}

// readHeader reads a message until it has the header, and returns what it read.
func readHeader(body io.Reader) ([]byte, mail.Header, error) {
	var head bytes.Buffer
	for {
		if _, err := io.CopyN(&head, body, 4<<10); err != nil && err != io.EOF {
			return nil, nil, err
		} else if err == io.EOF || bytes.Contains(head.Bytes(), []byte("\r\n\r\n")) ||
			bytes.Contains(head.Bytes(), []byte("\n\n")) {
			break
		}
		if head.Len() > maxSubmitHeader {
			return nil, nil, badField("the header is too large to find recipients in it; give from and to")
		}
	}
	m, err := mail.ReadMessage(io.MultiReader(bytes.NewReader(head.Bytes()), strings.NewReader("\r\n\r\n")))
	if err != nil {
		return nil, nil, badField("the header cannot be read; give from and to")
	}
	return head.Bytes(), m.Header, nil
}

// readAddresses returns the addresses of the fields of a name. ok is false if one of them cannot be
// read. A field, and a group in it, may be empty (RFC 5322 sections 3.4 and 3.6.3).
func readAddresses(header mail.Header, name string) (found []string, ok bool) {
	for _, value := range header[name] {
		list := submission.Addresses(value)
		if list == nil && strings.TrimSpace(value) != "" {
			return nil, false
		}
		found = append(found, list...)
	}
	return found, true
}

// received is the trace line of a message that came over HTTP (RFC 5321 section 4.4).
func received(r *http.Request, host string) string {
	from := "local"
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip := at.Addr().Unmap().WithZone("")
		if from = "[" + ip.String() + "]"; ip.Is6() { // RFC 5321 section 4.1.3
			from = "[IPv6:" + ip.String() + "]"
		}
	}
	return fmt.Sprintf("Received: from %s by %s (Gadwall) with HTTP id %s;\r\n\t%s\r\n", from, host,
		rand.Text()[:12], time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
