package stored

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes a file below a directory.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// all are the messages at a path, with their senders.
func all(t *testing.T, path string) (list []string) {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range m.Len() {
		message, err := m.Message(n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, message.From+": "+string(message.Raw))
	}
	return list
}

func TestMbox(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 100_000)
	write(t, dir, "mbox", "From a@example.com Thu Jan  1 00:00:00 1970\nSubject: a\n\n>From here\n>>From there\n"+
		"no\nFrom the middle\n\nFrom MAILER-DAEMON x\nSubject: b\n\n"+long+"\nFrom \n\x00end\n\n"+
		"From c@example.com x\r\nSubject: c\r\n\r\nlast\r\n\r\n")
	want := []string{
		"a@example.com: Subject: a\r\n\r\nFrom here\r\n>From there\r\nno\r\nFrom the middle\r\n",
		noSender + ": Subject: b\r\n\r\n" + long + "\r\nFrom \r\nend\r\n",
		"c@example.com: Subject: c\r\n\r\nlast\r\n",
	}
	if diff := cmp.Diff(want, all(t, filepath.Join(dir, "mbox"))); diff != "" {
		t.Error(diff)
	}
	m, err := Open(filepath.Join(dir, "mbox"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Message(5); err != nil || again.From != "c@example.com" {
		t.Errorf("the message after the last one but two: %+v, %v", again, err)
	}
}

func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "cur/1:2,S", "Subject: one\n\nx\n")
	write(t, dir, "new/2", "Subject: two\n\nx\ry")
	write(t, dir, "tmp/3", "Subject: not whole\n")
	write(t, dir, "dovecot-uidlist", "3 V1\n")
	write(t, dir, ".Sent/cur/4", "Subject: four\r\n\r\nx\r\n")
	write(t, dir, ".Sent/new/empty", "")
	want := []string{noSender + ": Subject: four\r\n\r\nx\r\n", noSender + ": Subject: one\r\n\r\nx\r\n",
		noSender + ": Subject: two\r\n\r\nx\r\ny\r\n"}
	if diff := cmp.Diff(want, all(t, dir)); diff != "" {
		t.Error(diff)
	}
	plain := t.TempDir()
	write(t, plain, "a.eml", "Subject: a\r\n\r\n")
	write(t, plain, "sub/b.mbox", "From x\nSubject: b\n\n\nFrom y\nSubject: c\n\n")
	if list := all(t, plain); len(list) != 3 {
		t.Errorf("%q", list)
	}
	for _, path := range []string{t.TempDir(), filepath.Join(plain, "none")} {
		if _, err := Open(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func FuzzMbox(f *testing.F) {
	f.Add("From a\nSubject: a\n\n>From\n\nFrom b\n\x00\r\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, []byte("From x\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(path)
		if err != nil {
			return
		}
		for n := range m.Len() {
			message, err := m.Message(n)
			if err != nil {
				t.Fatal(err)
			}
			bare := strings.ReplaceAll(string(message.Raw), "\r\n", "")
			if strings.ContainsAny(bare, "\r\n\x00") {
				t.Errorf("message %d: %q", n, message.Raw)
			}
		}
	})
}
