package order

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Kept is messages in the order of some criteria, kept for later sorts by the same ones: what a
// message is sorted by never changes. It never changes itself, and is safe for concurrent use.
type Kept struct {
	numbers []uint32 // of the messages, ascending
	sorted  []entry
	keys    []byte
}

// Keep returns the messages of the Sorter, which is not used any more.
func (s *Sorter) Keep() *Kept {
	sorted := s.Numbers()
	slices.Sort(sorted)
	return &Kept{numbers: sorted, sorted: s.entries, keys: s.keys}
}

// Len is how many messages there are.
func (k *Kept) Len() int { return len(k.numbers) }

// Bytes is about the memory that it takes.
func (k *Kept) Bytes() int64 {
	const number, entry = 4, 24
	return int64(cap(k.keys) + cap(k.numbers)*number + cap(k.sorted)*entry)
}

// Missing returns those of the numbers (ascending) that are not among the messages.
func (k *Kept) Missing(numbers []uint32) (missing []uint32) {
	i := 0
	for _, n := range numbers {
		for i < len(k.numbers) && k.numbers[i] < n {
			i++
		}
		if i == len(k.numbers) || k.numbers[i] != n {
			missing = append(missing, n)
		}
	}
	return missing
}

// With returns the messages of both. None is in both.
func (k *Kept) With(more *Kept) *Kept {
	all := &Kept{
		numbers: slices.Concat(k.numbers, more.numbers), keys: slices.Concat(k.keys, more.keys),
		sorted: make([]entry, 0, len(k.sorted)+len(more.sorted)),
	}
	slices.Sort(all.numbers)
	a, b := k.sorted, more.sorted
	for len(b) > 0 {
		e := b[0]
		e.at += len(k.keys)
		n, _ := slices.BinarySearchFunc(a, e, all.compare)
		all.sorted = append(append(all.sorted, a[:n]...), e)
		a, b = a[n:], b[1:]
	}
	all.sorted = append(all.sorted, a...)
	return all
}

// Sorted returns those of the numbers (ascending) that are among the messages, in order.
func (k *Kept) Sorted(numbers []uint32) []uint32 {
	out := make([]uint32, 0, len(numbers))
	if slices.Equal(numbers, k.numbers) {
		for _, e := range k.sorted {
			out = append(out, e.number)
		}
		return out
	}
	if len(numbers) == 0 {
		return out
	}
	first := numbers[0]
	wanted := make([]uint64, (numbers[len(numbers)-1]-first)/64+1)
	for _, n := range numbers {
		wanted[(n-first)/64] |= 1 << ((n - first) % 64)
	}
	for _, e := range k.sorted {
		if i := e.number - first; e.number >= first && i/64 < uint32(len(wanted)) && wanted[i/64]>>(i%64)&1 != 0 {
			out = append(out, e.number)
		}
	}
	return out
}

// compare compares messages by their keys and numbers.
func (k *Kept) compare(a, b entry) int { return compareEntries(k.keys, a, b) }

func compareEntries(keys []byte, a, b entry) int {
	if c := cmp.Compare(a.head, b.head); c != 0 {
		return c
	}
	if c := bytes.Compare(a.key(keys), b.key(keys)); c != 0 {
		return c
	}
	return cmp.Compare(a.number, b.number)
}

func (e entry) key(keys []byte) []byte { return keys[e.at : e.at+int(e.n)] }

// head is the first octets of a key.
func head(key []byte) uint64 {
	var first [8]byte
	copy(first[:], key)
	return binary.BigEndian.Uint64(first[:])
}
