package imap

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// However mailboxes were renamed between two looks, a client that follows OLDNAME ends with the
// names that there are.
func TestNotifyOrdersRenames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, create, rename, told string }{
		{"to an old name", "a c", "a>b c>a", `b<a a<c`},
		{"a chain", "a b c", "c>d b>c a>b", `d<c c<b b<a`},
		{"from below", "a a/x", "a>b b/x>c", `c<a/x b<a`},
		{"to below", "a c a/x", "a>b c>a/y", `b<a a/y<c`},
		{"a new one", "a", "a>b +a", `b<a a a!`},
		{"exchanged", "a b", "a>t b>a t>b", `a b a! b!`},
		{"exchanged above", "a b a/x", "a>t b>a t>b", `b/x<a/x a b a! b!`},
		{"exchanged by three", "a b c", "a>t b>a c>b t>c", `a b c a! b! c!`},
		{"deleted below", "a a/x", "-a/x a>b", `a/x- b<a a-`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestServer(t, func(o *Options) { o.PollInterval = time.Hour })
			s.notifyPause = time.Hour
			watcher, c := s.login(t), s.login(t)
			for _, name := range strings.Fields(tt.create) {
				c.ok("CREATE %s", name)
			}
			watcher.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName))")
			for _, step := range strings.Fields(tt.rename) {
				from, to, renamed := strings.Cut(step, ">")
				switch {
				case renamed:
					c.ok("RENAME %s %s", from, to)
				case step[0] == '+':
					c.ok("CREATE %s", step[1:])
				default:
					c.ok("DELETE %s", step[1:])
				}
			}
			var told []string
			lines, _ := watcher.ok("NOOP")
			for _, line := range lines {
				name, isStatus := strings.CutPrefix(line, "* STATUS ")
				_, listed, _ := strings.Cut(line, ` "/" `)
				listed, old, renamed := strings.Cut(listed, ` ("OLDNAME" (`)
				switch {
				case isStatus:
					name, items, _ := strings.Cut(name, " ")
					if !strings.Contains(items, "MESSAGES 0 UIDNEXT 1 UIDVALIDITY ") {
						t.Errorf("told %q", line)
					}
					told = append(told, name+"!")
				case renamed:
					told = append(told, listed+"<"+strings.TrimSuffix(old, "))"))
				case strings.Contains(line, `\NonExistent`):
					told = append(told, listed+"-")
				default:
					told = append(told, listed)
				}
			}
			if want := strings.Fields(tt.told); !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}
