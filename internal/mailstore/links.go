package mailstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/casemap"
	"gadwall/internal/envelope"
	"gadwall/internal/mailkey"
	"gadwall/mimestream"
)

// A message's links are what its header says of message identifiers, as keys of one index:
//
//	link = user id (8) | the first 8 octets of BLAKE3(kind | identifier, mapped by casemap)
//
// A link of kind linkOwn is the Message-ID, and a link of kind linkRef an identifier of In-Reply-To
// or References: the first and the last ones of References, which is where replies to the same
// message meet. A message whose Message-ID fields are not exactly one identifier has linkOdd, which
// names none. So the messages with an identifier in a Message-ID field are among those with its
// linkOwn, those with linkOdd, and those without DocLinks.
//
// A message joins the thread of a message that has one of its identifiers and, white space aside,
// the same base subject (RFC 8621 section 3). If there are several, it is the thread that began
// first. If there is none, the message begins a thread. A message stays in its thread.

// Number is that of a message within its user. It is the EMAILID and, of the thread's first
// message, the THREADID (RFC 8474).
type Number uint64

// EmailID returns the EMAILID of the message, or "" if it has no number.
func (m *Message) EmailID() string { return m.Number.objectID('M') }

// ThreadID returns the THREADID of the message, or "" if it has none.
func (m *Message) ThreadID() string { return m.Thread.objectID('T') }

// objectID is an objectid of RFC 8474 section 4.
func (n Number) objectID(kind byte) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%c%d", kind, n)
}

// ParseEmailID returns the number that an EMAILID stands for. ok is false for what is none.
func ParseEmailID(id string) (n Number, ok bool) { return parseObjectID(id, 'M') }

// ParseThreadID is ParseEmailID for a THREADID.
func ParseThreadID(id string) (n Number, ok bool) { return parseObjectID(id, 'T') }

func parseObjectID(id string, kind byte) (n Number, ok bool) {
	const digits = 19 // of the largest int64
	if len(id) < 2 || len(id) > 1+digits || id[0] != kind || id[1] == '0' {
		return 0, false
	}
	for _, c := range []byte(id[1:]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + Number(c-'0')
	}
	return n, int64(n) > 0
}

// linkKind tells what an identifier is to the message.
type linkKind byte

const (
	linkOwn linkKind = 'm'
	linkRef linkKind = 'r'
	linkOdd linkKind = 'o'
)

const (
	// linkRefs is how many of the last identifiers of References a message is found by, beside the
	// first and In-Reply-To.
	linkRefs = 2
	// askedRefs is how many of the last identifiers of References are looked up.
	askedRefs = 10
	// maxLinked is how many messages with a common identifier are compared, to find the thread.
	maxLinked = 200
)

type linkHash [8]byte

func newLinkHash(kind linkKind, id string) linkHash {
	sum := blake3.Sum256(append([]byte{byte(kind)}, casemap.String(id)...))
	return linkHash(sum[:8])
}

// of returns the link of a user.
func (h linkHash) of(user mailkey.UserID) bson.Binary {
	return bson.Binary{Data: append(user[:], h[:]...)}
}

// linkIDs are the links of a content, without the user.
type linkIDs struct {
	kept    []linkHash // DocLinks
	asked   []linkHash // links of messages in the same thread
	subject string     // the base subject without white space
}

func newLinkIDs(root *mimestream.Part, f *envelope.SearchFields) linkIDs {
	return linkIDsOf(f.MessageID, soleID(root, f.MessageID), f.InReplyTo, f.References, f.BaseSubject)
}

// linkIDsOf makes links of what the header says. sole is the result of soleID.
func linkIDsOf(messageID string, sole bool, inReplyTo string, references []string, baseSubject string) linkIDs {
	var l linkIDs
	keep := func(kind linkKind, id string) {
		if h := newLinkHash(kind, id); !slices.Contains(l.kept, h) {
			l.kept = append(l.kept, h)
		}
	}
	ask := func(id string) {
		for _, kind := range []linkKind{linkOwn, linkRef} {
			if h := newLinkHash(kind, id); !slices.Contains(l.asked, h) {
				l.asked = append(l.asked, h)
			}
		}
	}
	if messageID != "" {
		keep(linkOwn, messageID)
		ask(messageID)
	}
	if !sole {
		keep(linkOdd, "")
	}
	if inReplyTo != "" {
		keep(linkRef, inReplyTo)
		ask(inReplyTo)
	}
	for i, id := range references {
		last := len(references) - i
		if i == 0 || last <= linkRefs {
			keep(linkRef, id)
		}
		if i == 0 || last <= askedRefs {
			ask(id)
		}
	}
	l.subject = squeezed(baseSubject)
	return l
}

// soleID reports whether id is all that the message's Message-ID fields say.
func soleID(root *mimestream.Part, id string) bool {
	values := 0
	for _, v := range root.Header.Values("message-id") {
		if values++; values > 1 || strings.TrimSpace(v) != id {
			return false
		}
	}
	return root.Degraded&(mimestream.DegradedHeader|mimestream.DegradedFields) == 0
}

func squeezed(subject string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, subject)
}

// bytes is about what the links take in a document.
func (l *linkIDs) bytes() int { return len(l.kept) * 32 }

// stored is the value of DocLinks.
func (l *linkIDs) stored(user mailkey.UserID) bson.A { return linksOf(user, l.kept) }

func linksOf(user mailkey.UserID, hashes []linkHash) bson.A {
	a := make(bson.A, len(hashes))
	for i, h := range hashes {
		a[i] = h.of(user)
	}
	return a
}

// threadPlace is the number of a message and of its thread.
type threadPlace struct{ number, thread Number }

// linked is a message that a new one can join.
type linked struct {
	thread  Number
	subject string
}

// threads finds the threads of new messages of a user, within the transaction that stores them.
type threads struct {
	user  mailkey.UserID
	known map[linkHash][]linked
}

// read finds the stored messages with any of the links.
func (t *threads) read(ctx context.Context, s *Store, hashes []linkHash) error {
	t.known = make(map[linkHash][]linked)
	if len(hashes) == 0 {
		return nil
	}
	var failed error
	s.walk(ctx, linkedFilter(t.user, hashes), linkedOptions().SetLimit(maxLinked), func(doc bson.Raw, err error) bool {
		if err == nil {
			err = t.addStored(doc)
		}
		failed = err
		return err == nil
	})
	if failed != nil {
		return fmt.Errorf("find threads: %w", failed)
	}
	return nil
}

// linkedFilter finds the messages of a user with any of the links. The range of keys leads a
// sharded cluster to the shard.
func linkedFilter(user mailkey.UserID, hashes []linkHash) bson.D {
	links := bson.D{{Key: "$in", Value: linksOf(user, hashes)}}
	return append(bson.D{{Key: DocLinks, Value: links}}, userRange(user)...)
}

// linkedOptions name the index: to a server the range of keys may look as good.
func linkedOptions() *options.FindOptionsBuilder {
	return options.Find().SetHint(indexLinks).SetBatchSize(maxLinked + 1).SetProjection(bson.D{
		{Key: DocID, Value: 1}, {Key: DocThread, Value: 1}, {Key: DocLinks, Value: 1},
		{Key: DocSubject, Value: 1}, {Key: DocBaseSubject, Value: 1}})
}

// MessagesByID returns the keys of a user's messages whose Message-ID is id ("<a@b>"), copies
// included, ascending, maxLinked at most. It does not find mail of a store that has not given it
// links yet.
func (s *Store) MessagesByID(ctx context.Context, user mailkey.UserID, id string) ([]mailkey.Message, error) {
	filter := append(linkedFilter(user, []linkHash{newLinkHash(linkOwn, id)}),
		bson.E{Key: DocMessageID, Value: id})
	opts := options.Find().SetHint(indexLinks).SetProjection(projection(0)).SetLimit(maxLinked)
	var keys []mailkey.Message
	var failed error
	s.walk(ctx, filter, opts, func(doc bson.Raw, err error) bool {
		var key mailkey.Message
		if err == nil {
			key, err = messageKey(doc.Lookup(DocID))
		}
		keys, failed = append(keys, key), err
		return err == nil
	})
	if failed != nil {
		return nil, fmt.Errorf("find messages by identifier: %w", failed)
	}
	slices.SortFunc(keys, func(a, b mailkey.Message) int { return bytes.Compare(a[:], b[:]) })
	return keys, nil
}

// userRange restricts keys to those of a user's messages.
func userRange(user mailkey.UserID) bson.D {
	var first, last mailkey.Message
	copy(first[:], user[:])
	for i := copy(last[:], user[:]); i < len(last); i++ {
		last[i] = 0xff
	}
	return bson.D{{Key: DocID, Value: bson.D{
		{Key: "$gte", Value: first.Binary()}, {Key: "$lte", Value: last.Binary()}}}}
}

func (t *threads) addStored(doc bson.Raw) error {
	m, err := decodeMessage(doc)
	if err != nil || m.Thread == 0 {
		return err
	}
	values, ok := doc.Lookup(DocLinks).ArrayOK()
	if !ok {
		return fmt.Errorf("message document: field %s is no array", DocLinks)
	}
	list, err := values.Values()
	if err != nil {
		return fmt.Errorf("message document: field %s: %w", DocLinks, err)
	}
	for _, v := range list {
		if _, b, ok := v.BinaryOK(); ok && len(b) == len(t.user)+len(linkHash{}) {
			t.add(linkHash(b[len(t.user):]), linked{m.Thread, squeezed(m.BaseSubject)})
		}
	}
	return nil
}

func (t *threads) add(h linkHash, l linked) {
	if !slices.Contains(t.known[h], l) {
		t.known[h] = append(t.known[h], l)
	}
}

// place returns the thread of a new message, and notes the message for those after it.
func (t *threads) place(number Number, l *linkIDs) threadPlace {
	thread := Number(0)
	for _, h := range l.asked {
		for _, other := range t.known[h] {
			if other.subject == l.subject && (thread == 0 || other.thread < thread) {
				thread = other.thread
			}
		}
	}
	if thread == 0 {
		thread = number
	}
	for _, h := range l.kept {
		t.add(h, linked{thread, l.subject})
	}
	return threadPlace{number, thread}
}

// thread gives every message its number, in the order of the bundles, and its thread.
func (g *groupWrite) thread(ctx context.Context) error {
	var hashes []linkHash
	asked := make(map[linkHash]bool)
	for i, b := range g.bundles {
		for _, p := range b.messages {
			for _, h := range p.template.links.asked {
				if !g.over[i] && g.same[p] == nil && !asked[h] {
					asked[h] = true
					hashes = append(hashes, h)
				}
			}
		}
	}
	t := threads{user: g.user}
	if err := t.read(ctx, g.store, hashes); err != nil {
		return err
	}
	next := Number(g.numbers.After - g.numbers.By + 1)
	g.places = make([][]threadPlace, len(g.bundles))
	for i, b := range g.bundles {
		if g.over[i] {
			continue
		}
		for _, p := range b.messages {
			if g.same[p] != nil {
				g.places[i] = append(g.places[i], threadPlace{})
				continue
			}
			g.places[i] = append(g.places[i], t.place(next, &p.template.links))
			next++
		}
	}
	return nil
}
