package search

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// drawKey draws a tree over few leaves.
func drawKey(t *rapid.T, depth int, leaf *rapid.Generator[*Key]) *Key {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		return leaf.Draw(t, "leaf")
	}
	switch rapid.IntRange(0, 3).Draw(t, "op") {
	case 0:
		return Not(drawKey(t, depth-1, leaf))
	case 1:
		return Any(drawKey(t, depth-1, leaf), drawKey(t, depth-1, leaf))
	}
	key := All()
	for range rapid.IntRange(0, 3).Draw(t, "kids") {
		key.kids = append(key.kids, drawKey(t, depth-1, leaf))
	}
	return key
}

// evalKey evaluates a tree as it is written.
func evalKey(k *Key, leaf func(*Key) bool) bool {
	switch k.op {
	case opAnd:
		for _, kid := range k.kids {
			if !evalKey(kid, leaf) {
				return false
			}
		}
		return true
	case opOr:
		for _, kid := range k.kids {
			if evalKey(kid, leaf) {
				return true
			}
		}
		return false
	case opNot:
		return !evalKey(k.kids[0], leaf)
	}
	return leaf(k)
}

// TestSimplify: the simplified tree says the same, and has the promised form.
func TestSimplify(t *testing.T) {
	var leaves []*Key
	for i := range 4 {
		leaves = append(leaves, Keyword(string(rune('a'+i))))
	}
	leaf := rapid.SampledFrom(append(leaves, All(), Any(), UIDs(nil)))
	rapid.Check(t, func(t *rapid.T) {
		key := drawKey(t, 5, leaf)
		simple := key.simplify(false)
		checkForm(t, simple, true)
		for bits := range 1 << len(leaves) {
			value := func(k *Key) bool {
				return k.op == opKeyword && bits>>(k.name[0]-'a')&1 != 0
			}
			if evalKey(key, value) != evalKey(simple, value) {
				t.Fatalf("%s becomes %s", key, simple)
			}
		}
	})
}

func checkForm(t *rapid.T, k *Key, top bool) {
	switch k.op {
	case opAnd, opOr:
		if len(k.kids) == 1 || len(k.kids) == 0 && !top {
			t.Fatalf("not simple: %s", k)
		}
	case opNot:
		if k.kids[0].op <= opNot {
			t.Fatalf("NOT of no leaf: %s", k)
		}
	}
	for _, kid := range k.kids {
		if kid.op == k.op {
			t.Fatalf("nested: %s", k)
		}
		checkForm(t, kid, false)
	}
}

// TestLimits: a search beyond a limit is refused, one at the limit is not.
func TestLimits(t *testing.T) {
	deep := Flag(mailstore.Seen)
	for range 2 * MaxDepth {
		deep = Not(deep)
	}
	many := make([]*Key, MaxKeys)
	for i := range many {
		many[i] = Keyword("k")
	}
	texts := make([]*Key, maxTexts/maxText)
	for i := range texts {
		texts[i] = Body(strings.Repeat("x", maxText))
	}
	for _, tt := range []struct {
		name         string
		most, beyond *Key
	}{
		{"depth", deep, Not(deep)},
		{"keys", All(many...), All(append(many, Keyword("k"))...)},
		{"text", Body(strings.Repeat("x", maxText)), Header("Subject", strings.Repeat("x", maxText+1))},
		{"normalised text", Text(strings.Repeat("\ufdfa", maxText/33)), Text(strings.Repeat("\ufdfa", maxText/33+1))},
		{"texts", All(texts...), All(append(texts, Text("x"))...)},
	} {
		if _, err := Compile(tt.most, mailkey.Mailbox{}, uidset.All()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := Compile(tt.beyond, mailkey.Mailbox{}, uidset.All()); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s beyond the limit: %v", tt.name, err)
		}
	}
}
