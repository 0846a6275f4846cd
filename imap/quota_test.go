package imap

import (
	"strings"
	"testing"

	"gadwall/quota"
)

// TestQuota plays a session (RFC 9208) of a user who may have 3,000 octets in 3 messages.
func TestQuota(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	limit := func(l quota.Limits) {
		t.Helper()
		if err := srv.store.SetLimits(t.Context(), srv.user.ID, l); err != nil {
			t.Fatal(err)
		}
	}
	limit(quota.Limits{Bytes: 3000, Messages: 3})
	c := srv.login(t)
	for _, tt := range []struct{ command, want string }{
		{`GETQUOTAROOT INBOX`, `* QUOTAROOT INBOX "User quota"|* QUOTA "User quota" (STORAGE 0 3 MESSAGE 0 3)|OK GETQUOTAROOT completed`},
		{"APPEND INBOX {14+}\r\nSubject: 1\r\n\r\n", `OK [APPENDUID * 1] APPEND completed`},
		{`GETQUOTA "User quota"`, `* QUOTA "User quota" (STORAGE 1 3 MESSAGE 1 3)|OK GETQUOTA completed`},
		{`GETQUOTA ""`, `NO [NONEXISTENT] No such quota root`},
		{`GETQUOTA`, `BAD *`},
		{`GETQUOTAROOT nowhere`, `* QUOTAROOT nowhere "User quota"|* QUOTA "User quota" (STORAGE 1 3 MESSAGE 1 3)|OK GETQUOTAROOT completed`},
		{`SETQUOTA "User quota" (STORAGE 100000 MESSAGE 5)`, `NO [NOPERM] Limits cannot be set here`},
		{`SETQUOTA "User quota" ()`, `NO [NOPERM] Limits cannot be set here`},
		{`SETQUOTA "User quota" (STORAGE)`, `BAD *`},
		{"APPEND INBOX {3000+}\r\n" + strings.Repeat("x", 3000), `NO [OVERQUOTA] Quota exceeded: 1 of 3 KiB and 1 of 3 messages are in use`},
		{`GETQUOTA "User quota"`, `* QUOTA "User quota" (STORAGE 1 3 MESSAGE 1 3)|OK GETQUOTA completed`},
		{`SELECT INBOX`, ``},
		// The message that goes makes room for the one that comes (RFC 8508 section 3.4).
		{"APPEND Drafts {2000+}\r\n" + strings.Repeat("x", 2000), `OK [APPENDUID * 1] APPEND completed`},
		{`SELECT Drafts`, ``},
		{"REPLACE 1 Drafts {2500}\r\n" + strings.Repeat("y", 2500),
			`+ OK|* OK [APPENDUID * 2] Replacement is stored|* 1 EXPUNGE|* 1 EXISTS|OK REPLACE completed`},
		{"REPLACE 1 Drafts {3000+}\r\n" + strings.Repeat("z", 3000), `NO [OVERQUOTA] Quota exceeded: 3 of 3 KiB and 2 of 3 messages are in use`},
		{`STORE 1 +FLAGS.SILENT (\Deleted)`, `OK STORE completed`},
		{`CLOSE`, `OK CLOSE completed`},
		{`SELECT INBOX`, ``},
		{`COPY 1 INBOX`, `* 2 EXISTS|OK [COPYUID * 1 2] COPY completed`},
		{`COPY 1 INBOX`, `* 3 EXISTS|OK [COPYUID * 1 3] COPY completed`},
		{`COPY 1 INBOX`, `NO [OVERQUOTA] Quota exceeded: 1 of 3 KiB and 3 of 3 messages are in use`},
		{`STORE 1:2 +FLAGS.SILENT (\Deleted)`, `OK STORE completed`},
		{`STATUS INBOX (MESSAGES DELETED DELETED-STORAGE SIZE)`, `* STATUS INBOX (MESSAGES 3 DELETED 2 DELETED-STORAGE 28 SIZE 42)|OK STATUS completed`},
		// Moving takes no room where there is none.
		{`MOVE 3 INBOX`, `* OK [COPYUID * 3 4] Moved|* 3 EXPUNGE|* 3 EXISTS|OK MOVE completed`},
		{`EXPUNGE`, `* 2 EXPUNGE|* 1 EXPUNGE|OK EXPUNGE completed`},
		{`GETQUOTA "User quota"`, `* QUOTA "User quota" (STORAGE 1 3 MESSAGE 1 3)|OK GETQUOTA completed`},
	} {
		untagged, status := c.do("%s", tt.command)
		if got := strings.Join(append(untagged, status), "|"); tt.want != "" && !matches(tt.want, got) {
			t.Errorf("%.60q: %s\nwant %s", tt.command, got, tt.want)
		}
	}
	for _, tt := range []struct {
		limits quota.Limits
		want   string
	}{
		{quota.Limits{Bytes: 10}, `(STORAGE 1 1)`}, // 14 octets of 10: nothing below a unit can be told
		{quota.Limits{Bytes: 1025, Messages: quota.Unlimited}, `(STORAGE 1 2)`},
		{quota.Limits{Bytes: quota.Unlimited, Messages: 1}, `(MESSAGE 1 1)`},
		{quota.Limits{}, `()`},
	} {
		limit(tt.limits)
		untagged, _ := c.ok(`GETQUOTA "User quota"`)
		if got, want := strings.Join(untagged, "|"), `* QUOTA "User quota" `+tt.want; got != want {
			t.Errorf("%+v: %s, want %s", tt.limits, got, want)
		}
	}
}

// matches compares with a pattern in which * stands for any characters but is itself where it begins a line.
func matches(pattern, s string) bool {
	p, rest := strings.ReplaceAll("|"+pattern, "|* ", "|\x00 "), strings.ReplaceAll("|"+s, "|* ", "|\x00 ")
	parts := strings.Split(p, "*")
	if !strings.HasPrefix(rest, parts[0]) {
		return false
	}
	rest = rest[len(parts[0]):]
	for _, part := range parts[1:] {
		if part == "" {
			return true
		}
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			return false
		}
		rest = after
	}
	return rest == ""
}
