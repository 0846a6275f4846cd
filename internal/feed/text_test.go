package feed

import (
	"encoding/base64"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
)

var nobody = mailkey.UserID{1, 2, 3, 4, 5, 6, 7, 8}

func drawMark(t *rapid.T) mark {
	return mark{rapid.Uint64Range(1, maxModSeq).Draw(t, "modseq"), rapid.Uint64Range(1, maxNext).Draw(t, "next")}
}

// What is written is read.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.MapOf(rapid.Uint32Range(1, 1<<32-2), rapid.Custom(drawMark))
		p := &position{notes: rapid.Uint64Range(0, maxModSeq).Draw(t, "notes"), marks: marks.Draw(t, "marks")}
		known := make(map[uint32]mark)
		if rapid.Bool().Draw(t, "base") {
			known = marks.Draw(t, "known")
			p.base = &base{id: rapid.Uint64().Draw(t, "id"), marks: known}
		}
		if p.phase = phase(rapid.IntRange(0, int(alongJournal)).Draw(t, "phase")); p.phase != nowhere {
			p.mailbox, p.modseq, p.next, p.expunged, p.at, p.uid, p.told = 7, 1<<50, 1<<32, 9, 1<<40, 3, 1000
		}
		got, err := parseText(nobody, p.text(nobody))
		if err != nil {
			t.Fatal(err)
		}
		if got.hasBase != (p.base != nil) || got.hasBase && got.baseID != p.base.id {
			t.Fatalf("base %v %d", got.hasBase, got.baseID)
		}
		got.position.marks = make(map[uint32]mark)
		for box, m := range known {
			got.position.marks[box] = m
		}
		d := &decoder{rest: got.changes}
		d.marks(got.position.marks)
		got.position.base = p.base
		if !reflect.DeepEqual(&got.position, p) {
			t.Fatalf("%+v, want %+v", got.position, p)
		}
	})
}

func FuzzParse(f *testing.F) {
	p := position{notes: 300, marks: map[uint32]mark{1: {5, 6}, 200: {1 << 41, 1 << 32}},
		cursor: cursor{phase: alongFlags, mailbox: 1, modseq: 9, at: 6}}
	for _, seed := range []string{"", "AQ", p.text(nobody)} {
		raw, _ := base64.RawURLEncoding.DecodeString(seed)
		f.Add(raw)
	}
	p.base = &base{id: 77, marks: map[uint32]mark{3: {1, 1}}}
	raw, _ := base64.RawURLEncoding.DecodeString(p.text(nobody))
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Whatever it is, it is a position or an error, and takes no more memory than its length.
		got, err := parseText(nobody, base64.RawURLEncoding.EncodeToString(raw))
		if err == nil && got.phase > alongJournal {
			t.Errorf("%+v", got)
		}
	})
}
