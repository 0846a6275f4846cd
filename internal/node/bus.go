package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"gadwall/internal/config"
	"gadwall/internal/events"
)

// redisSocket is the socket of the embedded Redis in the data directory.
const redisSocket = "redis.sock"

// openBus connects to what carries events to other processes on this data.
func (n *Node) openBus(cfg config.Storage) error {
	redis.SetLogger(redisLog{n.log})
	var client *redis.Client
	switch {
	case cfg.RedisURL != "":
		var err error
		if client, err = events.NewClient(cfg.RedisURL); err != nil {
			return err
		}
		n.closers = append(n.closers, client.Close)
		n.Redis = client
	case n.Embedded != nil:
		embedded, err := events.StartEmbedded(filepath.Join(cfg.DataDir, redisSocket))
		if err != nil {
			n.log.Warn("no socket for events: other processes notice changes by polling", "error", err)
			break // a local bus
		}
		n.Bus = embedded.Bus(n.log)
		n.closers = append(n.closers, embedded.Close, n.Bus.Close)
		return nil
	case cfg.Embedded():
		client = events.SocketClient(filepath.Join(cfg.DataDir, redisSocket))
		n.closers = append(n.closers, client.Close)
	default:
		n.log.Warn("no --redis-url: other instances notice changes by polling only")
	}
	if client == nil {
		n.Bus = events.NewLocal()
	} else {
		n.Bus = events.NewRedis(client, n.log)
	}
	n.closers = append(n.closers, n.Bus.Close)
	return nil
}

// redisLog makes go-redis's own messages quiet: the bus reports what matters.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis: " + fmt.Sprintf(format, v...))
}
