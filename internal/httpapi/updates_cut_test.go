package httpapi

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/internal/browsertest"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
)

// cutter passes connections on to an address, and breaks those that ask for updates somewhere.
type cutter struct {
	net.Listener
	to   string
	cuts atomic.Int64

	mu    sync.Mutex
	sizes *rand.Rand
	open  map[net.Conn]bool
	done  sync.WaitGroup
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	c := &cutter{Listener: listener(t), to: to, sizes: rand.New(rand.NewPCG(1, 2)), open: make(map[net.Conn]bool)}
	c.done.Go(func() {
		for {
			nc, err := c.Accept()
			if err != nil {
				return
			}
			c.done.Go(func() { c.pass(nc) })
		}
	})
	t.Cleanup(func() {
		c.Close()
		c.mu.Lock()
		for nc := range c.open {
			nc.Close()
		}
		c.mu.Unlock()
		c.done.Wait()
	})
	return c
}

func (c *cutter) hold(nc net.Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[nc] = true
	return func() {
		nc.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, nc)
	}
}

// size is after how many octets a stream breaks.
func (c *cutter) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 1200 + c.sizes.IntN(1500)
}

func (c *cutter) pass(client net.Conn) {
	defer c.hold(client)()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer c.hold(server)()
	left := make(chan int, 1) // once: the client asked for updates
	c.done.Go(func() {
		defer server.Close()
		buf := make([]byte, 4<<10)
		for {
			n, err := client.Read(buf)
			if bytes.Contains(buf[:n], []byte("/updates")) {
				select {
				case left <- c.size():
				default:
				}
			}
			if _, failed := server.Write(buf[:n]); err != nil || failed != nil {
				return
			}
		}
	})
	room, limited := 0, false
	buf := make([]byte, 4<<10)
	for {
		n, err := server.Read(buf)
		select {
		case room = <-left:
			limited = true
		default:
		}
		if limited && n >= room {
			_, _ = client.Write(buf[:room])
			c.cuts.Add(1)
			return
		}
		room -= n
		if _, failed := client.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// front is two instances behind a proxy that takes turns with them and knows the token, as that of a
// webmail does. A cutter is before it.
type front struct {
	*updateAPI
	cutter *cutter
	begin  chan struct{} // a page asked for the mail to come
	heard  chan struct{} // a page has all of it
}

//go:embed testdata/updates.html
var updatesPage []byte

func newFront(t *testing.T) *front {
	t.Helper()
	db := dbtest.Database(t)
	o := Options{Token: "operator"}
	one := newUpdateAPIOn(t, storetest.Options{Database: db}, o, listener(t))
	two := newUpdateAPIOn(t, storetest.Options{Database: db, Bus: one.Bus}, o, listener(t))
	one.user = one.User(t, "ada@example.com").ID
	one.inbox = one.user.Mailbox(1)
	f := &front{updateAPI: one, begin: make(chan struct{}), heard: make(chan struct{})}
	var turn atomic.Int64
	forward := func(r *httputil.ProxyRequest) {
		to, _ := url.Parse([]string{one.url, two.url}[turn.Add(1)%2])
		r.SetURL(to)
		r.Out.Header.Set("Authorization", "Bearer operator")
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: forward}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(updatesPage)
	})
	mux.HandleFunc("POST /begin", func(http.ResponseWriter, *http.Request) { close(f.begin) })
	mux.HandleFunc("POST /heard", func(http.ResponseWriter, *http.Request) { close(f.heard) })
	mux.Handle("/users/", proxy)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	f.cutter = newCutter(t, srv.Listener.Addr().String())
	return f
}

const cutMails = 60

// come delivers what the client is to be told of.
func (f *front) come(t *testing.T) {
	for range cutMails {
		f.deliver(t)
	}
}

// leave takes the first two messages away. A client that was not told of them before is told of them as
// gone alone.
func (f *front) leave(t *testing.T) {
	ctx := t.Context()
	if _, err := f.Move(ctx, f.inbox, uidset.FromAscending([]uint32{1}), f.user.Mailbox(4)); err != nil {
		t.Error(err)
	}
	two := uidset.FromAscending([]uint32{2})
	deleted := mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted}
	if _, err := f.StoreFlags(ctx, f.inbox, two, deleted); err != nil {
		t.Error(err)
	}
	if _, _, err := f.Expunge(ctx, f.inbox, nil); err != nil {
		t.Error(err)
	}
}

// A browser's EventSource is told of everything once, over connections that break.
func TestUpdatesInABrowser(t *testing.T) {
	f := newFront(t)
	var happening sync.WaitGroup
	happening.Go(func() {
		for _, step := range []struct {
			after <-chan struct{}
			do    func(*testing.T)
		}{{f.begin, f.come}, {f.heard, f.leave}} {
			select {
			case <-step.after:
				step.do(t)
			case <-t.Context().Done():
				return
			}
		}
	})
	browsertest.Run(t, "testdata/updates.cjs", "GADWALL_URL=http://"+f.cutter.Addr().String(),
		fmt.Sprint("GADWALL_MAILS=", cutMails))
	happening.Wait()
}

// So is a loop around curl.
func TestUpdatesByCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	f := newFront(t)
	r := f.open(t, "", "Authorization: Bearer operator")
	since := r.want("start").id
	r.resp.Body.Close()
	f.come(t)
	f.leave(t)
	var kinds []string
	attempts := 0
	for ; !slices.Contains(kinds, "expunged"); attempts++ {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, curl, "-sN", "--max-time", "60", "-H", "Last-Event-ID: "+since,
			"http://"+f.cutter.Addr().String()+updatesOfAda)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		read := &updateReader{t: t, text: bufio.NewReader(out)}
		for !slices.Contains(kinds, "expunged") {
			e, ok := read.block()
			if !ok {
				break
			}
			if e.event != "" {
				kinds = append(kinds, e.event)
			}
			if e.id != "" {
				since = e.id
			}
		}
		cancel()
		_ = cmd.Wait() // it was cut, one way or the other
	}
	// All had happened before: those that came and went are told as gone alone.
	want := append(slices.Repeat([]string{"new"}, cutMails-2), "moved", "junk", "expunged")
	if !slices.Equal(kinds, want) {
		t.Errorf("%v", kinds)
	}
	t.Logf("%d connections", attempts)
	if attempts < 3 {
		t.Errorf("%d connections only", attempts)
	}
}
