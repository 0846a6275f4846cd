package events

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// within bounds every wait for something that must happen.
const within = time.Minute

// redisServer is Debian's redis-server on a unix socket.
type redisServer struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
}

func newRedisServer(t *testing.T) *redisServer {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{t: t, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		r.kill()
		os.RemoveAll(dir)
	})
	r.start()
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	r.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", r.socket, "--save", "",
		"--appendonly", "no", "--dir", filepath.Dir(r.socket))
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	c := SocketClient(r.socket)
	defer c.Close()
	eventually(r.t, "redis-server answers", func() bool { return c.Ping(context.Background()).Err() == nil })
}

func (r *redisServer) kill() {
	if r.cmd != nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *redisServer) bus() *Redis {
	c := SocketClient(r.socket)
	b := NewRedis(c, slog.New(slog.DiscardHandler))
	r.t.Cleanup(func() {
		b.Close()
		c.Close()
	})
	return b
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// expect receives until an event of the kind arrives.
func expect(t *testing.T, s *Subscription, kind Kind) Event {
	t.Helper()
	timeout := time.After(within)
	for {
		select {
		case ev, ok := <-s.C():
			if !ok {
				t.Fatalf("closed while waiting for %v", kind)
			}
			if ev.Kind == kind {
				return ev
			}
		case <-timeout:
			t.Fatalf("no %v within %v", kind, within)
		}
	}
}

func TestRedisBetweenInstances(t *testing.T) {
	r := newRedisServer(t)
	one, two := r.bus(), r.bus()
	s := two.Subscribe(ada)
	other := two.Subscribe(bob)
	expect(t, s, Resync) // the channel is confirmed
	expect(t, other, Resync)

	one.Publish(t.Context(), Event{User: ada, Mailbox: 4, ModSeq: 10, Kind: New, UIDs: []uint32{7}})
	ev := expect(t, s, New)
	if ev.User != ada || ev.Mailbox != 4 || ev.ModSeq != 10 || len(ev.UIDs) != 1 || ev.UIDs[0] != 7 {
		t.Errorf("received %+v", ev)
	}
	level := QuotaLevel{Resource: "STORAGE", Level: 80, Usage: 85, Limit: 100}
	one.Publish(t.Context(), Event{User: ada, Kind: Quota, Quota: &level})
	if ev := expect(t, s, Quota); ev.Mailbox != 0 || ev.Quota == nil || *ev.Quota != level {
		t.Errorf("received %+v", ev)
	}
	if evs := drain(other); evs != nil {
		t.Errorf("another user received %v", evs)
	}

	// The publisher's own subscribers hear it once, not again through Redis.
	own := one.Subscribe(ada)
	expect(t, own, Resync)
	one.Publish(t.Context(), Event{User: ada, Mailbox: 1, Kind: New})
	two.Publish(t.Context(), Event{User: ada, Mailbox: 2, Kind: New})
	if first, second := expect(t, own, New), expect(t, own, New); first.Mailbox != 1 || second.Mailbox != 2 {
		t.Errorf("received %v, %v", first, second)
	}

	// A user nobody looks at any more is unsubscribed.
	admin := SocketClient(r.socket)
	defer admin.Close()
	s.Close()
	own.Close()
	eventually(t, "unsubscribed", func() bool {
		n, err := admin.PubSubNumSub(t.Context(), channelOf(ada)).Result()
		return err == nil && n[channelOf(ada)] == 0
	})
}

func TestRedisRestart(t *testing.T) {
	r := newRedisServer(t)
	one, two := r.bus(), r.bus()
	s := two.Subscribe(ada)
	expect(t, s, Resync)

	r.kill()
	eventually(t, "loss is noticed", func() bool { return !two.Stats().Connected })
	// Subscribers of the same process are served as before.
	two.Publish(t.Context(), Event{User: ada, Mailbox: 9, Kind: New})
	if ev := expect(t, s, New); ev.Mailbox != 9 {
		t.Errorf("received %+v", ev)
	}
	// What another instance says now is lost.
	one.Publish(t.Context(), Event{User: ada, Mailbox: 5, Kind: Changed})
	eventually(t, "loss is counted", func() bool { return one.Stats().Dropped > 0 })
	late := two.Subscribe(bob)

	r.start()
	expect(t, s, Resync) // so the subscriber is told to look for itself
	expect(t, late, Resync)
	one.Publish(t.Context(), Event{User: bob, Mailbox: 6, Kind: Junk})
	eventually(t, "publishing works again", func() bool {
		one.Publish(t.Context(), Event{User: bob, Mailbox: 6, Kind: Junk})
		for _, ev := range drain(late) {
			if ev.Kind == Junk && ev.Mailbox == 6 {
				return true
			}
		}
		return false
	})
}

// A connection cut by the server comes back and Resync follows, though nothing
// was ever sent on it.
func TestRedisConnectionCut(t *testing.T) {
	r := newRedisServer(t)
	b := r.bus()
	s := b.Subscribe(ada)
	expect(t, s, Resync)
	admin := SocketClient(r.socket)
	defer admin.Close()
	if err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	expect(t, s, Resync)
	if n := b.Stats().Connects; n != 2 {
		t.Errorf("%d connections made, want 2", n)
	}
}

func TestRedisAbsent(t *testing.T) {
	c := SocketClient(filepath.Join(t.TempDir(), "nobody"))
	defer c.Close()
	b := NewRedis(c, nil)
	s := b.Subscribe(ada)
	start := time.Now()
	for i := range 3 * maxQueue {
		b.Publish(t.Context(), Event{User: ada, Mailbox: uint32(i), Kind: Changed})
	}
	if d := time.Since(start); d > within/2 {
		t.Errorf("publishing without Redis took %v", d)
	}
	if len(drain(s)) == 0 {
		t.Error("local subscriber heard nothing")
	}
	b.Close()
	if _, ok := <-s.C(); ok {
		t.Error("subscription is open after Close")
	}
}

func TestHostilePayloads(t *testing.T) {
	r := newRedisServer(t)
	b := r.bus()
	s := b.Subscribe(ada)
	expect(t, s, Resync)
	admin := SocketClient(r.socket)
	defer admin.Close()
	for _, p := range []string{"", "null", "{", `{"kind":"of a later version"}`, `{"uids":"x"}`,
		string(make([]byte, maxPayload+1))} {
		if err := admin.Publish(t.Context(), channelOf(ada), p).Err(); err != nil {
			t.Fatal(err)
		}
		expect(t, s, Resync)
	}
	if err := admin.Publish(t.Context(), channelAll, "x").Err(); err != nil {
		t.Fatal(err)
	}
	expect(t, s, Resync)
}

func TestEmbedded(t *testing.T) {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "redis.sock")
	e, err := StartEmbedded(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	own := e.Bus(nil)
	client := SocketClient(path)
	second := NewRedis(client, nil)
	s, s2 := own.Subscribe(ada), second.Subscribe(ada)
	expect(t, s, Resync)
	expect(t, s2, Resync)
	second.Publish(t.Context(), Event{User: ada, Mailbox: 1, Kind: New})
	own.Publish(t.Context(), Event{User: ada, Mailbox: 2, Kind: New})
	for _, s := range []*Subscription{s, s2} {
		if a, b := expect(t, s, New), expect(t, s, New); a.Mailbox+b.Mailbox != 3 {
			t.Errorf("received %v, %v", a, b)
		}
	}
	second.Close()
	client.Close()
	own.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Client().Ping(context.Background()).Err(); err == nil {
		t.Error("client works after Close")
	}
}

func TestNewClient(t *testing.T) {
	for url, ok := range map[string]bool{
		"redis://127.0.0.1:6379/0": true, "rediss://u:p@example.com:6380": true, "unix:///run/redis.sock": true,
		"http://example.com": false, "::": false,
	} {
		c, err := NewClient(url)
		if (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"from":"x","kind":"new","mbox":1,"modseq":2,"uids":[1,2]}`)
	f.Add(`{"kind":"changed","mbox":-1}`)
	f.Fuzz(func(t *testing.T, data string) {
		_, ev, err := decode(ada, data)
		if err != nil {
			return
		}
		if ev.User != ada || ev.Kind < Changed || ev.Kind > Resync || len(ev.UIDs) > MaxUIDs {
			t.Errorf("%+v", ev)
		}
		again, err := encode("o", ev)
		if err != nil {
			t.Fatal(err)
		}
		if _, ev2, err := decode(ada, string(again)); err != nil && len(again) <= maxPayload ||
			err == nil && ev2.ModSeq != ev.ModSeq {
			t.Errorf("%q: %v", again, err)
		}
	})
}

// FuzzReadCommand: a command that is passed on is whole, is one that events need, and stands at the
// beginning of what was sent.
func FuzzReadCommand(f *testing.F) {
	for _, s := range []string{
		"*1\r\n$4\r\nPING\r\n", "*3\r\n$7\r\npublish\r\n$1\r\nc\r\n$0\r\n\r\n", "*-5\r\n",
		"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
		"*1\r\n$4\r\nPI\r\n\r\n", "*01\r\n$04\r\nPING\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		command, err := readCommand(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, command) || len(command) > maxEmbeddedCommand+100 {
			t.Fatalf("%q of %q", command, data)
		}
		again, err := readCommand(bufio.NewReader(bytes.NewReader(command)))
		if err != nil || !bytes.Equal(again, command) {
			t.Fatalf("%q, read again: %q, %v", command, again, err)
		}
	})
}

// socketDir is a directory with a short name: t.TempDir may be too long for a socket.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
