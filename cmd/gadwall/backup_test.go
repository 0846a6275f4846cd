package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
)

// mailLoad delivers messages over LMTP, of a size from nothing to some attachment chunks.
type mailLoad struct {
	mu    sync.Mutex
	sent  int
	acked []int
	grown sync.Cond // more was acknowledged, or a sender has ended
	done  bool
	wg    sync.WaitGroup
}

// loadMessage is message number n.
func loadMessage(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Subject: %d\r\nContent-Type: application/octet-stream\r\n\r\n", n)
	for i := range n % 12 * 250 {
		fmt.Fprintf(&b, "%x\r\n", sha256.Sum256(fmt.Appendf(nil, "%d/%d", n, i)))
	}
	return b.Bytes()
}

// startLoad starts three senders; rejected is called with what was not taken.
func startLoad(t *testing.T, addr string, rejected func(lmtpReply)) *mailLoad {
	t.Helper()
	l := &mailLoad{}
	l.grown.L = &l.mu
	for range 3 {
		client, err := dialLMTP(addr)
		if err != nil {
			t.Fatal(err)
		}
		l.wg.Go(func() {
			defer client.conn.Close()
			if err := l.send(client, rejected); err != nil {
				t.Errorf("LMTP: %v", err)
			}
			l.mu.Lock()
			l.done = true
			l.grown.Broadcast()
			l.mu.Unlock()
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *mailLoad) send(client *lmtpClient, rejected func(lmtpReply)) error {
	for {
		l.mu.Lock()
		n, done := l.sent, l.done
		l.sent++
		l.mu.Unlock()
		if done {
			return nil
		}
		results, err := client.deliver("", []string{"ada@example.com"}, bytes.NewReader(loadMessage(n)))
		if err != nil {
			return err
		}
		if results[0].reply.code != 250 {
			rejected(results[0].reply)
			continue
		}
		l.mu.Lock()
		l.acked = append(l.acked, n)
		l.grown.Broadcast()
		l.mu.Unlock()
	}
}

// acknowledged waits until there are so many acknowledged messages, and returns all of them.
func (l *mailLoad) acknowledged(atLeast int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acked) < atLeast && !l.done {
		l.grown.Wait()
	}
	return slices.Clone(l.acked)
}

func (l *mailLoad) stop() {
	l.mu.Lock()
	l.done = true
	l.mu.Unlock()
	l.wg.Wait()
}

// checkMail starts a server on a data directory and wants it to have these messages whole, and true
// counters.
func checkMail(t *testing.T, dir string, acked []int) {
	t.Helper()
	gadwall(t, "", nil, "check", "--database", "--data-dir", dir, "--log-level", "warn").want(t, 0, "clean: ")
	server := startServer(t, "--data-dir", dir)
	got := fetchAll(t, server.ports["IMAP"])
	for _, n := range acked {
		if !got[string(loadMessage(n))] {
			t.Errorf("message %d was acknowledged and is not there", n)
		}
	}
	server.stop(t)

	ctx := t.Context()
	store, err := node.Open(ctx, node.Options{
		Storage: config.Storage{DataDir: dir, MongoDBDatabase: "gadwall"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for user, err := range store.Mail.Users(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if err := checkCounters(ctx, store.Mail, user); err != nil {
			t.Error(err)
		}
	}
}

// checkCounters compares what is recorded of a user's mailboxes with what is in them, and the usage
// with both.
func checkCounters(ctx context.Context, store *mailstore.Store, user *mailstore.User) error {
	boxes, err := store.Mailboxes(ctx, user.ID)
	if err != nil {
		return err
	}
	messages, size := int64(0), int64(0)
	for _, box := range boxes {
		actual, recorded, err := store.Recount(ctx, box.Key, false)
		if err != nil {
			return err
		}
		if actual != recorded {
			return fmt.Errorf("%s: %+v recorded, %+v there", box.Path, recorded, actual)
		}
		messages += actual.Messages
		size += actual.Size
	}
	if user.Usage.Messages != messages || user.Usage.Bytes != size {
		return fmt.Errorf("%s: usage %+v, %d messages of %d octets there", user.Username, user.Usage, messages, size)
	}
	return nil
}

// fetchAll reads the INBOX of ada@example.com. The trace lines of delivery are cut off.
func fetchAll(t *testing.T, addr string) map[string]bool {
	t.Helper()
	client, err := imapclient.DialInsecure(addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Login("ada@example.com", "correct horse").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	section := &imap.FetchItemBodySection{Peek: true}
	messages, err := client.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).
		Collect()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, m := range messages {
		_, body, _ := strings.Cut(string(m.FindBodySection(section)), "Subject: ")
		got["Subject: "+body] = true
	}
	return got
}

// Backups taken while mail comes in hold what was acknowledged before; they are data directories.
func TestBackup(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	backups := t.TempDir()
	gadwall(t, "", env, "backup", backups).want(t, exitUsage, "no database in "+dir)
	gadwall(t, "", env, "backup", "--mongodb-uri", "mongodb://localhost", filepath.Join(backups, "x")).
		want(t, exitUsage, "mongodump")

	missing := filepath.Join(backups, "no", "today")
	gadwall(t, "", env, "backup", missing).want(t, exitUsage, "there is no directory "+filepath.Dir(missing))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gadwall(t, "", env, "backup", file).want(t, exitUsage, file+" is not a directory")
	gadwall(t, "", env, "backup", filepath.Join(file, "x")).want(t, exitUsage, file+" is not a directory")

	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	load := startLoad(t, server.ports["LMTP"], func(r lmtpReply) { t.Errorf("not taken: %v", r) })
	acked := map[string][]int{}
	for i := range 3 {
		to := filepath.Join(backups, fmt.Sprint(i))
		acked[to] = load.acknowledged(40 * (i + 1))
		gadwall(t, "", env, "backup", to).want(t, 0, "backup made: "+to)
	}
	gadwall(t, "", env, "backup", filepath.Join(backups, "0")).want(t, exitUsage, "not empty")
	load.stop()
	server.stop(t)
	last := filepath.Join(backups, "last")
	acked[last] = load.acknowledged(0)
	gadwall(t, "", env, "backup", last).want(t, 0)
	gadwall(t, "", env, "backup", last).want(t, exitUsage, "not empty")
	for to, list := range acked {
		checkMail(t, to, list)
	}
	checkMail(t, dir, acked[last])

	left, err := fs.Glob(os.DirFS(backups), "*.partial")
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}
