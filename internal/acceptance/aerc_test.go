package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gadwall/internal/imapconn"
)

// TestAerc types into the mail program aerc: it flags a message and moves it to another mailbox.
func TestAerc(t *testing.T) {
	aerc, script := tool(t, "aerc"), tool(t, "script")
	s := startServer(t)
	const subject = "quarterlyfigures"
	s.deliver(t, []byte("From: ann@example.com\r\nSubject: "+subject+"\r\n\r\ntext\r\n"))
	home := t.TempDir()
	account := fmt.Sprintf("[test]\nsource = imap+insecure://%s:%s@%s\ndefault = INBOX\nfrom = <%s>\n",
		url.QueryEscape(testUser), url.PathEscape(testPassword), s.imap, testUser)
	writeFile(t, filepath.Join(home, ".config", "aerc", "accounts.conf"), account)

	watcher, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	must := func(command string) []string {
		t.Helper()
		untagged, err := watcher.Must("%s", command)
		if err != nil {
			t.Fatal(err)
		}
		return untagged
	}
	must("SELECT Archive")

	// aerc wants a terminal: script(1) gives it one.
	ctx, cancel := context.WithTimeout(t.Context(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, "-qefc", "stty cols 100 rows 30; exec "+aerc, "/dev/null")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"),
		"XDG_CACHE_HOME="+filepath.Join(home, ".cache"), "XDG_RUNTIME_DIR="+home, "TERM=xterm")
	cmd.WaitDelay = time.Second
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen := &awaited{text: []byte(subject), seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = screen, screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	press := func(text string) {
		t.Helper()
		if _, err := keys.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-screen.seen:
	case err := <-ended:
		t.Fatalf("aerc ended: %v\n%q", err, screen.all.Bytes())
	}
	press(":flag\r:mv Archive\r")
	tag, err := watcher.Begin("IDLE")
	for line := ""; line != "* 1 EXISTS" && err == nil; {
		line, err = watcher.Response()
	}
	if err == nil {
		err = watcher.Send("DONE\r\n")
	}
	if err == nil {
		_, _, err = watcher.Finish(tag)
	}
	if err != nil {
		t.Fatal(err)
	}
	press(":quit\r")
	if err := <-ended; err != nil {
		t.Errorf("aerc: %v", err)
	}
	if got := strings.Join(must("FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])"), "\n"); !strings.Contains(got,
		`\Flagged`) || !strings.Contains(got, subject) {
		t.Errorf("in Archive: %s", got)
	}
	if got := strings.Join(must("EXAMINE INBOX"), "\n"); !strings.Contains(got, "* 0 EXISTS") {
		t.Errorf("INBOX: %s", got)
	}
}

// awaited takes what a program writes to its terminal and closes seen when the text is there.
type awaited struct {
	text []byte
	seen chan struct{}
	all  bytes.Buffer // safe to read when the program has ended
	done bool
}

func (a *awaited) Write(p []byte) (int, error) {
	a.all.Write(p)
	if !a.done && bytes.Contains(a.all.Bytes(), a.text) {
		a.done = true
		close(a.seen)
	}
	return len(p), nil
}
