package thread

import (
	"cmp"
	"slices"
	"time"
)

// maxDepth bounds how far up a chain of references is followed to find a loop. What would
// lie deeper begins a thread of its own.
const maxDepth = 4096

// node is a message, or a placeholder, while threads are made.
type node struct {
	message  *Message // nil for a placeholder
	parent   *node
	children []*node
}

// first is the message that a node goes by: its own, or a placeholder's first child's.
func (n *node) first() *Message {
	for n.message == nil && len(n.children) > 0 {
		n = n.children[0]
	}
	return n.message
}

func (n *node) date() time.Time {
	if m := n.first(); m != nil {
		return m.Sent
	}
	return time.Time{}
}

func (n *node) number() uint32 {
	if m := n.first(); m != nil {
		return m.Number
	}
	return 0
}

// reply reports whether the node's own message is a reply or forward.
func (n *node) reply() bool { return n.message != nil && n.message.Reply }

// ByReferences makes threads by the identifiers that messages refer to: REFERENCES
// (RFC 5256 section 3). The messages come in the order of their numbers. The steps bear
// the numbers that they have there.
func ByReferences(messages []Message) []*Node {
	roots := prune(link(messages))        // steps 1 to 3
	slices.SortStableFunc(roots, byDate)  // step 4; placeholders' children are sorted
	return export(sortAll(gather(roots))) // steps 5 and 6
}

// ByReferencesAlone makes threads by the identifiers that messages refer to, and by nothing else:
// REFS, as Dovecot makes them. Threads are in the order of their latest messages; of those with
// equal dates, the ones whose top is not there come first.
func ByReferencesAlone(messages []Message) []*Node {
	type threaded struct {
		top    *node
		latest time.Time
		number uint32 // 0 if the top is not there
	}
	var threads []threaded
	for _, root := range link(messages) {
		t := threaded{}
		if root.message != nil {
			t.number = root.message.Number
		}
		tops := prune([]*node{root})
		if len(tops) == 0 {
			continue
		}
		t.top = tops[0]
		for _, n := range bottomUp(tops) {
			slices.SortStableFunc(n.children, byDate)
			if n.message != nil && n.message.Sent.After(t.latest) {
				t.latest = n.message.Sent
			}
		}
		threads = append(threads, t)
	}
	slices.SortStableFunc(threads, func(a, b threaded) int {
		if c := a.latest.Compare(b.latest); c != 0 {
			return c
		}
		return cmp.Compare(a.number, b.number)
	})
	roots := make([]*node, len(threads))
	for i, t := range threads {
		roots[i] = t.top
	}
	return export(roots)
}

// link makes parents and children of messages and what they refer to, and returns the
// nodes without a parent, in the order of their appearance: steps 1 and 2.
func link(messages []Message) []*node {
	nodes := make([]*node, 0, len(messages))
	byID := make(map[Name]*node, len(messages))
	own := make([]*node, len(messages))
	for i := range messages {
		n := &node{message: &messages[i]}
		own[i], nodes = n, append(nodes, n)
		// Of several with one identifier, the first has it.
		if id := messages[i].ID; id != 0 && byID[id] == nil {
			byID[id] = n
		}
	}
	for i := range messages {
		var last *node
		for _, id := range messages[i].References {
			n := byID[id]
			if n == nil {
				n = new(node)
				byID[id] = n
				nodes = append(nodes, n)
			}
			if last != nil && n.parent == nil && !last.below(n) {
				n.parent = last
			}
			last = n
		}
		// The last reference is the parent, whatever the references of others said.
		n := own[i]
		n.parent = nil
		if last != nil && !last.below(n) {
			n.parent = last
		}
	}
	var roots []*node
	for _, n := range nodes {
		if n.parent == nil {
			roots = append(roots, n)
		} else {
			n.parent.children = append(n.parent.children, n)
		}
	}
	return roots
}

// below reports whether n is top or below it, or too deep to tell.
func (n *node) below(top *node) bool {
	for depth := 0; n != nil; n = n.parent {
		if depth++; n == top || depth > maxDepth {
			return true
		}
	}
	return false
}

// bottomUp returns all nodes of the threads, each after its children.
func bottomUp(roots []*node) []*node {
	all := slices.Clone(roots)
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].children...)
	}
	slices.Reverse(all)
	return all
}

// prune takes placeholders out and puts their children in their place, but for those at
// the top with several children: step 3. Children of those are sorted.
func prune(roots []*node) []*node {
	for _, n := range bottomUp(roots) {
		n.children = replaced(n.children, func(*node) bool { return true })
	}
	roots = replaced(roots, func(n *node) bool { return len(n.children) <= 1 })
	for _, n := range roots {
		if n.message == nil {
			slices.SortStableFunc(n.children, byDate)
		}
	}
	return roots
}

// replaced returns nodes with the children of those placeholders in their place for which
// goes says so.
func replaced(nodes []*node, goes func(*node) bool) []*node {
	if !slices.ContainsFunc(nodes, func(n *node) bool { return n.message == nil }) {
		return nodes
	}
	var out []*node
	for _, n := range nodes {
		if n.message == nil && goes(n) {
			out = append(out, n.children...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

// gather puts threads together that have the same base subject: step 5.
func gather(roots []*node) []*node {
	bySubject := make(map[Name]*node)
	for _, n := range roots {
		subject := n.first().Subject
		if subject == 0 {
			continue
		}
		known := bySubject[subject]
		if known == nil || known.message != nil && n.message == nil || known.reply() && !n.reply() {
			bySubject[subject] = n
		}
	}
	var out []*node
	moved := make(map[*node]bool) // below another one now
	for _, n := range roots {
		subject := n.first().Subject
		top := bySubject[subject]
		switch {
		case moved[n]:
		case subject == 0 || top == n:
			out = append(out, n)
		case top.message == nil && n.message == nil:
			top.children = append(top.children, n.children...)
		case top.message == nil, n.reply() && !top.reply():
			top.children = append(top.children, n)
		default:
			moved[top] = true
			top = &node{children: []*node{top, n}}
			bySubject[subject] = top
			out = append(out, top)
		}
	}
	return slices.DeleteFunc(out, func(n *node) bool { return moved[n] })
}

// sortAll sorts siblings by date, from the bottom up: step 6.
func sortAll(roots []*node) []*node {
	for _, n := range bottomUp(roots) {
		slices.SortStableFunc(n.children, byDate)
	}
	slices.SortStableFunc(roots, byDate)
	return roots
}

// export returns the threads without what only their making needs.
func export(roots []*node) []*Node {
	made := make(map[*node]*Node)
	for _, n := range bottomUp(roots) {
		out := &Node{}
		if n.message != nil {
			out.Number = n.message.Number
		}
		for _, child := range n.children {
			out.Children = append(out.Children, made[child])
		}
		made[n] = out
	}
	out := make([]*Node, len(roots))
	for i, n := range roots {
		out[i] = made[n]
	}
	return out
}
