package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/reading"
	"gadwall/internal/section"
	"gadwall/mimestream"
)

// ParsedMessage is a message as a reader sees it.
type ParsedMessage struct {
	Message
	Text        string       `json:"text"`
	HTML        string       `json:"html,omitempty" doc:"Safe: without scripts, and without addresses of remote images."`
	Attachments []Attachment `json:"attachments"`
	Truncated   bool         `json:"truncated,omitempty" doc:"Something was left out because of its size."`
}

// Attachment is a part of a message that is no text to be read.
type Attachment struct {
	Part      string `json:"part" doc:"Its number, for /parts/{part}."`
	Type      string `json:"type"`
	Name      string `json:"name,omitempty"`
	Inline    bool   `json:"inline,omitempty" doc:"The HTML shows it by its contentId."`
	ContentID string `json:"contentId,omitempty"`
	Size      int64  `json:"size" doc:"In octets, without the transfer encoding."`
}

// streamRoutes are the routes of octets, which have no deadline as long as they flow.
func (s *Server) streamRoutes(all, one string) []route {
	failures := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable}
	return []route{
		{http.MethodGet, one + "/source", operators, 0, 0, s.getSource, operation{
			id: "getSource", summary: "The octets of a message.", tag: "messages", ranges: true,
			answerTypes: []string{typeMessage}, failures: failures}},
		{http.MethodGet, one + "/parts/{part}", operators, 0, 0, s.getPart, operation{
			id: "getPart", summary: "A part without its transfer encoding.", tag: "messages", ranges: true,
			answerTypes: []string{typeOctets}, failures: failures}},
		{http.MethodPost, all, operators, s.opts.MaxMessageSize, 0, s.endpoint(http.StatusCreated, s.upload), operation{
			id: "upload", summary: "Put a message into a mailbox.", tag: "messages", bodyType: typeMessage,
			status: http.StatusCreated, answer: uploaded{}, query: []parameter{
				{name: "flags", text: `Flags such as \Seen, and keywords, separated by commas.`, schema: text()},
				{name: "date", text: "Of arrival (RFC 3339); the present without it.", schema: text()}},
			failures: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusInsufficientStorage}}},
	}
}

const (
	typeMessage = "message/rfc822"
	typeOctets  = "application/octet-stream"
)

// content loads the content of a message.
func (s *Server) content(ctx context.Context, box *account.Mailbox, m *mailstore.Message, want contents.Want) (
	*contents.Content, error,
) {
	loaded, err := box.Contents().Load(ctx, []contents.ID{m.Content}, want)
	if err != nil {
		return nil, err
	}
	if content := loaded[m.Content]; content != nil {
		return content, nil
	}
	return nil, errDamaged
}

// errDamaged is the answer for a message whose content is missing or damaged; the log has it.
var errDamaged = refuse(http.StatusInternalServerError, "Damaged", "the message cannot be read; the log says more")

func (s *Server) getMessage(w http.ResponseWriter, r *http.Request) (any, error) {
	box, at, err := s.mailbox(r, account.ReadOnly)
	if err != nil {
		return nil, err
	}
	fields := allMessageFields()
	m, err := s.message(r, box, fields|mailstore.FieldContent)
	if err != nil {
		return nil, err
	}
	if notModified(w, r, messageTag(at.UIDValidity, m.UID, m.ModSeq)) {
		return notChanged, nil
	}
	ctx := r.Context()
	content, err := s.content(ctx, box, m, contents.Want{RootHeader: true, Parts: true})
	if err != nil {
		return nil, err
	}
	read, err := reading.Read(ctx, content)
	switch {
	case contents.IsUnreadable(err):
		s.log.Error("message cannot be read", "request", requestID(w), "uid", m.UID, "error", err)
		return nil, errDamaged
	case err != nil:
		return nil, err
	}
	shown := ParsedMessage{Message: shownMessage(m, fields), Text: read.Text, HTML: read.HTML,
		Attachments: make([]Attachment, len(read.Attachments)), Truncated: read.Truncated}
	for i, a := range read.Attachments {
		shown.Attachments[i] = Attachment(a)
	}
	return shown, nil
}

// getSource answers with the octets of a message, or a range of them.
func (s *Server) getSource(w http.ResponseWriter, r *http.Request) {
	box, at, err := s.mailbox(r, account.ReadOnly)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	s.writeSource(w, r, box, at)
}

// writeSource answers with the octets of the message of the mailbox that the path names.
func (s *Server) writeSource(w http.ResponseWriter, r *http.Request, box *account.Mailbox, at *mailstore.Mailbox) {
	m, err := s.message(r, box, mailstore.FieldSize|mailstore.FieldContent)
	var content *contents.Content
	if err == nil {
		content, err = s.content(r.Context(), box, m, contents.Want{})
	}
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	all := (&section.Section{}).Span(section.Message{
		Prefix: int64(len(m.Prefix)), Size: content.Size, HeaderSize: content.HeaderSize()})
	w.Header().Set("Content-Type", typeMessage)
	asked, ok := startRange(w, r, all.Size(), fmt.Sprintf(`"%d-%d"`, at.UIDValidity, m.UID))
	if !ok {
		return
	}
	cut := all.Cut(section.Partial{Set: true, Offset: asked.off, Size: asked.n})
	s.stream(w, r, func(out io.Writer) error { return cut.Write(r.Context(), out, m.Prefix, content) })
}

// getPart answers with the decoded octets of a part.
func (s *Server) getPart(w http.ResponseWriter, r *http.Request) {
	box, at, err := s.mailbox(r, account.ReadOnly)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	m, err := s.message(r, box, mailstore.FieldContent)
	var content *contents.Content
	if err == nil {
		content, err = s.content(r.Context(), box, m, contents.Want{Parts: true})
	}
	var found *mimestream.Part
	if err == nil {
		found, err = findPart(content, r.PathValue("part"))
	}
	name := ""
	if err == nil {
		name, err = reading.FileName(r.Context(), content, found)
	}
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", servedType(found))
	h.Set("Content-Disposition", disposition(name))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	tag := fmt.Sprintf(`"%d-%d-%s"`, at.UIDValidity, m.UID, reading.Number(found))
	asked, ok := startRange(w, r, found.DecodedSize, tag)
	if !ok {
		return
	}
	s.stream(w, r, func(out io.Writer) error { return content.WritePart(r.Context(), out, found, asked.off, asked.n) })
}

// servedType is the media type of a part's octets. A message says what it likes, so only forms that
// are media types are repeated.
func servedType(p *mimestream.Part) string {
	params := map[string]string{}
	if charset := p.Charset(); charset != "" && p.Type == "text" {
		params["charset"] = charset
	}
	if t := mime.FormatMediaType(p.MediaType(), params); t != "" {
		return t
	}
	return typeOctets
}

// disposition has a browser save a part under its name (RFC 6266), and show nothing of it as a page
// of this server.
func disposition(name string) string {
	params := map[string]string{}
	if name != "" {
		params["filename"] = name
	}
	return cmp.Or(mime.FormatMediaType("attachment", params), "attachment")
}

// findPart returns the part with this number.
func findPart(content *contents.Content, number string) (*mimestream.Part, error) {
	var path []int
	for text := range strings.SplitSeq(number, ".") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || len(path) > mimestream.MaxDepth {
			return nil, badField("a part has a number such as 2.1")
		}
		path = append(path, n)
	}
	if part := content.Root().Find(path); part != nil {
		return part, nil
	}
	return nil, refuse(http.StatusNotFound, "NoSuchPart", "the message has no such part")
}

// stream sends a body as long as the client takes it. A failure ends the connection, so that the
// client notices.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, write func(io.Writer) error) {
	out := &flowing{Writer: w, control: http.NewResponseController(w)}
	err := write(out)
	if err == nil {
		return
	}
	if out.failed == nil && !errors.Is(err, context.Canceled) {
		s.log.Error("message was sent in part", "request", requestID(w), "path", r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// flowing gives the client some time for each piece.
type flowing struct {
	io.Writer
	control *http.ResponseController
	failed  error
}

func (f *flowing) Write(p []byte) (int, error) {
	// An error means that the connection is closed, which Write finds out.
	_ = f.control.SetWriteDeadline(time.Now().Add(pieceTimeout))
	n, err := f.Writer.Write(p)
	f.failed = err
	return n, err
}

// uploaded says where a message is.
type uploaded struct {
	UID         uint32 `json:"uid"`
	UIDValidity uint32 `json:"uidValidity"`
	ModSeq      uint64 `json:"modseq"`
}

// upload takes the octets of the body as they are.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) (any, error) {
	var entry account.Entry
	var err error
	query := r.URL.Query() // FormValue might read the body
	if text := query.Get("flags"); text != "" {
		if entry.Flags, entry.Keywords, err = parseFlags(strings.Split(text, ",")); err != nil {
			return nil, err
		}
	}
	if text := query.Get("date"); text != "" {
		if entry.Date, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, badField("date must be one of RFC 3339, such as 2026-11-30T12:00:00Z")
		}
	}
	box, _, err := s.mailbox(r, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	if r.ContentLength > s.opts.MaxMessageSize {
		return nil, tooLarge(s.opts.MaxMessageSize)
	}
	added, err := box.Import()
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	defer added.Discard(ctx) // does nothing after Commit
	if err := added.Admit(ctx, max(r.ContentLength, 1)); err != nil {
		return nil, err
	}
	body := &arriving{Reader: r.Body, control: http.NewResponseController(w)}
	if err := added.Add(ctx, entry, body); err != nil {
		var limit *http.MaxBytesError
		switch {
		case errors.As(err, &limit):
			return nil, tooLarge(limit.Limit)
		case body.failed != nil:
			return nil, refuse(http.StatusBadRequest, "Incomplete", "the body ended before its end")
		}
		return nil, err
	}
	if body.n == 0 {
		return nil, badField("the body is empty: it must be a message")
	}
	_ = body.control.SetWriteDeadline(time.Now().Add(routeTimeout)) // a closed connection is found out later
	result, err := added.Commit(ctx)
	if err != nil {
		return nil, err
	}
	return uploaded{UID: result.UIDs[0], UIDValidity: result.UIDValidity, ModSeq: result.ModSeq}, nil
}

func tooLarge(most int64) error {
	return refuse(http.StatusRequestEntityTooLarge, "TooLarge", fmt.Sprintf("the body has more than %d octets", most))
}

// arriving gives the client some time for each piece of a body.
type arriving struct {
	io.Reader
	control *http.ResponseController
	n       int64
	failed  error // of the client
}

func (a *arriving) Read(p []byte) (int, error) {
	_ = a.control.SetReadDeadline(time.Now().Add(pieceTimeout)) // a closed connection is found out by Read
	n, err := a.Reader.Read(p)
	a.n += int64(n)
	if err != nil && err != io.EOF {
		a.failed = err
	}
	return n, err
}
