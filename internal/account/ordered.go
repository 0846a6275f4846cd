package account

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/internal/search/order"
	"gadwall/internal/search/thread"
	"gadwall/internal/uidset"
	"gadwall/mimestream"
)

// Sort returns the UIDs of messages in the order of the criteria. uids ascends. Messages that no
// longer exist may be left out. The keys of messages come from the order that the last sort has
// left, from columns if those have them, and otherwise from the documents of the messages by one
// query.
func (m *Mailbox) Sort(
	ctx context.Context, uids []uint32, criteria []order.Criterion,
) ([]uint32, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	orders, name := m.account.shared.orders, orderOf(m.key, criteria)
	kept := orders.get(name)
	if kept == nil {
		kept = order.NewSorter(criteria).Keep()
	}
	missing := kept.Missing(uids)
	if len(missing) > 0 {
		sorter := order.NewSorter(criteria)
		for msg, err := range m.among(ctx, missing, fieldsOfOrder(criteria)) {
			if err != nil {
				return nil, fmt.Errorf("sort messages: %w", err)
			}
			o, err := m.ordered(ctx, msg, criteria)
			if err != nil {
				return nil, fmt.Errorf("sort messages: %w", err)
			}
			sorter.Add(msg.UID, &o)
		}
		kept = kept.With(sorter.Keep())
		if kept.Len() >= minOrder {
			orders.put(name, kept)
		}
	}
	return kept.Sorted(uids), nil
}

// SortKeys returns the key of each of the messages that exist (order.AppendKey).
func (m *Mailbox) SortKeys(
	ctx context.Context, uids []uint32, criteria []order.Criterion,
) (map[uint32][]byte, error) {
	keys := make(map[uint32][]byte, len(uids))
	for msg, err := range m.among(ctx, uids, fieldsOfOrder(criteria)) {
		if err != nil {
			return nil, fmt.Errorf("sort keys: %w", err)
		}
		o, err := m.ordered(ctx, msg, criteria)
		if err != nil {
			return nil, fmt.Errorf("sort keys: %w", err)
		}
		keys[msg.UID] = order.AppendKey(nil, criteria, &o)
	}
	return keys, nil
}

// Threads returns the messages in the threads that the algorithm makes of them. uids ascends.
// Messages that no longer exist are left out.
func (m *Mailbox) Threads(
	ctx context.Context, uids []uint32, algorithm thread.Algorithm,
) ([]*thread.Node, error) {
	fields := mailstore.FieldInternalDate | mailstore.FieldSent
	if algorithm != thread.Refs {
		fields |= mailstore.FieldSubject
	}
	if algorithm != thread.OrderedSubject {
		fields |= mailstore.FieldReferences
	}
	names := thread.NewNames()
	list := make([]thread.Message, 0, len(uids))
	for msg, err := range m.among(ctx, uids, fields) {
		if err != nil {
			return nil, fmt.Errorf("thread messages: %w", err)
		}
		list = append(list, threaded(msg, names))
	}
	return algorithm.Threads(list), nil
}

// denseShare: messages are read by one walk over their range if more than one in so many of its
// UIDs is wanted.
const denseShare = 4

// among iterates over the messages with these UIDs, ascending.
func (m *Mailbox) among(
	ctx context.Context, uids []uint32, fields mailstore.Fields,
) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		if len(uids) == 0 {
			return
		}
		set := uidset.FromAscending(uids)
		whole := uidset.Range{First: uids[0], Last: uids[len(uids)-1]}
		if uint64(len(uids)) >= uint64(whole.Last-whole.First)/denseShare {
			set = uidset.Of(whole)
		}
		next := 0
		for msg, err := range m.Messages(ctx, mailstore.Query{UIDs: set}, fields) {
			if err != nil {
				yield(nil, err)
				return
			}
			for next < len(uids) && uids[next] < msg.UID {
				next++
			}
			if next < len(uids) && uids[next] == msg.UID && !yield(msg, nil) {
				return
			}
		}
	}
}

// fieldsOfOrder is what the keys of messages are made of.
func fieldsOfOrder(criteria []order.Criterion) (fields mailstore.Fields) {
	for _, c := range criteria {
		switch c.By {
		case order.Arrival:
			fields |= mailstore.FieldInternalDate
		case order.Date:
			fields |= mailstore.FieldSent | mailstore.FieldInternalDate
		case order.Size:
			fields |= mailstore.FieldSize
		case order.Subject:
			fields |= mailstore.FieldSubject
		default:
			fields |= mailstore.FieldEnvelope
		}
	}
	return fields
}

// ordered is what sorting asks of a message.
func (m *Mailbox) ordered(
	ctx context.Context, msg *mailstore.Message, criteria []order.Criterion,
) (order.Message, error) {
	o := order.Message{
		Arrival: msg.InternalDate, Sent: sent(msg), Size: msg.Size, Subject: msg.BaseSubject,
	}
	if fieldsOfOrder(criteria)&mailstore.FieldEnvelope == 0 {
		return o, nil
	}
	wire := msg.Envelope
	if wire == nil { // too large to be stored
		var err error
		if wire, err = m.envelope(ctx, msg.UID); err != nil {
			return o, err
		}
	}
	from, to, cc, _ := envelope.FirstAddresses(wire)
	o.From, o.FromName, o.To, o.ToName, o.Cc = from.Mailbox, from.Display, to.Mailbox, to.Display, cc.Mailbox
	return o, nil
}

// sent is the sent date of RFC 5256 section 2.2.
func sent(msg *mailstore.Message) time.Time {
	if msg.Sent.IsZero() {
		return msg.InternalDate
	}
	return msg.Sent
}

// envelope makes the ENVELOPE of a message of its content. It is nil if the content cannot be read,
// which is logged.
func (m *Mailbox) envelope(ctx context.Context, uid uint32) ([]byte, error) {
	var id contents.ID
	q := mailstore.Query{UIDs: uidset.Of(uidset.Range{First: uid, Last: uid})}
	for msg, err := range m.Messages(ctx, q, mailstore.FieldContent) {
		if err != nil {
			return nil, err
		}
		id = msg.Content
	}
	loaded, err := m.contents.Load(ctx, []contents.ID{id}, contents.Want{RootHeader: true})
	if err != nil || loaded[id] == nil {
		return nil, err
	}
	content := loaded[id]
	var out, header bytes.Buffer
	err = envelope.WriteEnvelope(&out, content.Root(), func(p *mimestream.Part) ([]byte, error) {
		header.Reset()
		err := content.WriteRange(ctx, &header, p.HeaderOffset, p.HeaderSize)
		return header.Bytes(), err
	})
	if contents.IsUnreadable(err) {
		m.account.log.Error("content of a message cannot be read", "mailbox", m.key.String(), "uid", uid,
			"content", id.String(), "error", err)
		return nil, nil
	}
	return out.Bytes(), err
}

// threaded is what threading asks of a message.
func threaded(msg *mailstore.Message, names *thread.Names) thread.Message {
	t := thread.Message{
		Number: msg.UID, Sent: sent(msg), Subject: names.Of(msg.BaseSubject),
		Reply: envelope.IsReply(msg.Subject), ID: names.Of(identifier(msg.MessageID)),
	}
	if len(msg.References) > 0 {
		t.References = make([]thread.Name, 0, len(msg.References))
	}
	for _, ref := range msg.References {
		if name := names.Of(identifier(ref)); name != 0 {
			t.References = append(t.References, name)
		}
	}
	if len(t.References) == 0 {
		if name := names.Of(identifier(msg.InReplyTo)); name != 0 {
			t.References = []thread.Name{name}
		}
	}
	return t
}

// identifier is a message identifier without its quoting (RFC 5256 section 3), empty if it is not
// valid.
func identifier(id string) string {
	if strings.ContainsRune(id, '"') {
		id = unquote(id)
	}
	if !strings.Contains(id, "@") {
		return ""
	}
	return id
}

// unquote takes quotes and backslashes out of an identifier's left side.
func unquote(id string) string {
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		return id
	}
	var b strings.Builder
	for i := 0; i < at; i++ {
		if id[i] == '\\' && i+1 < at {
			i++
		} else if id[i] == '"' {
			continue
		}
		b.WriteByte(id[i])
	}
	return b.String() + id[at:]
}
