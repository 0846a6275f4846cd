package search

import (
	"strings"
	"testing"
)

func TestHeaderFields(t *testing.T) {
	header := "Subject: a\r\n b\r\nno field\r\n goes on\r\nTo : c\n: no name\n \tX: d\nLast:\r\n\r\nBody: no\r\n"
	want := []string{"Subject| a b", "|no field goes on", "To| c", "|: no name \tX: d", "Last|"}
	var got []string
	for name, value := range headerFields([]byte(header)) {
		got = append(got, name+"|"+value)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	for range headerFields([]byte(header)) {
		break // the iteration may be left
	}
}

// FuzzHeaderFields: whatever the header, no line of it is lost before the empty one.
func FuzzHeaderFields(f *testing.F) {
	f.Add([]byte("A: b\r\n c\r\nd\r\n\r\nbody"))
	f.Add([]byte(" x\n:\r\n\t\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		n := 0
		for name, value := range headerFields(header) {
			n += len(name) + len(value)
			if strings.Contains(name+value, "\n") {
				t.Fatalf("%q: a line end in %q: %q", header, name, value)
			}
		}
		if n > len(header) {
			t.Fatalf("%q: %d octets of fields", header, n)
		}
	})
}
