package mailstore

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// A range of at most shortRange UIDs is named UID by UID.
const shortRange = 64

// keyFilters cuts a set of UIDs into conditions on _id, one for each query, in ascending order. A
// long range has a query of its own. Short ones become lists of UIDs. In a clustered collection the
// database walks all keys from the least to the greatest of such a list, so there a list ends
// before a large gap.
func keyFilters(box mailkey.Mailbox, uids uidset.Set, clustered bool) []bson.D {
	var filters []bson.D
	var points []bson.Binary
	var last uint32
	flush := func() {
		if len(points) > 0 {
			filters = append(filters, pointFilter(points))
			points = nil
		}
	}
	for _, r := range uids {
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
func rangeFilter(box mailkey.Mailbox, r uidset.Range) bson.D {
	return bson.D{{Key: DocID, Value: bson.D{
		{Key: "$gte", Value: box.Message(r.First).Binary()},
		{Key: "$lte", Value: box.Message(r.Last).Binary()}}}}
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
