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
	switch {
	case cfg.RedisURL != "":
		client, err := events.NewClient(cfg.RedisURL)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, client.Close)
		n.Redis = client
	case n.Embedded != nil:
		embedded, err := events.StartEmbedded(filepath.Join(cfg.DataDir, redisSocket))
		if err != nil {
			n.log.Warn("no socket for events: other processes notice changes by polling", "error", err)
			break
		}
		n.closers = append(n.closers, embedded.Close)
		n.Redis = embedded.Client()
	case cfg.Embedded():
		n.Redis = events.SocketClient(filepath.Join(cfg.DataDir, redisSocket))
		n.closers = append(n.closers, n.Redis.Close)
	default:
		n.log.Warn("no --redis-url: other instances notice changes by polling only")
	}
	if n.Redis == nil {
		n.Bus = events.NewLocal()
	} else {
		n.Bus = events.NewRedis(n.Redis, n.log)
	}
	n.closers = append(n.closers, n.Bus.Close)
	return nil
}

// redisLog makes go-redis's own messages quiet: the bus reports what matters.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis: " + fmt.Sprintf(format, v...))
}
