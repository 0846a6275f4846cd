package search

import "gadwall/internal/casemap"

// finder looks for the needles of some leaves of a matcher in its texts.
type finder struct {
	m      *matcher
	auto   *automaton
	leaves [][]int // by needle: places of the leaves that look for it

	ops   opSet    // kinds of leaves that the current text counts for
	round uint32   // of the current text
	seen  []uint32 // by state: the round in which its needles were last reported

	long *[longSteps]longStep
}

// opSet is a set of ops.
type opSet uint32

// All ops fit.
var _ = [1]struct{}{}[opText>>5]

func setOf(ops ...op) (set opSet) {
	for _, o := range ops {
		set |= 1 << o
	}
	return set
}

func (s opSet) has(o op) bool { return s>>o&1 != 0 }

// longStep is a step of the automaton over the long mapping of a character. A finder
// remembers some: so a text of such characters costs a step for each, and not one for
// each octet of its mapping.
type longStep struct {
	from, to int32
	char     rune
	ends     []int32 // the states in between at which needles end
}

// newFinder returns a finder for the needles of leaves, none of which is empty.
func newFinder(m *matcher, leaves []int) *finder {
	f := &finder{m: m}
	index := make(map[string]int, len(leaves))
	var needles []string
	for _, leaf := range leaves {
		text := m.leaves[leaf].text
		i, ok := index[text]
		if !ok {
			i = len(needles)
			index[text] = i
			needles = append(needles, text)
			f.leaves = append(f.leaves, nil)
		}
		f.leaves[i] = append(f.leaves[i], leaf)
	}
	f.auto = newAutomaton(needles)
	f.seen = make([]uint32, len(f.auto.states))
	return f
}

// begin turns to another text, which counts for leaves of ops. Its state is 0.
func (f *finder) begin(ops opSet) {
	f.ops = ops
	if f.round++; f.round == 0 {
		clear(f.seen)
		f.round = 1
	}
}

// run goes on with the current text, and returns the next state.
func (f *finder) run(s int32, text []byte) int32 {
	a := f.auto
	for i := 0; i < len(text); i++ {
		if s == 0 {
			for i < len(text) && a.root[text[i]] == 0 {
				i++
			}
			if i == len(text) {
				break
			}
			s = a.root[text[i]]
		} else {
			s = a.step(s, text[i])
		}
		if a.ends(s) {
			f.report(s)
		}
	}
	return s
}

// runLong goes on with a long mapping, which is one of few.
func (f *finder) runLong(s int32, long casemap.Long) int32 {
	if f.long == nil {
		f.long = new([longSteps]longStep)
	}
	step := &f.long[(uint32(s)*0x9e3779b1^uint32(long.Char)*0x85ebca6b)>>24%longSteps]
	if step.from != s || step.char != long.Char {
		*step = longStep{from: s, to: s, char: long.Char, ends: step.ends[:0]}
		for _, c := range []byte(long.Text) {
			if step.to = f.auto.step(step.to, c); f.auto.ends(step.to) {
				step.ends = append(step.ends, step.to)
			}
		}
	}
	for _, end := range step.ends {
		f.report(end)
	}
	return step.to
}

// report notes the needles that end in state s. What was reported for the current text
// is passed over, and with it all shorter ones: so all reports for one text together
// cost no more than the automaton has states.
func (f *finder) report(s int32) {
	for s != 0 && f.seen[s] != f.round {
		f.seen[s] = f.round
		st := &f.auto.states[s]
		if st.needle >= 0 {
			for _, leaf := range f.leaves[st.needle] {
				if f.ops.has(f.m.leaves[leaf].op) {
					f.m.found(leaf)
				}
			}
		}
		s = st.more
	}
}
