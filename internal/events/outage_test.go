package events

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gadwall/internal/logtest"
)

func TestOutageIsLoggedOnceEachWay(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, nil))
	at := time.Unix(1000, 0)
	o := outage{now: func() time.Time { return at }}
	down := errors.New("connection refused")
	o.end(log, "subscribe")
	for range 5 {
		o.begin(log, "subscribe", down)
		o.begin(log, "publish", down)
		at = at.Add(time.Second)
	}
	o.end(log, "subscribe")
	o.begin(log, "subscribe", down)
	o.end(log, "publish")
	o.end(log, "subscribe")
	o.end(log, "publish")
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "unreachable") || !strings.Contains(lines[1], "after=5s") {
		t.Errorf("logged:\n%s", buf.String())
	}
}

// A real Redis that is stopped and started again makes one warning each way.
func TestOutageOfRedis(t *testing.T) {
	r := newRedisServer(t)
	var buf logtest.Buffer
	c := SocketClient(r.socket)
	defer c.Close()
	b := NewRedis(c, slog.New(slog.NewTextHandler(&buf, nil)))
	defer b.Close()
	eventually(t, "connected", func() bool { return b.Stats().Connected })
	r.kill()
	eventually(t, "noticed", func() bool {
		b.Publish(t.Context(), Event{User: ada, Mailbox: 1, Kind: Changed})
		return !b.Stats().Connected && b.Stats().Dropped > 0
	})
	r.start()
	eventually(t, "back", func() bool {
		b.Publish(t.Context(), Event{User: ada, Mailbox: 1, Kind: Changed})
		return strings.Contains(buf.String(), "Redis is back")
	})
	if n := strings.Count(buf.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, buf.String())
	}
}
