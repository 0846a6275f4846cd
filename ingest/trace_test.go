package ingest

import (
	"net"
	"strings"
	"testing"
	"time"

	"gadwall/internal/mailpath"

	"github.com/google/go-cmp/cmp"
)

func TestTrace(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	tr := trace{
		helo: "client.example", remote: &net.TCPAddr{IP: net.ParseIP("2001:db8::1")},
		host: "mx.example.com", with: "UTF8LMTPS", id: "ABC",
	}
	want := "Return-Path: <\"gr ace\"@example.net>\r\n" +
		"Delivered-To: <ada@example.com>\r\n" +
		"Received: from client.example ([IPv6:2001:db8::1])\r\n" +
		"\tby mx.example.com (Gadwall) with UTF8LMTPS id ABC\r\n" +
		"\tfor <ada@example.com>; Sun, 01 Mar 2026 11:00:00 +0000\r\n"
	if diff := cmp.Diff(want, string(tr.prefix("gr ace@example.net", "ada@example.com", now))); diff != "" {
		t.Error(diff)
	}
}

func TestHeloName(t *testing.T) {
	for helo, want := range map[string]string{
		"mx.example.com": "mx.example.com", "[127.0.0.1]": "[127.0.0.1]", "[IPv6:::1]": "[IPv6:::1]", "": "unknown",
		"a(b": "unknown", "a\tb": "unknown", "bücher.example": "unknown", "my_host": "my_host",
	} {
		if got := heloName(helo); got != want {
			t.Errorf("%q: %q, want %q", helo, got, want)
		}
	}
}

func TestProtocolName(t *testing.T) {
	for _, tt := range []struct {
		session session
		want    string
	}{
		{session{}, "SMTP"},
		{session{extended: true}, "ESMTP"},
		{session{extended: true, tls: true}, "ESMTPS"},
		{session{extended: true, tls: true, auth: true}, "ESMTPSA"},
		{session{extended: true, auth: true}, "ESMTPA"},
		{session{extended: true, tls: true, utf8: true}, "UTF8SMTPS"},
		{session{lmtp: true, extended: true}, "LMTP"},
		{session{lmtp: true, extended: true, tls: true, utf8: true}, "UTF8LMTPS"},
	} {
		if got := protocolName(tt.session); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// Whatever address passes mailpath.Check makes trace lines that are lines: printable,
// without a line end of their own, within what RFC 5321 section 4.5.3.1.6 and RFC 5322 section 2.1.1 allow.
func FuzzTraceLines(f *testing.F) {
	f.Add("grace@example.net", "client.example")
	f.Add("a\\\"b@x@example.net", "[::1]")
	f.Fuzz(func(t *testing.T, address, helo string) {
		if mailpath.Check(address, true) != nil || len(helo) > maxHelo {
			return
		}
		tr := trace{helo: helo, host: "mx.example.com", with: "LMTP", id: "ABC"}
		prefix := string(tr.prefix(address, address, time.Unix(0, 0)))
		lines := strings.Split(prefix, "\r\n")
		if len(lines) != 6 || lines[5] != "" {
			t.Fatalf("%q: not five lines", prefix)
		}
		for _, line := range lines {
			if len(line) > 2*mailpath.MaxLength+maxHelo || hasControl(line) {
				t.Fatalf("line %q", line)
			}
		}
	})
}
