package mailview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"

	"gadwall/internal/uidset"
)

func TestResolve(t *testing.T) {
	type ranges = uidset.Set
	v := &Numbering{uids: []uint32{2, 3, 7, 10, 11}}
	empty := &Numbering{}
	for _, tt := range []struct {
		name string
		view *Numbering
		set  imap.NumSet
		want ranges
		bad  bool
	}{
		{"one", v, imap.SeqSet{{Start: 3, Stop: 3}}, ranges{{First: 7, Last: 7}}, false},
		{"range", v, imap.SeqSet{{Start: 2, Stop: 4}}, ranges{{First: 3, Last: 10}}, false},
		{"two that touch", v, imap.SeqSet{{Start: 1, Stop: 1}, {Start: 2, Stop: 2}},
			ranges{{First: 2, Last: 3}}, false},
		{"last", v, imap.SeqSet{{}}, ranges{{First: 11, Last: 11}}, false},
		{"to the last", v, imap.SeqSet{{Start: 4}}, ranges{{First: 10, Last: 11}}, false},
		{"past the last", v, imap.SeqSet{{Start: 6, Stop: 6}}, nil, true},
		{"from past the last", v, imap.SeqSet{{Start: 6}}, nil, true},
		{"empty mailbox", empty, imap.SeqSet{{Start: 1}}, nil, true},
		{"UIDs", v, imap.UIDSet{{Start: 1, Stop: 5}, {Start: 9, Stop: 9}},
			ranges{{First: 1, Last: 5}, {First: 9, Last: 9}}, false},
		{"UIDs end at the last", v, imap.UIDSet{{Start: 5, Stop: 99}}, ranges{{First: 5, Last: 11}}, false},
		{"UID *", v, imap.UIDSet{{}}, ranges{{First: 11, Last: 11}}, false},
		{"UID n:* past the end is the last", v, imap.UIDSet{{Start: 99}}, ranges{{First: 11, Last: 11}}, false},
		{"UID past the end", v, imap.UIDSet{{Start: 99, Stop: 100}}, ranges{}, false},
		{"UIDs of an empty mailbox", empty, imap.UIDSet{{Start: 1}}, ranges{}, false},
	} {
		got, err := tt.view.Resolve(tt.set)
		if (err != nil) != tt.bad {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestExisting: numbers past the last message are left out.
func TestExisting(t *testing.T) {
	v := &Numbering{uids: []uint32{2, 3, 7, 10, 11}}
	empty := &Numbering{}
	for _, tt := range []struct {
		view *Numbering
		set  string
		want uidset.Set
	}{
		{v, "2:4", uidset.Set{{First: 3, Last: 10}}},
		{v, "4:9", uidset.Set{{First: 10, Last: 11}}},
		{v, "9:4,1", uidset.Set{{First: 2, Last: 2}, {First: 10, Last: 11}}},
		{v, "6", uidset.Set{}},
		{v, "6:7", uidset.Set{}},
		{v, "6:*", uidset.Set{{First: 11, Last: 11}}},
		{empty, "1:*", uidset.Set{}},
		{empty, "*", uidset.Set{}},
	} {
		set := imap.SeqSet{}
		for _, part := range strings.Split(tt.set, ",") {
			r := imap.SeqRange{}
			first, last, isRange := strings.Cut(part, ":")
			fmt.Sscan(first, &r.Start)
			if fmt.Sscan(last, &r.Stop); !isRange {
				r.Stop = r.Start
			}
			set = append(set, r)
		}
		if diff := cmp.Diff(tt.want, tt.view.Existing(set)); diff != "" {
			t.Errorf("%s of %d: %s", tt.set, tt.view.Len(), diff)
		}
	}
}
