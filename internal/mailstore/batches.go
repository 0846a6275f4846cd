package mailstore

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// batches cuts the messages of the set that meet the condition into sets of at most batchSize messages, one
// set for each transaction. No set holds another message that meets the condition now. The store never
// gives a UID out again, so only messages that come to meet the condition later can join.
func (s *Store) batches(
	ctx context.Context, box mailkey.Mailbox, set uidset.Set, filter bson.D,
) ([]uidset.Set, error) {
	if len(set) == 0 {
		return nil, nil
	}
	if set.Count() <= uint64(s.batchSize) {
		return []uidset.Set{set}, nil
	}
	uids, err := s.UIDs(ctx, box, Query{UIDs: set, Filter: filter})
	if err != nil {
		return nil, err
	}
	var list []uidset.Set
	for part := range slices.Chunk(uids, s.batchSize) {
		list = append(list, cover(part, set))
	}
	return list, nil
}

// cover returns, for each range of the set that holds any of the ascending UIDs, the range from the
// first to the last of these.
func cover(uids []uint32, ranges uidset.Set) uidset.Set {
	list := uidset.Set{}
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
		list = append(list, uidset.Range{First: uid, Last: uid})
		current = i
	}
	return list
}
