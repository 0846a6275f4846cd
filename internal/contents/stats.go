package contents

import (
	"sync/atomic"

	"gadwall/blobstore"
)

// Stats count octets that this Store has written since it was opened: what came in is what was
// stored and what was saved.
type Stats struct {
	// Received is the octets of messages as clients see them, once for each recipient.
	Received int64
	// Stored is the compressed octets of new contents and new blobs.
	Stored int64
	// Of Messages and Attachments the store had the same already, or one for several recipients.
	// Encodings are the transfer encodings that are undone. Compression may cost a little where
	// nothing can be compressed, which does not count.
	SavedMessages, SavedAttachments, SavedEncodings, SavedCompression int64
}

// Stats returns the counts.
func (s *Store) Stats() Stats {
	c := s.stats
	return Stats{Received: c.received.Load(), Stored: c.stored.Load(), SavedMessages: c.messages.Load(),
		SavedAttachments: c.attachments.Load(), SavedEncodings: c.encodings.Load(),
		SavedCompression: c.compression.Load()}
}

type stats struct {
	received, stored, messages, attachments, encodings, compression atomic.Int64
}

// saving sums up the blobs of one content.
type saving struct {
	stored int64 // octets of new ones, compressed
	shared int64 // octets of those that existed
}

func (s *saving) note(blob *blobstore.Stored) {
	s.stored += blob.Length
	if blob.Shared {
		s.shared += blob.Size
	}
}

// add counts a new content.
func (c *stats) add(w *Writer, refs int) {
	var decoded int64
	for i := range w.segments {
		decoded += w.segments[i].recipe.DecodedSize
	}
	stored := int64(w.spool.total) + w.saving.stored
	c.received.Add(w.end * int64(refs))
	c.messages.Add(w.end * int64(refs-1))
	c.encodings.Add(w.end - decoded)
	c.attachments.Add(w.saving.shared)
	c.compression.Add(max(0, decoded-w.saving.shared-stored))
	c.stored.Add(stored)
}

// addShared counts a content that existed.
func (c *stats) addShared(w *Writer, refs int) {
	c.received.Add(w.end * int64(refs))
	c.messages.Add(w.end * int64(refs))
}
