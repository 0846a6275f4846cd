package mailstore

import (
	"cmp"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// batches cuts the messages in the ranges that meet the condition into sets of at most batchSize, one
// for each transaction. Each is given as ranges that hold no other message which meets the condition
// now; UIDs are never given out again, so that only messages that come to meet it later can join.
func (s *Store) batches(ctx context.Context, box mailkey.Mailbox, ranges []UIDRange, filter bson.D) ([][]UIDRange, error) {
	ranges = normalizeRanges(ranges)
	if span(ranges) <= uint64(s.batchSize) {
		if len(ranges) == 0 {
			return nil, nil
		}
		return [][]UIDRange{ranges}, nil
	}
	uids, err := s.UIDs(ctx, box, Query{UIDs: ranges, Filter: filter})
	if err != nil {
		return nil, err
	}
	var list [][]UIDRange
	for part := range slices.Chunk(uids, s.batchSize) {
		list = append(list, cover(part, ranges))
	}
	return list, nil
}

// span is how many UIDs the ranges hold.
func span(ranges []UIDRange) uint64 {
	var n uint64
	for _, r := range ranges {
		n += uint64(r.Last-r.First) + 1
	}
	return n
}

// cover returns, for each of the normalised ranges that hold any of the ascending UIDs, the range from the
// first to the last of these.
func cover(uids []uint32, ranges []UIDRange) []UIDRange {
	var list []UIDRange
	current := -1 // index in ranges of the last entry of list
	i := 0
	for _, uid := range uids {
		for i < len(ranges) && ranges[i].Last < uid {
			i++
		}
		if i == len(ranges) {
			break
		}
		if uid < ranges[i].First {
			continue
		}
		if i == current {
			list[len(list)-1].Last = uid
			continue
		}
		list = append(list, UIDRange{uid, uid})
		current = i
	}
	return list
}

// from returns the part of the normalised ranges that begins with uid.
func from(uid uint32, ranges []UIDRange) []UIDRange {
	i, _ := slices.BinarySearchFunc(ranges, uid, func(r UIDRange, uid uint32) int { return cmp.Compare(r.Last, uid) })
	rest := slices.Clone(ranges[i:])
	if len(rest) > 0 {
		rest[0].First = max(rest[0].First, uid)
	}
	return rest
}
