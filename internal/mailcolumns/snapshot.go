package mailcolumns

import (
	"math"
	"slices"
	"sort"
	"time"

	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// chunkRows is how many rows a chunk has at most.
const chunkRows = 1024

// chunk is rows in ascending order of their UIDs. It never changes once it is in a snapshot.
type chunk struct {
	uids     []uint32
	modseqs  []uint64
	flags    []uint8
	keywords []uint16 // indexes of snapshot.keywords
	sizes    []uint32
	dates    []uint32 // seconds since 1970
	numbers  []uint32
	// rare has the size, date and number of rows for which the columns above are too small.
	rare map[uint32]rareRow

	newest uint64 // the greatest of modseqs
}

type rareRow struct {
	size, date int64
	number     mailstore.Number
}

// Flags fit into the column.
var _ = [1]struct{}{}[mailstore.AllFlags>>8]

// row is one message.
type row struct {
	mailstore.FlagState
}

// at returns a row.
func (c *chunk) at(i int, keywords [][]string) row {
	size, date, number := int64(c.sizes[i]), int64(c.dates[i]), mailstore.Number(c.numbers[i])
	if r, ok := c.rare[c.uids[i]]; ok {
		size, date, number = r.size, r.date, r.number
	}
	return row{mailstore.FlagState{
		UID: c.uids[i], ModSeq: c.modseqs[i], Flags: mailstore.Flags(c.flags[i]),
		Keywords: keywords[c.keywords[i]], Size: size, InternalDate: time.Unix(date, 0).UTC(),
		Number: number,
	}}
}

// add appends a row, which comes after all others.
func (c *chunk) add(r row, keywords uint16) {
	size, date := r.Size, r.InternalDate.Unix()
	number := uint32(r.Number)
	if size != int64(uint32(size)) || date != int64(uint32(date)) || r.Number != mailstore.Number(number) {
		if c.rare == nil {
			c.rare = make(map[uint32]rareRow)
		}
		c.rare[r.UID] = rareRow{size, date, r.Number}
	}
	c.uids = append(c.uids, r.UID)
	c.modseqs = append(c.modseqs, r.ModSeq)
	c.flags = append(c.flags, uint8(r.Flags))
	c.keywords = append(c.keywords, keywords)
	c.sizes = append(c.sizes, uint32(size))
	c.dates = append(c.dates, uint32(date))
	c.numbers = append(c.numbers, number)
	c.newest = max(c.newest, r.ModSeq)
}

// newChunk returns a chunk with room for n rows.
func newChunk(n int) *chunk {
	return &chunk{
		uids: make([]uint32, 0, n), modseqs: make([]uint64, 0, n), flags: make([]uint8, 0, n),
		keywords: make([]uint16, 0, n), sizes: make([]uint32, 0, n), dates: make([]uint32, 0, n),
		numbers: make([]uint32, 0, n),
	}
}

// vanished is UIDs that were removed by transactions after the mod-sequence from, up to to.
type vanished struct {
	from, to uint64
	uids     []uint32 // ascending
}

// snapshot is the columns of a mailbox at one mod-sequence.
type snapshot struct {
	modseq   uint64
	box      *mailstore.Mailbox // the document at that mod-sequence
	chunks   []*chunk           // none is empty
	keywords [][]string
	rows     int
	// removed is what vanished lately, without a gap, oldest first.
	removed []vanished
}

// Bounds of a snapshot.
const (
	// maxKeywordSets is how many different sets of keywords the messages of a mailbox may have.
	maxKeywordSets = math.MaxUint16
	// maxRemoved bounds the UIDs that are remembered as removed.
	maxRemoved = 4096
)

// bytes estimates the memory of the snapshot.
func (s *snapshot) bytes() int64 {
	const perChunk, perSet = 256, 64
	n := int64(s.rows)*rowBytes + int64(len(s.chunks))*perChunk + int64(len(s.keywords))*perSet
	for _, v := range s.removed {
		n += int64(len(v.uids)) * 4
	}
	return n
}

// find returns the chunk in which a UID is or would be, and the index there.
func (s *snapshot) find(uid uint32) (c, i int, ok bool) {
	c = sort.Search(len(s.chunks), func(c int) bool {
		uids := s.chunks[c].uids
		return uids[len(uids)-1] >= uid
	})
	if c == len(s.chunks) {
		return c, 0, false
	}
	i, ok = slices.BinarySearch(s.chunks[c].uids, uid)
	return c, i, ok
}

// walk calls yield for the rows of a set, all if it is nil, ascending, until it returns false.
func (s *snapshot) walk(set uidset.Set, since uint64, yield func(row) bool) {
	if set == nil {
		set = uidset.All()
	}
	for _, r := range set {
		c, i, _ := s.find(r.First)
		for ; c < len(s.chunks); c, i = c+1, 0 {
			ch := s.chunks[c]
			if ch.uids[0] > r.Last {
				break
			}
			if ch.newest <= since {
				continue
			}
			for ; i < len(ch.uids) && ch.uids[i] <= r.Last; i++ {
				if ch.modseqs[i] > since && !yield(ch.at(i, s.keywords)) {
					return
				}
			}
		}
	}
}

// numbers calls f with the UIDs of a set, all if it is nil, ascending, and the numbers of their
// messages.
func (s *snapshot) numbers(set uidset.Set, f func(uid uint32, number mailstore.Number)) {
	if set == nil {
		set = uidset.All()
	}
	for _, r := range set {
		c, i, _ := s.find(r.First)
		for ; c < len(s.chunks); c, i = c+1, 0 {
			ch := s.chunks[c]
			if ch.uids[0] > r.Last {
				break
			}
			for ; i < len(ch.uids) && ch.uids[i] <= r.Last; i++ {
				number := mailstore.Number(ch.numbers[i])
				if ch.rare != nil {
					if rare, ok := ch.rare[ch.uids[i]]; ok {
						number = rare.number
					}
				}
				f(ch.uids[i], number)
			}
		}
	}
}

// uidsBelow returns the UIDs below next, ascending.
func (s *snapshot) uidsBelow(next uint32) []uint32 {
	uids := make([]uint32, 0, s.rows)
	for _, c := range s.chunks {
		end := len(c.uids)
		if c.uids[end-1] >= next {
			end, _ = slices.BinarySearch(c.uids, next)
		}
		uids = append(uids, c.uids[:end]...)
		if end < len(c.uids) {
			break
		}
	}
	return uids
}

// firstUnseen returns the least UID of a message without \Seen, 0 if there is none.
func (s *snapshot) firstUnseen() uint32 {
	for _, c := range s.chunks {
		for i, f := range c.flags {
			if f&uint8(mailstore.Seen) == 0 {
				return c.uids[i]
			}
		}
	}
	return 0
}

// vanishedSince returns the UIDs that were removed after a mod-sequence; ok is false if that is not
// remembered.
func (s *snapshot) vanishedSince(since uint64) (uids []uint32, ok bool) {
	if since >= s.modseq {
		return nil, true
	}
	if len(s.removed) == 0 || s.removed[0].from > since {
		return nil, false
	}
	for _, v := range s.removed {
		if v.to > since { // some may have gone before: they are named all the same
			uids = append(uids, v.uids...)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), true
}

// A builder makes the next snapshot.
type builder struct {
	s     *snapshot
	index map[string]uint16 // of sets of keywords
	full  bool              // more sets of keywords than the columns can hold
}

// newBuilder begins with the rows of an older snapshot, which stays as it is.
func newBuilder(old *snapshot) *builder {
	b := &builder{s: &snapshot{keywords: [][]string{nil}}, index: map[string]uint16{"": 0}}
	if old == nil {
		return b
	}
	b.s = &snapshot{
		modseq: old.modseq, rows: old.rows, chunks: slices.Clone(old.chunks),
		keywords: slices.Clip(old.keywords), removed: slices.Clip(old.removed),
	}
	for i, set := range old.keywords {
		b.index[keywordKey(set)] = uint16(i)
	}
	return b
}

// keywordKey names a set of keywords in the order in which the message has them.
func keywordKey(set []string) string {
	n := 0
	for _, k := range set {
		n += len(k) + 1
	}
	key := make([]byte, 0, n)
	for _, k := range set {
		key = append(append(key, k...), ' ') // a keyword is an atom
	}
	return string(key)
}

func (b *builder) keywords(set []string) uint16 {
	key := keywordKey(set)
	i, ok := b.index[key]
	if !ok {
		if len(b.s.keywords) >= maxKeywordSets {
			b.full = true
			return 0
		}
		i = uint16(len(b.s.keywords))
		b.s.keywords = append(b.s.keywords, set)
		b.index[key] = i
	}
	return i
}

// add appends a row whose UID is above all others.
func (b *builder) add(r row) {
	last := len(b.s.chunks) - 1
	if last < 0 || len(b.s.chunks[last].uids) >= chunkRows {
		b.s.chunks = append(b.s.chunks, newChunk(1))
		last++
	}
	b.s.chunks[last].add(r, b.keywords(r.Keywords))
	b.s.rows++
}

// change makes the rows of changed (ascending) what they are now, those that are new included, and
// takes away those of gone (ascending). Every chunk that it touches is made anew once.
func (b *builder) change(changed []row, gone []uint32) {
	var chunks []*chunk
	rows := 0
	keep := func(c *chunk, made bool) {
		if len(c.uids) == 0 {
			return
		}
		rows += len(c.uids)
		if n := len(chunks); made && n > 0 && len(chunks[n-1].uids)+len(c.uids) <= chunkRows/2 {
			// What expunges leave of neighbours becomes one.
			c = b.join(chunks[n-1], c)
			chunks = chunks[:n-1]
		}
		chunks = append(chunks, c)
	}
	for n, c := range b.s.chunks {
		limit := c.uids[len(c.uids)-1]
		if n == len(b.s.chunks)-1 {
			limit = math.MaxUint32 // new messages come last
		}
		var ours []row
		i, _ := slices.BinarySearchFunc(changed, limit, func(r row, uid uint32) int { return compareUID(r.UID, uid) })
		if i < len(changed) && changed[i].UID == limit {
			i++
		}
		ours, changed = changed[:i], changed[i:]
		j, _ := slices.BinarySearch(gone, limit)
		if j < len(gone) && gone[j] == limit {
			j++
		}
		theirs := gone[:j]
		gone = gone[j:]
		if len(ours) == 0 && len(theirs) == 0 {
			keep(c, false)
			continue
		}
		for _, made := range b.remake(c, ours, theirs) {
			keep(made, true)
		}
	}
	if len(b.s.chunks) == 0 {
		for _, made := range b.remake(newChunk(0), changed, gone) {
			keep(made, true)
		}
	}
	b.s.chunks, b.s.rows = chunks, rows
}

func compareUID(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// join returns a chunk with the rows of both.
func (b *builder) join(first, second *chunk) *chunk {
	joined := newChunk(len(first.uids) + len(second.uids))
	for _, c := range []*chunk{first, second} {
		for i := range c.uids {
			joined.add(c.at(i, b.s.keywords), c.keywords[i])
		}
	}
	return joined
}

// remake merges a chunk with changed rows and leaves out those that are gone. The result has as
// many chunks as it needs.
func (b *builder) remake(c *chunk, changed []row, gone []uint32) []*chunk {
	var made []*chunk
	add := func(r row, keywords uint16) {
		for len(gone) > 0 && gone[0] < r.UID {
			gone = gone[1:]
		}
		if len(gone) > 0 && gone[0] == r.UID {
			return
		}
		if n := len(made); n == 0 || len(made[n-1].uids) >= chunkRows {
			made = append(made, newChunk(min(len(c.uids)+len(changed), chunkRows)))
		}
		made[len(made)-1].add(r, keywords)
	}
	for i, uid := range c.uids {
		for len(changed) > 0 && changed[0].UID < uid {
			add(changed[0], b.keywords(changed[0].Keywords))
			changed = changed[1:]
		}
		if len(changed) > 0 && changed[0].UID == uid {
			add(changed[0], b.keywords(changed[0].Keywords))
			changed = changed[1:]
			continue
		}
		add(c.at(i, b.s.keywords), c.keywords[i])
	}
	for _, r := range changed {
		add(r, b.keywords(r.Keywords))
	}
	return made
}

// remember notes what was removed after the snapshot's mod-sequence up to to, which becomes its
// mod-sequence.
func (b *builder) remember(uids []uint32, to uint64) {
	b.s.removed = append(b.s.removed, vanished{b.s.modseq, to, uids})
	b.s.modseq = to
	total := 0
	for _, v := range b.s.removed {
		total += len(v.uids)
	}
	for total > maxRemoved || len(b.s.removed) > maxRemovals {
		total -= len(b.s.removed[0].uids)
		b.s.removed = b.s.removed[1:]
	}
}

// maxRemovals bounds the changes after which removals are remembered.
const maxRemovals = 256
