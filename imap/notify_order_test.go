package imap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
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
		{"past a rename above", "a a/x/z", "a/x/z>t a>d t>a/x/z", `d<a d/x/z- a/x/z a/x/z!`},
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

// namesOf are mailboxes by their names. The values tell mailboxes apart.
type namesOf map[string]string

// renamed takes a name, and those below, to another name, as RENAME and OLDNAME do.
func (n namesOf) renamed(from, to string) {
	moved := make(namesOf)
	for name, box := range n {
		if name == from || strings.HasPrefix(name, from+"/") {
			delete(n, name)
			moved[to+name[len(from):]] = box
		}
	}
	maps.Copy(n, moved)
}

// apply does what a client does with a line that NOTIFY sent.
func (n namesOf) apply(t interface{ Fatalf(string, ...any) }, line string) {
	if status, ok := strings.CutPrefix(line, "* STATUS "); ok {
		name, items, _ := strings.Cut(status, " ")
		if _, validity, ok := strings.Cut(items, "UIDVALIDITY "); ok {
			if _, known := n[name]; !known {
				t.Fatalf("%q of a name that the client does not know", line)
			}
			n[name] = strings.TrimRight(strings.Fields(validity)[0], ")")
		}
		return
	}
	_, listed, ok := strings.Cut(line, ` "/" `)
	if !ok {
		t.Fatalf("told %q", line)
	}
	name, old, renamed := strings.Cut(listed, ` ("OLDNAME" (`)
	switch {
	case renamed:
		n.renamed(strings.TrimSuffix(old, "))"), name)
	case strings.Contains(line, `\NonExistent`):
		delete(n, name)
	case n[name] == "":
		n[name] = "" // a new one: the client learns of its UIDVALIDITY when it selects the mailbox
	}
}

// However mailboxes are created, renamed and deleted between two looks, a client that applies what it is
// told ends with the names that there are, and takes no mailbox for another one.
func TestNotifyTellsAnyRenames(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, func(o *Options) { o.PollInterval = time.Hour })
	s.notifyPause = time.Hour
	watcher, c := s.login(t), s.login(t)
	top := 0
	rapid.Check(t, func(t *rapid.T) {
		top++
		under := fmt.Sprintf("t%d", top) // so that each run has names of its own
		names := rapid.SampledFrom([]string{"a", "b", "c", "a/x", "a/y", "b/x", "b/x/z", "c/x", "a/x/z", "d"})
		there := func() namesOf {
			n := make(namesOf)
			lines, _ := c.ok("LIST \"\" %s/* RETURN (STATUS (UIDVALIDITY))", under)
			for _, line := range lines {
				if status, ok := strings.CutPrefix(line, "* STATUS "); ok {
					name, validity, _ := strings.Cut(strings.TrimSuffix(status, ")"), " (UIDVALIDITY ")
					n[name] = validity
				}
			}
			return n
		}
		for range rapid.IntRange(1, 5).Draw(t, "mailboxes") {
			c.do("CREATE %s/%s", under, names.Draw(t, "name"))
		}
		watcher.ok("NOTIFY SET (SUBTREE %s (MessageNew MessageExpunge MailboxName))", under)
		client := there()
		before := maps.Clone(client)
		var steps []string
		for range rapid.IntRange(1, 7).Draw(t, "steps") {
			name := names.Draw(t, "name")
			step := fmt.Sprintf("CREATE %s/%s", under, name)
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
			case 1:
				step = fmt.Sprintf("DELETE %s/%s", under, name)
			default:
				step = fmt.Sprintf("RENAME %s/%s %s/%s", under, name, under, names.Draw(t, "to"))
			}
			if _, tagged := c.do("%s", step); strings.HasPrefix(tagged, "OK") {
				steps = append(steps, step)
			}
		}
		lines, _ := watcher.ok("NOOP")
		for _, line := range lines {
			client.apply(t, line)
		}
		now := there()
		for name, box := range client {
			if want, exists := now[name]; !exists || box != "" && box != want {
				t.Fatalf("%s is %q for the client, and %q\nof %v\n%s\n%s", name, box, want, before,
					strings.Join(steps, "\n"), strings.Join(lines, "\n"))
			}
		}
		for name := range now {
			if _, known := client[name]; !known {
				t.Fatalf("the client does not know %s\nof %v\n%s\n%s", name, before,
					strings.Join(steps, "\n"), strings.Join(lines, "\n"))
			}
		}
	})
}
