package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

const (
	// batchMessages and batchBytes are how many messages one Import takes (one is always taken).
	batchMessages = 200
	batchBytes    = 64 << 20
)

// UserOptions of User. From, Username and To are required.
type UserOptions struct {
	From     *mailstore.Store // the store of the backup; it is only read
	Username string           // in the backup
	To       *account.Account // where the mail goes
	// Mailbox restricts to the mailbox with this path in the backup.
	Mailbox string
	// As is the path that Mailbox gets in the server or, without Mailbox, the path under which all
	// mailboxes come. Without As, mailboxes keep their paths.
	As string
	// Progress, if not nil, is told now and then what is done.
	Progress func(UserCount)
	Logger   *slog.Logger // slog.Default if nil
}

// UserCount is what User has done.
type UserCount struct {
	Mailboxes int64
	Restored  int64 // messages put into the server
	Bytes     int64 // of those
	Present   int64 // messages that are in the mailbox of the server already
	// Annotations is how many annotations were put into the server.
	Annotations int64
	// Damaged is how many messages could not be read from the backup. Each is logged.
	Damaged int64
}

// User puts the messages that a user had in the backup into the user's mailboxes in the server.
// Flags, keywords and internal dates are those of the backup; UIDs are new. Mailboxes that are
// missing are created. Annotations (RFC 5464) that the server does not have come back; those that it
// has stay. A message that is in the mailbox already, with the same bytes and internal
// date, is passed over. Errors: mailstore.ErrNoSuchUser and mailstore.ErrNoSuchMailbox if the
// backup has them not, and those of account.Account and account.Import. What was done before an
// error stays; called again, User goes on.
func User(ctx context.Context, o UserOptions) (UserCount, error) {
	r := userRestore{UserOptions: o}
	if r.Logger == nil {
		r.Logger = slog.Default()
	}
	user, err := r.From.UserByName(ctx, r.Username)
	if err != nil {
		return r.count, fmt.Errorf("in the backup: %w: %s", err, r.Username)
	}
	boxes, err := r.From.Mailboxes(ctx, user.ID)
	if err != nil {
		return r.count, err
	}
	if r.Mailbox != "" {
		box, err := r.From.MailboxByPath(ctx, user.ID, r.Mailbox)
		if err != nil {
			return r.count, fmt.Errorf("in the backup: %w: %s", err, r.Mailbox)
		}
		boxes = []*mailstore.Mailbox{box}
	}
	for _, box := range boxes {
		if err := r.mailbox(ctx, box); err != nil {
			return r.count, fmt.Errorf("mailbox %s: %w", box.Path, err)
		}
		r.count.Mailboxes++
		r.tell()
	}
	if r.Mailbox == "" && r.As == "" {
		return r.count, r.annotations(ctx, user.ID.Mailbox(0), "")
	}
	return r.count, nil
}

// userRestore is one call of User.
type userRestore struct {
	UserOptions
	count UserCount
}

func (r *userRestore) tell() {
	if r.Progress != nil {
		r.Progress(r.count)
	}
}

// target is the path that a mailbox of the backup has in the server.
func (r *userRestore) target(path string) string {
	switch {
	case r.As == "":
		return path
	case r.Mailbox != "":
		return r.As
	}
	return r.As + mailstore.Separator + path
}

// mailbox restores the messages of a mailbox.
func (r *userRestore) mailbox(ctx context.Context, from *mailstore.Mailbox) error {
	to, err := r.open(ctx, from)
	if err != nil {
		return err
	}
	if err := r.annotations(ctx, from.Key, r.target(from.Path)); err != nil {
		return err
	}
	present, err := messagesOf(ctx, to)
	if err != nil {
		return err
	}
	const fields = mailstore.FieldFlags | mailstore.FieldDates | mailstore.FieldSize | mailstore.FieldContent
	var batch []*mailstore.Message
	size := int64(0)
	for msg, err := range r.From.Messages(ctx, from.Key, mailstore.Query{}, fields) {
		if err != nil {
			return err
		}
		if id := identify(msg); present[id] > 0 {
			present[id]--
			r.count.Present++
			continue
		}
		if len(batch) == batchMessages || len(batch) > 0 && size+msg.Size > batchBytes {
			if err := r.put(ctx, to, batch); err != nil {
				return err
			}
			batch, size = batch[:0], 0
		}
		batch = append(batch, msg)
		size += msg.Size
	}
	if len(batch) == 0 {
		return nil
	}
	return r.put(ctx, to, batch)
}

// annotations restores the user's annotations of a mailbox, or with an empty path those on the server.
// Those of other users stay away: in the server, they may not be whom the mailbox is shared with.
func (r *userRestore) annotations(ctx context.Context, from mailkey.Mailbox, path string) error {
	entries, err := r.From.MailboxMetadata(ctx, from, from.User(), nil)
	if err != nil || len(entries) == 0 {
		return err
	}
	present, err := r.To.Metadata(ctx, path, nil)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(entries, func(e mailstore.MetadataEntry) bool {
		return slices.ContainsFunc(present, func(p mailstore.MetadataEntry) bool { return p.Name == e.Name })
	})
	if len(missing) == 0 {
		return nil
	}
	_, _, err = r.To.SetMetadata(ctx, path, missing)
	if errors.Is(err, mailstore.ErrTooManyEntries) { // with those that the server has
		r.Logger.Error("annotations are not restored", "mailbox", path, "annotations", len(missing), "error", err)
		return nil
	}
	if err == nil {
		r.count.Annotations += int64(len(missing))
	}
	return err
}

// open opens the mailbox of the server, and creates it where it is missing, with the special use
// that it had unless another mailbox has that now.
func (r *userRestore) open(ctx context.Context, from *mailstore.Mailbox) (*account.Mailbox, error) {
	path := r.target(from.Path)
	opened, _, err := r.To.Open(ctx, path, account.ReadWrite)
	if !errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return opened, err
	}
	_, err = r.To.Create(ctx, path, mailstore.CreateOptions{SpecialUse: from.SpecialUse})
	if errors.Is(err, mailstore.ErrSpecialUse) {
		_, err = r.To.Create(ctx, path, mailstore.CreateOptions{})
	}
	if err == nil && from.Subscribed {
		err = r.To.Subscribe(ctx, path, true)
	}
	if err != nil {
		return nil, err
	}
	opened, _, err = r.To.Open(ctx, path, account.ReadWrite)
	return opened, err
}

// identity tells messages of a mailbox apart: a hash of content, trace lines and internal date.
type identity [16]byte

func identify(m *mailstore.Message) (id identity) {
	h := blake3.New()
	// None of these fails.
	_, _ = h.Write(m.Content[:])
	_, _ = h.Write(m.InternalDate.AppendFormat(nil, time.RFC3339))
	_, _ = h.Write(m.Prefix)
	copy(id[:], h.Sum(nil))
	return id
}

// messagesOf counts the messages of a mailbox by identity. It holds some 40 octets for each.
func messagesOf(ctx context.Context, box *account.Mailbox) (map[identity]int, error) {
	present := make(map[identity]int)
	for msg, err := range box.Messages(ctx, mailstore.Query{}, mailstore.FieldDates|mailstore.FieldContent) {
		if err != nil {
			return nil, err
		}
		present[identify(msg)]++
	}
	return present, nil
}

// put puts messages into a mailbox of the server, by one transaction.
func (r *userRestore) put(ctx context.Context, to *account.Mailbox, batch []*mailstore.Message) error {
	items, err := to.Import()
	if err != nil {
		return err
	}
	defer items.Discard(ctx)
	var bytes int64
	for _, msg := range batch {
		content, err := r.load(ctx, msg)
		if err == nil && content != nil {
			err = add(ctx, items, msg, content)
		}
		var unreadable *readError
		switch {
		case errors.As(err, &unreadable) && ctx.Err() == nil:
			r.damaged(msg, unreadable.err)
		case err != nil:
			return err
		case content == nil:
			r.damaged(msg, contents.ErrNotFound)
		default:
			bytes += msg.Size
		}
	}
	done, err := items.Commit(ctx)
	if err != nil {
		return err
	}
	r.count.Restored += int64(len(done.UIDs))
	r.count.Bytes += bytes
	r.tell()
	return nil
}

func (r *userRestore) damaged(msg *mailstore.Message, err error) {
	r.count.Damaged++
	r.Logger.Error("a message of the backup cannot be read",
		"uid", msg.UID, "content", msg.Content.String(), "error", err)
}

// load returns the content of a message, or nil if the backup does not have it.
func (r *userRestore) load(ctx context.Context, msg *mailstore.Message) (*contents.Content, error) {
	loaded, err := r.From.Contents().Load(ctx, []contents.ID{msg.Content}, contents.Want{})
	if err != nil {
		return nil, &readError{err}
	}
	return loaded[msg.Content], nil
}

// readError is trouble with the backup, as against trouble with the server.
type readError struct{ err error }

func (e *readError) Error() string { return fmt.Sprintf("read from the backup: %v", e.err) }
func (e *readError) Unwrap() error { return e.err }

// add streams one message from the backup into the import.
func add(ctx context.Context, items *account.Import, msg *mailstore.Message, content *contents.Content) error {
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := content.WriteRange(ctx, w, 0, content.Size); err != nil {
			w.CloseWithError(&readError{err})
			return
		}
		w.Close()
	}()
	prefix := msg.Prefix
	if prefix == nil {
		prefix = []byte{} // there are none; what looks like them belongs to the content
	}
	err := items.Add(ctx, account.Entry{
		Flags: msg.Flags, Keywords: msg.Keywords, Date: msg.InternalDate, Prefix: prefix,
		Restored: true}, r)
	r.Close() // ends the goroutine if Add has failed
	<-written
	return err
}
