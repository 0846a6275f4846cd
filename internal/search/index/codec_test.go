package index

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawVector(t *rapid.T, n int) vector {
	v := newVector(n)
	if rapid.Bool().Draw(t, "few") {
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 20).Draw(t, "set") {
			v.set(i)
		}
	} else {
		every := rapid.IntRange(1, 40).Draw(t, "every")
		for i := rapid.IntRange(0, n-1).Draw(t, "first"); i < n; i += every {
			v.set(i)
		}
	}
	if rapid.Bool().Draw(t, "inverted") {
		full := newVector(n)
		full.fill(n)
		for i := range v {
			v[i] ^= full[i]
		}
	}
	return v
}

// What is written is read, whatever the bits.
func TestVectorForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 63, 64, 65, 1000, blockRows, bitCount}).Draw(t, "n")
		v := drawVector(t, n)
		form := appendVector([]byte("x"), v, n)[1:]
		got := newVector(n)
		got.fill(n)
		if err := readVector(got, n, form); err != nil || !slices.Equal(got, v) {
			t.Fatalf("%d bits: %v, %v", n, err, form)
		}
		for cut := range form {
			if err := readVector(got, n, form[:cut]); err == nil && !slices.Equal(got, v) {
				t.Fatalf("cut at %d of %d: read as another", cut, len(form))
			}
		}
	})
}

// A form takes little more than its entropy.
func TestVectorSize(t *testing.T) {
	v := newVector(bitCount)
	seed := uint32(1)
	for i := range bitCount {
		if seed = seed*1664525 + 1013904223; seed>>8%100 == 0 {
			v.set(i)
		}
	}
	p := float64(v.count()) / bitCount
	entropy := (-p*math.Log2(p) - (1-p)*math.Log2(1-p)) * bitCount / 8
	if form := appendVector(nil, v, bitCount); float64(len(form)) > entropy*1.1 {
		t.Errorf("%d octets for %d of %d bits", len(form), v.count(), bitCount)
	}
}

func FuzzVector(f *testing.F) {
	f.Add(100, []byte{3, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, n int, form []byte) {
		n = 1 + int(uint(n)%bitCount)
		v := newVector(n)
		if readVector(v, n, form) != nil {
			return
		}
		again := newVector(n)
		if err := readVector(again, n, appendVector(nil, v, n)); err != nil || !slices.Equal(v, again) {
			t.Fatal(err)
		}
	})
}

func FuzzGroup(f *testing.F) {
	f.Add(appendGroup(nil, []vector{{1}, {5}}, 10))
	f.Fuzz(func(t *testing.T, data []byte) {
		v := newVector(100)
		_ = eachColumn(data, func(i int, form []byte) error { return readVector(v, 100, form) })
	})
}

func TestNumbersForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.OneOf(rapid.Uint64Range(1, 200), rapid.Uint64Range(1, 1<<60)), 1, 100,
			func(n uint64) uint64 { return n }).Draw(t, "numbers")
		slices.Sort(set)
		form := appendNumbers(nil, set)
		runs, err := readRuns(form, len(set))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range runs {
			for i := range r.count {
				got = append(got, r.first+uint64(i))
			}
		}
		if !slices.Equal(got, set) {
			t.Fatalf("%v, want %v", got, set)
		}
		b := block{runs: runs, count: len(set)}
		for _, n := range append(set, rapid.Uint64Range(0, 300).Draw(t, "other")) {
			if _, want := slices.BinarySearch(set, n); b.has(n) != want || b.overlaps([]uint64{n}) != want {
				t.Fatalf("%d of %v", n, set)
			}
		}
		if _, err := readRuns(form, len(set)+1); err == nil {
			t.Fatal("another count is taken")
		}
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, 8)
	f.Fuzz(func(t *testing.T, form []byte, n int) {
		runs, err := readRuns(form, n)
		last := uint64(0)
		for _, r := range runs {
			if err == nil && (r.count < 1 || r.first < last) {
				t.Fatal(runs)
			}
			last = r.first + uint64(r.count)
		}
	})
}

// The candidates of a block exclude its other numbers, wherever the words of both begin.
func TestExcludedBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var runs []run
		n, next := 0, uint64(0)
		for range rapid.IntRange(1, 5).Draw(t, "runs") {
			first := next + rapid.Uint64Range(1, 3*pageNumbers).Draw(t, "gap")
			count := rapid.IntRange(1, 300).Draw(t, "count")
			runs = append(runs, run{first, count})
			next, n = first+uint64(count), n+count
		}
		v := drawVector(t, n)
		e := new(Excluded)
		e.addBlock(runs, v)
		at := 0
		for _, r := range runs {
			for i := range r.count {
				if e.Has(r.first+uint64(i)) == v.has(at) {
					t.Fatalf("number %d, candidate %v", r.first+uint64(i), v.has(at))
				}
				at++
			}
			if e.Has(r.first-1) && !slices.ContainsFunc(runs,
				func(o run) bool { return o.first+uint64(o.count) == r.first }) {
				t.Fatalf("%d is excluded", r.first-1)
			}
		}
		if e.Len() != n-v.count() {
			t.Fatalf("%d excluded, want %d", e.Len(), n-v.count())
		}
	})
}

func TestSealed(t *testing.T) {
	s := sealed([]byte("key"), []byte("data"))
	if got, err := opened([]byte("key"), s); err != nil || !bytes.Equal(got, []byte("data")) {
		t.Fatal(got, err)
	}
	for _, bad := range [][]byte{nil, s[:3], s[:len(s)-1], append(bytes.Clone(s), 0),
		append([]byte{s[0] ^ 1}, s[1:]...)} {
		if _, err := opened([]byte("key"), bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if _, err := opened([]byte("kez"), s); err == nil {
		t.Error("data of another key is taken")
	}
}

func BenchmarkReadVector(b *testing.B) {
	v := newVector(bitCount)
	seed := uint32(1)
	for i := range bitCount {
		if seed = seed*1664525 + 1013904223; seed>>8%100 < 25 {
			v.set(i)
		}
	}
	form := appendVector(nil, v, bitCount)
	b.SetBytes(int64(len(form)))
	for b.Loop() {
		if err := readVector(v, bitCount, form); err != nil {
			b.Fatal(err)
		}
	}
}
