package contents

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"gadwall/dedupe"
	"gadwall/internal/transfer"
	"gadwall/mimestream"
)

// stripParts returns a copy of a tree with only what a part table keeps.
func stripParts(p, parent *mimestream.Part) *mimestream.Part {
	q := &mimestream.Part{
		Path: p.Path, Parent: parent, Kind: p.Kind,
		HeaderOffset: p.HeaderOffset, HeaderSize: p.HeaderSize, BodyOffset: p.BodyOffset, BodySize: p.BodySize,
		Lines: p.Lines, HeaderLines: p.HeaderLines, DecodedSize: p.DecodedSize,
		HasContentType: p.HasContentType, Type: p.Type, Subtype: p.Subtype, Encoding: p.Encoding,
		Disposition: p.Disposition, Degraded: p.Degraded, HasNUL: p.HasNUL, Has8bit: p.Has8bit,
	}
	if charset := p.Charset(); charset != "" {
		if len(charset) > maxWord {
			charset = charset[:maxWord]
		}
		q.Params = []mimestream.Param{{Name: "charset", Value: charset, RawName: "charset", RawValue: charset}}
	}
	for _, c := range p.Children {
		q.Children = append(q.Children, stripParts(c, q))
	}
	return q
}

func diffParts(want, got *mimestream.Part) string {
	return cmp.Diff(want, got, cmpopts.IgnoreFields(mimestream.Part{}, "Parent"),
		cmpopts.IgnoreUnexported(mimestream.Part{}), cmpopts.EquateEmpty())
}

func TestPartTable(t *testing.T) {
	for name, message := range sampleMessages() {
		t.Run(name, func(t *testing.T) {
			root := mimestream.Parse([]byte(message))
			table := appendParts(nil, root)
			got, err := readParts(table, int64(len(message)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := diffParts(stripParts(root, nil), got); diff != "" {
				t.Fatalf("part table (-want +got):\n%s", diff)
			}
			got.Walk(func(p *mimestream.Part) bool {
				for _, c := range p.Children {
					if c.Parent != p {
						t.Errorf("%v is not the parent of %v", p.Path, c.Path)
					}
				}
				return true
			})
			for n := range table {
				if _, err := readParts(table[:n], int64(len(message))); !errors.Is(err, errParts) {
					t.Fatalf("cut to %d of %d bytes: %v", n, len(table), err)
				}
			}
			if _, err := readParts(table, int64(len(message))+1); !errors.Is(err, errParts) {
				t.Fatal("wrong size:", err)
			}
		})
	}
}

func TestPartTableOfAnyMail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := drawMail(t)
		root := mimestream.Parse(message)
		got, err := readParts(appendParts(nil, root), int64(len(message)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffParts(stripParts(root, nil), got); diff != "" {
			t.Fatalf("part table (-want +got):\n%s", diff)
		}
	})
}

func FuzzPartTable(f *testing.F) {
	for _, message := range sampleMessages() {
		f.Add(appendParts(nil, mimestream.Parse([]byte(message))), int64(len(message)))
	}
	f.Fuzz(func(t *testing.T, table []byte, size int64) {
		root, err := readParts(table, size)
		if err != nil {
			if !errors.Is(err, errParts) {
				t.Fatal(err)
			}
			return
		}
		parts := 0
		root.Walk(func(p *mimestream.Part) bool {
			parts++
			end := p.BodyOffset
			for _, c := range p.Children {
				if c.HeaderOffset < end || c.End() > p.End() {
					t.Fatalf("part %v is not within its parent, behind its siblings", c.Path)
				}
				end = c.End()
			}
			return true
		})
		if root.End() != size || parts > mimestream.MaxParts {
			t.Fatalf("%d parts, %d of %d bytes", parts, root.End(), size)
		}
		again := appendParts(nil, root)
		if back, err := readParts(again, size); err != nil || diffParts(root, back) != "" {
			t.Fatalf("written again: %v\n%s", err, diffParts(root, back))
		}
	})
}

func sampleTable() *segmentTable {
	text := transfer.Recipe{LineLength: 76, FinalEOL: true, DecodedSize: 300}
	blob := transfer.Recipe{LineLength: 72, BareLF: true, DecodedSize: 5_000_000}
	l := &segmentTable{
		headerSize: 100,
		frames: []frameInfo{
			{start: 0, size: 1000, codec: frameZstd},
			{start: 1000, size: 310, codec: frameRaw},
		},
		segments: []segment{
			{recipe: transfer.IdentityOf(1000)},
			{recipe: text, inline: 1000},
			{recipe: blob, blob: true, hash: dedupe.Sum([]byte("blob")), magic: 0xfedcba98},
			{recipe: transfer.IdentityOf(10), inline: 1300},
		},
	}
	for i := range l.segments {
		l.segments[i].start = l.size
		l.size += l.segments[i].recipe.EncodedLen()
	}
	return l
}

func TestSegmentTable(t *testing.T) {
	want := sampleTable()
	stored := want.append(nil)
	got, err := readTable(stored)
	if err != nil {
		t.Fatal(err)
	}
	opts := cmp.AllowUnexported(segmentTable{}, segment{}, frameInfo{})
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Fatalf("segment table (-want +got):\n%s", diff)
	}
	if refs := got.blobRefs(); len(refs) != 1 || refs[0].Magic != 0xfedcba98 {
		t.Errorf("references: %v", refs)
	}
	for i, s := range got.segments {
		if at := got.segmentAt(s.start); at != i {
			t.Errorf("segmentAt(%d) = %d, want %d", s.start, at, i)
		}
		if at := got.segmentAt(s.end() - 1); at != i {
			t.Errorf("segmentAt(%d) = %d, want %d", s.end()-1, at, i)
		}
	}
	if a, b := got.frameAt(999), got.frameAt(1000); a != 0 || b != 1 {
		t.Errorf("frames %d, %d", a, b)
	}
	for n := range stored {
		if _, err := readTable(stored[:n]); !errors.Is(err, errTable) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := readTable(append(stored, 0)); !errors.Is(err, errTable) {
		t.Fatal("a byte too many:", err)
	}
}

func FuzzSegmentTable(f *testing.F) {
	f.Add(sampleTable().append(nil))
	f.Add((&segmentTable{}).append(nil))
	f.Fuzz(func(t *testing.T, stored []byte) {
		l, err := readTable(stored)
		if err != nil {
			if !errors.Is(err, errTable) {
				t.Fatal(err)
			}
			return
		}
		opts := cmp.AllowUnexported(segmentTable{}, segment{}, frameInfo{})
		back, err := readTable(l.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l, back, opts); diff != "" {
			t.Fatalf("written again (-first +second):\n%s", diff)
		}
		var end int64
		for _, s := range l.segments {
			if s.start != end {
				t.Fatalf("segment at %d, the one before ended at %d", s.start, end)
			}
			end = s.end()
		}
		if end != l.size {
			t.Fatalf("segments of %d bytes in a content of %d", end, l.size)
		}
	})
}

func TestWordLists(t *testing.T) {
	for _, words := range [][]string{mediaTypes, encodings, charsets, dispositions} {
		if len(words) > 255 {
			t.Errorf("%d words do not fit into a byte", len(words))
		}
		for _, w := range words {
			if w != strings.ToLower(w) {
				t.Errorf("%q is not in lower case", w)
			}
		}
	}
}
