package acceptance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestSpamFilterLearns: a program in Python is told by a webhook what the user says is junk, and reads
// the messages. The server is killed in between.
func TestSpamFilterLearns(t *testing.T) {
	python, curl := tool(t, "python3"), tool(t, "curl")
	in, line := runProgram(t, python, "testdata/spam_filter.py")
	port := strings.TrimPrefix(line(), "port ")

	s := newServer(t)
	s.args = append(s.args, "--http-url", "http://"+s.http)
	s.start(t)
	s.createUser(t, testUser, testPassword)
	var made struct{ Secret string }
	answer := command(t, nil, nil, curl, "-sS", "-H", "Content-Type: application/json", "--data",
		fmt.Sprintf(`{"name":"filter","url":"http://127.0.0.1:%s/","kinds":["junk","not-junk"]}`, port),
		"http://"+s.http+"/webhooks")
	if err := json.Unmarshal([]byte(answer), &made); err != nil || made.Secret == "" {
		t.Fatalf("%s: %v", answer, err)
	}
	if _, err := fmt.Fprintln(in, made.Secret); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.deliver(t, fmt.Appendf(nil, "Subject: number %d\r\n\r\ntext\r\n", i))
	}
	c := s.login(t)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Move(imap.UIDSetNum(1), "Junk").Wait(); err != nil {
		t.Fatal(err)
	}
	flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$Junk"}}
	if err := c.Store(imap.UIDSetNum(2), flags, nil).Close(); err != nil {
		t.Fatal(err)
	}
	// What was acknowledged is sent, whatever becomes of the process.
	s.kill()
	s.start(t)
	var learnt []string
	learns := func(want ...string) {
		t.Helper()
		for len(want) > 0 {
			said := line()
			kind, first, _ := strings.Cut(said, " Return-Path: ")
			again, gone := strings.CutSuffix(said, " gone")
			switch i := slices.Index(want, kind); {
			case i >= 0 && first != "":
				want, learnt = slices.Delete(want, i, i+1), append(learnt, kind)
			// What came just before the kill may come again, also when the message has moved on.
			case slices.Contains(learnt, kind) && first != "", gone && slices.Contains(learnt, again):
			default:
				t.Fatalf("the program says %q, and is to learn %q", said, want)
			}
		}
	}
	learns("junk move", "junk keyword") // before the message moves on, and its source with it
	c = s.login(t)
	if _, err := c.Select("Junk", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Move(imap.UIDSetNum(1), "INBOX").Wait(); err != nil {
		t.Fatal(err)
	}
	learns("not-junk move")
}
