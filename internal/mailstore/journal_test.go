package mailstore

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestJournalUIDsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uids := drawUIDs(t, "uids")
		got, err := decodeUIDs(nil, encodeUIDs(uids), len(uids))
		if err != nil || !slices.Equal(uids, got) {
			t.Fatalf("%v became %v, %v", uids, got, err)
		}
	})
}

func TestJournalUIDsAreCompact(t *testing.T) {
	var uids []uint32
	for uid := range uint32(maxBatch) {
		uids = append(uids, uid+1_000_000)
	}
	if n := len(encodeUIDs(uids)); n > 8 {
		t.Errorf("one range takes %d octets", n)
	}
}

func TestJournalUIDsAreLimited(t *testing.T) {
	got, err := decodeUIDs([]uint32{1}, encodeUIDs([]uint32{5, 6, 7, 8, 20}), 3)
	if err != nil || !slices.Equal(got, []uint32{1, 5, 6}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzDecodeUIDs(f *testing.F) {
	f.Add(encodeUIDs([]uint32{1, 2, 3, 9}))
	f.Add([]byte{0, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 10_000
		uids, err := decodeUIDs(nil, b, limit)
		if err != nil {
			if !errors.Is(err, errBadJournal) {
				t.Fatal(err)
			}
			return
		}
		if len(uids) > limit || !slices.IsSorted(uids) {
			t.Fatalf("%d UIDs, sorted: %t", len(uids), slices.IsSorted(uids))
		}
		if len(uids) == limit {
			return
		}
		again, err := decodeUIDs(nil, encodeUIDs(uids), limit)
		if err != nil || !slices.Equal(uids, again) {
			t.Fatalf("%v became %v, %v", uids, again, err)
		}
	})
}
