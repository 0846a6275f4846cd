package contents

import (
	"bytes"
	"context"
	"errors"

	"gadwall/dedupe"
	"gadwall/internal/shortheader"
)

// ShortHeaderStats counts what Options.ShortHeaders was used for.
func (s *Store) ShortHeaderStats() shortheader.Stats { return s.short.Stats() }

// ShortHeaders returns the short headers of contents (package shortheader), from memory or by one
// query for those that are not there. One is nil if it cannot be had so: the content does not
// exist or is damaged, which Load tells, or the header is too large. The caller must not change
// them.
func (s *Store) ShortHeaders(ctx context.Context, ids []ID) ([][]byte, error) {
	headers := make([][]byte, len(ids))
	hashes := make([]dedupe.Hash, len(ids))
	for i, id := range ids {
		hashes[i] = dedupe.Hash(id)
	}
	found := s.short.Get(hashes, headers)
	if found == len(ids) {
		return headers, nil
	}
	missing := make([]ID, 0, len(ids)-found)
	for i, id := range ids {
		if headers[i] == nil {
			missing = append(missing, id)
		}
	}
	loaded, err := s.Load(ctx, missing, Want{RootHeader: true})
	if errors.Is(err, ErrCorrupt) {
		return headers, nil
	}
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	made := make(map[ID][]byte, len(missing))
	for i, id := range ids {
		c := loaded[id]
		if headers[i] != nil || c == nil || c.HeaderSize() > FrameSize {
			continue
		}
		if made[id] == nil {
			buf.Reset()
			if err := c.shorten(ctx, &buf); err != nil {
				if IsUnreadable(err) {
					continue
				}
				return nil, err
			}
			if buf.Len() > shortheader.MaxSize {
				continue
			}
			made[id] = append(make([]byte, 0, buf.Len()), buf.Bytes()...)
			s.short.Put(dedupe.Hash(id), made[id])
		}
		headers[i] = made[id]
	}
	return headers, nil
}

// keepShort keeps the short header of a content that was written just now: clients ask for new mail.
func (s *Store) keepShort(id ID, header []byte) {
	var buf bytes.Buffer
	short := shortheader.Selector(&buf)
	short.Write(header) // neither fails: a Buffer does not
	short.Close()
	s.short.Put(dedupe.Hash(id), buf.Bytes())
}

// shorten writes the short header to w.
func (c *Content) shorten(ctx context.Context, w *bytes.Buffer) error {
	short := shortheader.Selector(w)
	if err := c.WriteRange(ctx, short, 0, c.HeaderSize()); err != nil {
		return err
	}
	return short.Close()
}
