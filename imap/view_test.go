package imap

import (
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gadwall/internal/uidset"
)

func TestResolve(t *testing.T) {
	type ranges = uidset.Set
	v := &view{uids: []uint32{2, 3, 7, 10, 11}}
	empty := &view{}
	for _, tt := range []struct {
		name string
		view *view
		set  imap.NumSet
		want ranges
		bad  bool
	}{
		{"one", v, imap.SeqSet{{Start: 3, Stop: 3}}, ranges{{First: 7, Last: 7}}, false},
		{"range", v, imap.SeqSet{{Start: 2, Stop: 4}}, ranges{{First: 3, Last: 10}}, false},
		{"two that touch", v, imap.SeqSet{{Start: 1, Stop: 1}, {Start: 2, Stop: 2}}, ranges{{First: 2, Last: 3}}, false},
		{"last", v, imap.SeqSet{{}}, ranges{{First: 11, Last: 11}}, false},
		{"to the last", v, imap.SeqSet{{Start: 4}}, ranges{{First: 10, Last: 11}}, false},
		{"past the last", v, imap.SeqSet{{Start: 6, Stop: 6}}, nil, true},
		{"from past the last", v, imap.SeqSet{{Start: 6}}, nil, true},
		{"empty mailbox", empty, imap.SeqSet{{Start: 1}}, nil, true},
		{"UIDs", v, imap.UIDSet{{Start: 1, Stop: 5}, {Start: 9, Stop: 9}}, ranges{{First: 1, Last: 5}, {First: 9, Last: 9}}, false},
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

// TestViewModel runs random changes on a view and on a plain list.
func TestViewModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := &view{next: 1}
		var model []uint32
		next := uint32(1)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				next += uint32(rapid.IntRange(0, 3).Draw(t, "gap"))
				v.uids = append(v.uids, next)
				model = append(model, next)
				next++
			},
			"expunge": func(t *rapid.T) {
				gone := rapid.SliceOfN(rapid.Uint32Range(1, next), 0, 5).Draw(t, "uids")
				v.addGone(gone)
				for _, uid := range v.gone {
					if !v.Gone(uid) || !slices.Contains(model, uid) {
						t.Fatalf("%d is noted as gone", uid)
					}
				}
				v.remove(v.gone)
				v.gone = nil
				model = slices.DeleteFunc(model, func(uid uint32) bool { return slices.Contains(gone, uid) })
			},
			"": func(t *rapid.T) {
				if !slices.Equal(v.uids, model) {
					t.Fatalf("view %v, model %v", v.uids, model)
				}
				for i, uid := range model {
					if seq, ok := v.Seq(uid); !ok || seq != uint32(i+1) || v.UID(seq) != uid {
						t.Fatalf("message %d has number %d", uid, seq)
					}
				}
				r := uidset.Range{First: rapid.Uint32Range(1, next).Draw(t, "first")}
				r.Last = rapid.Uint32Range(r.First, next).Draw(t, "last")
				n := 0
				for _, uid := range model {
					if uid >= r.First && uid <= r.Last {
						n++
					}
				}
				if got := v.Count(uidset.Set{r}); got != n {
					t.Fatalf("%d messages in %v, want %d", got, r, n)
				}
			},
		})
	})
}

func TestReported(t *testing.T) {
	v := &view{modseq: 5}
	v.reported(6) // nothing in between
	if v.modseq != 6 || v.own != nil {
		t.Errorf("after the next: %d, own %v", v.modseq, v.own)
	}
	v.reported(8) // 7 is somebody else's
	v.reported(8)
	v.reported(3)
	if v.modseq != 6 || !v.isOwn(8) || v.isOwn(7) || len(v.own) != 1 {
		t.Errorf("after one more: %d, own %v", v.modseq, v.own)
	}
	v.told(8)
	if v.modseq != 8 || v.own != nil {
		t.Errorf("after telling: %d, own %v", v.modseq, v.own)
	}
}
