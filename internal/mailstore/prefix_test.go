package mailstore

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// split runs a message through a PrefixWriter in pieces.
func split(t interface{ Fatal(...any) }, message string, piece int) (prefix, content string) {
	var out bytes.Buffer
	p := NewPrefixWriter(&out)
	for b := []byte(message); len(b) > 0; {
		n := min(piece, len(b))
		if m, err := p.Write(b[:n]); err != nil || m != n {
			t.Fatal("Write:", m, err)
		}
		b = b[n:]
	}
	got, err := p.End()
	if err != nil {
		t.Fatal("End:", err)
	}
	return string(got), out.String()
}

func TestPrefixWriter(t *testing.T) {
	const (
		trace = "Return-Path: <a@example.com>\r\nDelivered-To: <b@example.com>\r\n" +
			"Received: from x ([192.0.2.1])\r\n\tby y (Gadwall) with LMTP id 1\r\n" +
			"\tfor <b@example.com>; Mon, 01 Jan 2024 00:00:00 +0000\r\n"
		hop     = "Received: from z by x; Mon, 01 Jan 2024 00:00:00 +0000\r\n"
		content = "Subject: x\r\n\r\nbody\r\n"
	)
	for _, c := range []struct{ name, prefix, content string }{
		{"ours", trace, hop + content},
		{"ours, no hop before", trace, content},
		{"others", "delivered-to: b\r\nRETURN-PATH: <a>\r\nX-Original-To: b\r\n", content},
		{"not delivered by it", "Return-Path: <a>\r\n", hop + content},
		{"none", "", content},
		{"only a hop", "", hop + content},
		{"trace later", "", content[:12] + trace + "\r\n"},
		{"nothing else", "", trace},
		{"no other field", "", trace + "\r\nbody"},
		{"bare LF", "", "Return-Path: <a>\nSubject: x\r\n\r\n"},
		{"bare LF within", "", "Return-Path: <a>\r\n b\n c\r\nSubject: x\r\n\r\n"},
		{"not a field", "", "Return-Path: <a>\r\nnonsense\r\n\r\n"},
		{"empty", "", ""},
		{"too long", "", "Return-Path: <" + strings.Repeat("a", MaxPrefixLength) + ">\r\n" + content},
		{"cut off", "", "Return-Path: <a>\r\nSubj"},
	} {
		for _, piece := range []int{1, 2, 7, 100, 1 << 20} {
			prefix, rest := split(t, c.prefix+c.content, piece)
			if prefix != c.prefix || rest != c.content {
				t.Errorf("%s, pieces of %d: prefix %q, content %q", c.name, piece, prefix, rest)
			}
		}
	}
}

func TestPrefixWriterLosesNothing(t *testing.T) {
	parts := []string{"Return-Path: <a>\r\n", "Delivered-To: b\r\n", "Received: x\r\n",
		"\tmore\r\n", "Subject: y\r\n", "\r\n", "\n", "\r", ":", " ", "text"}
	rapid.Check(t, func(t *rapid.T) {
		message := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 12).Draw(t, "parts"), "")
		prefix, content := split(t, message, rapid.IntRange(1, 50).Draw(t, "piece"))
		if prefix+content != message {
			t.Fatalf("%q became %q and %q", message, prefix, content)
		}
		if whole, _ := split(t, message, len(message)+1); whole != prefix {
			t.Fatalf("prefix %q, as a whole %q", prefix, whole)
		}
		if prefix != "" && (!strings.HasSuffix(prefix, "\r\n") || len(prefix) > MaxPrefixLength) {
			t.Fatalf("prefix %q", prefix)
		}
	})
}
