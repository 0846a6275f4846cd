package search

// automaton finds many needles at once, in one pass over the text whatever their number
// (Aho and Corasick, 1975). It is built once for a search and does not change.
//
// A state is the longest end of the text so far that begins a needle. State 0 is the
// empty one. States are numbered by the lengths of these beginnings.
type automaton struct {
	root   [256]int32 // from state 0; 0 for an octet that begins no needle
	states []state
	labels []byte // of edges; those of a state are neighbours
	target []int32
	rows   [][256]int32 // whole rows of transitions, for states with many edges
}

type state struct {
	fail   int32 // the longest end of this beginning that is a state
	edge   int32 // the first of its edges
	edges  int16
	row    int16 // in rows, -1 for none
	needle int32 // the needle that this is, -1 for none
	more   int32 // the longest end of this beginning that is a needle; 0 for none
}

const (
	// rowEdges is the number of edges from which on a state has a row.
	rowEdges = 6
	// maxRows bounds the rows of an automaton, at 1 KiB each.
	maxRows = 1024
)

// newAutomaton returns the automaton of needles, which are distinct and not empty. They
// are called by their index.
func newAutomaton(needles []string) *automaton {
	t := newTrie(needles)
	a := &automaton{states: make([]state, 1, len(t))}
	a.states[0] = state{row: -1, needle: -1}
	nodes := make([]int32, 1, len(t)) // of the trie, by state
	for s := int32(0); int(s) < len(a.states); s++ {
		a.states[s].edge = int32(len(a.labels))
		for n := t[nodes[s]].child; n != 0; n = t[n].sibling {
			to := state{row: -1, needle: t[n].needle}
			if s > 0 {
				to.fail = a.step(a.states[s].fail, t[n].label)
			}
			to.more = to.fail
			if f := &a.states[to.fail]; f.needle < 0 {
				to.more = f.more
			}
			a.labels = append(a.labels, t[n].label)
			a.target = append(a.target, int32(len(a.states)))
			if s == 0 {
				a.root[t[n].label] = int32(len(a.states))
			}
			a.states = append(a.states, to)
			nodes = append(nodes, n)
			a.states[s].edges++
		}
		if a.states[s].edges >= rowEdges && s > 0 && len(a.rows) < maxRows {
			a.addRow(s)
		}
	}
	return a
}

// addRow writes out all transitions of a state. Those of its fail state are known.
func (a *automaton) addRow(s int32) {
	var row [256]int32
	for c := range row {
		row[c] = a.step(s, byte(c))
	}
	a.states[s].row = int16(len(a.rows))
	a.rows = append(a.rows, row)
}

// step returns the state that follows s on octet c.
func (a *automaton) step(s int32, c byte) int32 {
	for s != 0 {
		st := &a.states[s]
		if st.row >= 0 {
			return a.rows[st.row][c]
		}
		for i := st.edge; i < st.edge+int32(st.edges); i++ {
			if a.labels[i] == c {
				return a.target[i]
			}
		}
		s = st.fail
	}
	return a.root[c]
}

// ends reports whether a needle ends in state s.
func (a *automaton) ends(s int32) bool { return a.states[s].needle >= 0 || a.states[s].more != 0 }

// trieNode is a beginning of needles while an automaton is built. Node 0 is the root.
type trieNode struct {
	child, sibling int32
	needle         int32 // -1 for none
	label          byte
}

func newTrie(needles []string) []trieNode {
	t := []trieNode{{needle: -1}}
	for i, needle := range needles {
		at := int32(0)
		for _, c := range []byte(needle) {
			n := t[at].child
			for n != 0 && t[n].label != c {
				n = t[n].sibling
			}
			if n == 0 {
				n = int32(len(t))
				t = append(t, trieNode{label: c, needle: -1, sibling: t[at].child})
				t[at].child = n
			}
			at = n
		}
		t[at].needle = int32(i)
	}
	return t
}
