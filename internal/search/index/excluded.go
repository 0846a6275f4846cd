package index

import "math/bits"

// pageNumbers is how many numbers a page of Excluded is for.
const pageNumbers = 1 << 15

// Excluded is the numbers of the mails that a search need not read. The zero value has none.
type Excluded struct {
	pages map[uint64]*[pageNumbers / 64]uint64
	last  *[pageNumbers / 64]uint64
	at    uint64
}

// Has reports whether the mail with this number is excluded.
func (e *Excluded) Has(number uint64) bool {
	page := e.page(number, false)
	return page != nil && page[number%pageNumbers/64]>>(number%64)&1 != 0
}

func (e *Excluded) page(number uint64, create bool) *[pageNumbers / 64]uint64 {
	at := number / pageNumbers
	if e.last != nil && e.at == at {
		return e.last
	}
	page := e.pages[at]
	if page == nil {
		if !create {
			return nil
		}
		if e.pages == nil {
			e.pages = make(map[uint64]*[pageNumbers / 64]uint64)
		}
		page = new([pageNumbers / 64]uint64)
		e.pages[at] = page
	}
	e.last, e.at = page, at
	return page
}

func (e *Excluded) add(number uint64) {
	page := e.page(number, true)
	page[number%pageNumbers/64] |= 1 << (number % 64)
}

// addBlock adds the numbers of a block that are no candidates.
func (e *Excluded) addBlock(runs []run, candidates vector) {
	at := 0
	for _, r := range runs {
		for i := 0; i < r.count; {
			n := r.first + uint64(i)
			// up to the end of a word of the page and of the candidates
			k := min(r.count-i, 64-int(n%64), 64-at%64)
			word := ^candidates[at/64] >> (at % 64)
			if k < 64 {
				word &= 1<<k - 1
			}
			if word != 0 {
				e.page(n, true)[n%pageNumbers/64] |= word << (n % 64)
			}
			i, at = i+k, at+k
		}
	}
}

// Len returns how many numbers are excluded.
func (e *Excluded) Len() int {
	n := 0
	for _, page := range e.pages {
		for _, word := range page {
			n += bits.OnesCount64(word)
		}
	}
	return n
}
