package bench

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"
)

// A source is the source of chance of one thing. The name of the thing is part of the seed, so that
// each thing can be made without the others.
type source struct{ *rand.Rand }

func newSource(seed uint64, purpose string, numbers ...int) source {
	h := uint64(14695981039346656037)
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	for _, n := range numbers {
		h = (h ^ uint64(n)) * 1099511628211
		h ^= h >> 29
	}
	return source{rand.New(rand.NewPCG(seed, h))}
}

func (s source) chance(percent int) bool { return s.IntN(100) < percent }

func pick[T any](s source, list []T) T { return list[s.IntN(len(list))] }

// often picks with Zipf's law: the first much more often than the last.
func often[T any](s source, list []T) T {
	return list[int(math.Pow(float64(len(list)), s.Float64()))-1]
}

// weighted returns an index, with the given weights.
func (s source) weighted(weights []int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n := s.IntN(sum)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// around returns a log-normal size, as sizes of files and texts are: half of the results are below
// the median, half above.
func (s source) around(median int, sigma float64, most int) int {
	return min(most, 1+int(float64(median)*math.Exp(sigma*s.NormFloat64())))
}

// bytes returns n bytes that do not compress.
func (s source) bytes(n int) []byte {
	out := make([]byte, (n+7)&^7)
	for i := 0; i < len(out); i += 8 {
		binary.LittleEndian.PutUint64(out[i:], s.Uint64())
	}
	return out[:n]
}

// token returns n characters of base64url, hex n hexadecimal digits, b64 the base64 of n bytes:
// what servers and mail programs make of random numbers and signatures.
func (s source) token(n int) string {
	return base64.RawURLEncoding.EncodeToString(s.bytes(n))[:n]
}

func (s source) hex(n int) string { return hex.EncodeToString(s.bytes((n + 1) / 2))[:n] }

func (s source) b64(n int) string { return base64.StdEncoding.EncodeToString(s.bytes(n)) }

func (s source) digits(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte('0' + byte(s.IntN(10)))
	}
	return b.String()
}
