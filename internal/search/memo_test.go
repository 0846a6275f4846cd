package search

import (
	"context"
	"slices"
	"testing"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// countedContents counts the contents that are loaded.
type countedContents struct {
	Contents
	loaded int
}

func (c *countedContents) Load(
	ctx context.Context, ids []contents.ID, want contents.Want,
) (map[contents.ID]*contents.Content, error) {
	slices.SortFunc(ids, func(a, b contents.ID) int { return slices.Compare(a[:], b[:]) })
	c.loaded += len(slices.Compact(slices.Clone(ids)))
	return c.Contents.Load(ctx, ids, want)
}

// TestSameBytesAreComparedOnce: of messages of the same bytes the texts are read once in a search,
// however far they lie apart.
func TestSameBytesAreComparedOnce(t *testing.T) {
	store, ids := newContents(t, plainMail(1, "apple"), plainMail(2, "pear"))
	const copies = 3 * batchMessages
	box := mailkey.UserID{1}.Mailbox(1)
	var mails []contents.ID
	var want []uint32
	for i := range copies {
		mails = append(mails, ids...)
		want = append(want, uint32(2*i+1))
	}
	s := NewSearcher(mailboxes{box: mails}, nil, nil)
	counted := &countedContents{Contents: store}
	key := All(Text("apple"), Any(Header("subject", "1"), Header("x-none", "")))
	var found []uint32
	for f, err := range s.Run(t.Context(), Request{Plan: mustCompile(t, key, box), Contents: counted}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, f.UID)
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %d messages, want %d", len(found), len(want))
	}
	if counted.loaded != len(ids) {
		t.Errorf("%d contents were loaded, want %d", counted.loaded, len(ids))
	}
}

// TestMemoKnowsBytes: what another message told counts only for the same bytes, prefix
// included.
func TestMemoKnowsBytes(t *testing.T) {
	m := newMatcher(All(Text("a"), Header("from", "b")))
	msg := &mailstore.Message{Content: contents.ID{1}, Prefix: []byte("x")}
	var o memo
	m.begin(msg)
	for i := range m.known {
		m.known[i] = yes
	}
	o.note(m, msg)
	for _, tt := range []struct {
		msg  *mailstore.Message
		want truth
	}{
		{msg, yes},
		{&mailstore.Message{Content: contents.ID{1}, Prefix: []byte("y")}, maybe},
		{&mailstore.Message{Content: contents.ID{2}, Prefix: []byte("x")}, maybe},
	} {
		m.begin(tt.msg)
		o.apply(m, tt.msg)
		for i, leaf := range m.leaves {
			if m.known[i] != tt.want {
				t.Errorf("%v of %v: %v, want %v", leaf, tt.msg.Content, m.known[i], tt.want)
			}
		}
	}
}
