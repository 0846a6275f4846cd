package thread

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mails makes messages of lines "number day id references subject", where "-" is nothing
// and a subject may have "re:" before its base.
func mails(lines string) []Message {
	var list []Message
	names := NewNames()
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		f := strings.Fields(line)
		m := Message{}
		var day int
		fmt.Sscan(f[0], &m.Number)
		fmt.Sscan(f[1], &day)
		m.Sent = time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
		if f[2] != "-" {
			m.ID = names.Of(f[2])
		}
		if f[3] != "-" {
			for ref := range strings.SplitSeq(f[3], ",") {
				m.References = append(m.References, names.Of(ref))
			}
		}
		if len(f) > 4 {
			subject, reply := strings.CutPrefix(f[4], "re:")
			m.Subject, m.Reply = names.Of(subject), reply
		}
		list = append(list, m)
	}
	return list
}

func TestByReferences(t *testing.T) {
	for _, tt := range []struct{ name, mails, want string }{
		{"the example of RFC 5256 section 4", `
			2 1 b - two
			3 2 c - three
			4 4 d c,f
			6 3 f c
			7 6 g c,f,h
			23 5 w c,f,d
			44 6 h c,f
			96 7 z c,f,h,g`, "(2)(3 6 (4 23)(44 7 96))"},
		{"siblings of a message that is not there", `
			3 1 c x
			5 2 e x`, "((3)(5))"},
		{"an only child of a message that is not there", `
			3 1 c x
			5 2 e c`, "(3 5)"},
		{"messages in between are not there", `
			1 1 a -
			2 2 b a,x,y
			3 3 c a,x,z`, "(1 (2)(3))"},
		{"a truncated list of references, mended later", `
			1 1 a -
			2 3 c b
			3 2 b a`, "(1 3 2)"},
		{"the last reference is the parent, whatever others say", `
			1 1 a -
			2 2 b -
			3 3 c a
			4 4 d b,c`, "(1 3 4)(2)"},
		{"a loop", `
			1 1 a b
			2 2 b a`, "(2 1)"},
		{"refers to itself", `
			1 1 a a`, "(1)"},
		{"one identifier twice", `
			1 1 a -
			2 2 a -
			3 3 b a`, "(1 3)(2)"},
		{"without identifiers", `
			1 2 - -
			2 1 - -`, "(2)(1)"},
		{"equal dates", `
			1 1 a x
			2 1 b x
			3 1 c x`, "((1)(2)(3))"},
		{"a reply below its subject", `
			1 1 a - s
			2 2 b - re:s
			3 3 c - re:s`, "(1 (2)(3))"},
		{"a reply that came first", `
			1 1 a - re:s
			2 2 b - s`, "(2 1)"},
		{"two originals of one subject", `
			1 1 a - s
			2 2 b - s
			3 3 c - re:s`, "((1)(2)(3))"},
		{"two replies without the original", `
			1 2 a - re:s
			2 1 b - re:s`, "((2)(1))"},
		{"a placeholder gathers its subject", `
			1 1 a x s
			2 2 b x re:s
			3 3 c - s
			4 4 d y re:s
			5 5 e y re:s`, "((1)(2)(3)(4)(5))"},
		{"no subject gathers nothing", `
			1 1 a -
			2 2 b -`, "(1)(2)"},
		{"the subject of a thread is that of its top", `
			1 1 a - s
			2 2 b a t
			3 3 c - t`, "(1 2)(3)"},
		{"none", "", ""},
	} {
		var list []Message
		if tt.mails != "" {
			list = mails(tt.mails)
		}
		if got := string(Append(nil, ByReferences(list))); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestBySubject(t *testing.T) {
	list := mails(`
		1 3 a - s
		2 1 b - t
		3 2 c - re:s
		4 4 d - s
		5 4 e - re:t
		6 1 f -`)
	if got, want := string(Append(nil, BySubject(list))), "(2 5)(6)(3 (1)(4))"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestThreadsHoldAll: of any messages each is in one place, siblings are in order, and a
// node without a message stands at the top and has several children.
func TestThreadsHoldAll(t *testing.T) {
	id := rapid.Map(rapid.Uint32Range(0, 8), func(n uint32) Name { return Name(n) })
	message := rapid.Custom(func(t *rapid.T) Message {
		m := Message{ID: id.Draw(t, "id"), Subject: id.Draw(t, "subject") % 3,
			Reply: rapid.Bool().Draw(t, "reply"), Sent: time.Unix(rapid.Int64Range(0, 5).Draw(t, "sent"), 0)}
		for _, ref := range rapid.SliceOfN(id, 0, 4).Draw(t, "references") {
			if ref != 0 {
				m.References = append(m.References, ref)
			}
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(message, 0, 12).Draw(t, "messages")
		for i := range list {
			list[i].Number = uint32(i + 1)
		}
		for _, threads := range [][]*Node{ByReferences(list), BySubject(list)} {
			var numbers []uint32
			var visit func(n *Node, top bool)
			visit = func(n *Node, top bool) {
				if n.Number != 0 {
					numbers = append(numbers, n.Number)
				} else if !top || len(n.Children) < 2 {
					t.Fatalf("a placeholder: %s", Append(nil, threads))
				}
				checkOrder(t, list, n.Children)
				for _, child := range n.Children {
					visit(child, false)
				}
			}
			checkOrder(t, list, threads)
			for _, n := range threads {
				visit(n, true)
			}
			slices.Sort(numbers)
			for i, n := range numbers {
				if n != uint32(i+1) {
					t.Fatalf("%v in %s", numbers, Append(nil, threads))
				}
			}
			if len(numbers) != len(list) {
				t.Fatalf("%d messages of %d in %s", len(numbers), len(list), Append(nil, threads))
			}
		}
	})
}

func checkOrder(t *rapid.T, list []Message, siblings []*Node) {
	key := func(n *Node) Message {
		for n.Number == 0 {
			n = n.Children[0]
		}
		return list[n.Number-1]
	}
	if !slices.IsSortedFunc(siblings, func(a, b *Node) int {
		x, y := key(a), key(b)
		if c := x.Sent.Compare(y.Sent); c != 0 {
			return c
		}
		return int(x.Number) - int(y.Number)
	}) {
		t.Fatalf("siblings out of order in %s", Append(nil, siblings))
	}
}

// TestDeepThreads: a chain of replies of any length is one thread up to maxDepth, and no
// order of the messages makes it cost more than that.
func TestDeepThreads(t *testing.T) {
	const n = 3 * maxDepth
	list := make([]Message, n)
	for i := range list {
		list[i] = Message{Number: uint32(i + 1), ID: Name(i + 1), References: []Name{Name(i + 2)}}
	}
	threads := ByReferences(list)
	depth := 0
	for nodes := threads; len(nodes) > 0; nodes = nodes[0].Children {
		depth++
	}
	if total := strings.Count(string(Append(nil, threads)), " ") + len(threads); depth < maxDepth/2 || total != n {
		t.Errorf("%d deep, %d messages in %d threads", depth, total, len(threads))
	}
}

func TestNames(t *testing.T) {
	names := NewNames()
	seen := map[Name]string{0: ""}
	for i := range 2000 {
		text := fmt.Sprint(i % 1000)
		name := names.Of(text)
		if before, ok := seen[name]; ok && before != text || i >= 1000 && !ok {
			t.Fatalf("%q has the name %d of %q", text, name, before)
		}
		seen[name] = text
	}
	if names.Of("") != 0 {
		t.Error("the empty text has a name")
	}
}
