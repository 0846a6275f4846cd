package mailstore

import (
	"cmp"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// AllUIDs is every UID there can be.
var AllUIDs = []UIDRange{{1, math.MaxUint32}}

// normalizeRanges returns the ranges sorted, not empty, and with a gap between each two.
func normalizeRanges(ranges []UIDRange) []UIDRange {
	list := make([]UIDRange, 0, len(ranges))
	for _, r := range ranges {
		r.First = max(r.First, 1)
		if r.First <= r.Last {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b UIDRange) int { return cmp.Compare(a.First, b.First) })
	merged := list[:0]
	for _, r := range list {
		if n := len(merged); n > 0 && uint64(r.First) <= uint64(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// Ranges returns the ranges that cover exactly these UIDs, which must be ascending.
func Ranges(uids []uint32) []UIDRange {
	var list []UIDRange
	for _, uid := range uids {
		if n := len(list); n > 0 && list[n-1].Last == uid-1 {
			list[n-1].Last = uid
			continue
		}
		list = append(list, UIDRange{uid, uid})
	}
	return list
}

// intersect returns those of the ascending UIDs that lie in the normalised ranges.
func intersect(uids []uint32, ranges []UIDRange) []uint32 {
	kept := uids[:0]
	for _, uid := range uids {
		for len(ranges) > 0 && ranges[0].Last < uid {
			ranges = ranges[1:]
		}
		if len(ranges) == 0 {
			break
		}
		if ranges[0].First <= uid {
			kept = append(kept, uid)
		}
	}
	return kept
}

// shortRange is the span up to which the UIDs of a range are named one by one.
const shortRange = 64

// keyFilters cuts normalised ranges into conditions on _id, one for each query, in ascending order. A
// long range has a query of its own. Short ones become lists of UIDs. In a clustered collection
// the server walks everything from the least to the greatest of such a list, so there a list ends
// before a large gap.
func keyFilters(box mailkey.Mailbox, ranges []UIDRange, clustered bool) []bson.D {
	var filters []bson.D
	var points []bson.Binary
	var last uint32
	flush := func() {
		if len(points) > 0 {
			filters = append(filters, pointFilter(points))
			points = nil
		}
	}
	for _, r := range ranges {
		if r.Last-r.First >= shortRange {
			flush()
			filters = append(filters, rangeFilter(box, r))
			continue
		}
		if clustered && r.First-last > maxUIDGap {
			flush()
		}
		for uid := r.First; ; uid++ {
			points = append(points, box.Message(uid).Binary())
			if uid == r.Last {
				break
			}
		}
		last = r.Last
		if len(points) >= maxRangesPerFind {
			flush()
		}
	}
	flush()
	return filters
}

// rangeFilter is the condition that a message is in the range.
func rangeFilter(box mailkey.Mailbox, r UIDRange) bson.D {
	return bson.D{{Key: DocID, Value: bson.D{
		{Key: "$gte", Value: box.Message(r.First).Binary()}, {Key: "$lte", Value: box.Message(r.Last).Binary()}}}}
}

// pointFilter is the condition that a message is one of the keys, which are ascending.
func pointFilter(keys []bson.Binary) bson.D {
	if len(keys) == 1 {
		return byID(keys[0])
	}
	return bson.D{{Key: DocID, Value: bson.D{
		// The bounds are for clustered collections, which walk a range in any case.
		{Key: "$gte", Value: keys[0]}, {Key: "$lte", Value: keys[len(keys)-1]}, {Key: "$in", Value: keys}}}}
}
