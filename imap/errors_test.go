package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/imap/wire"
	"gadwall/internal/activity"
	"gadwall/internal/mailstore"
	"gadwall/internal/sparselog"
	"gadwall/quota"
)

func TestExplain(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	rare := sparselog.New(sparselog.Interval)
	defer rare.Close()
	c := newConn(&Server{log: slog.New(slog.DiscardHandler), rare: rare, counts: newCounts(activity.New())}, server)
	lost := mongo.CommandError{Labels: []string{"NetworkError"}, Wrapped: io.EOF}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{wire.Errorf("what"), "BAD  X: what"},
		{&wire.SyntaxError{Code: "TOOBIG", Text: "much"}, "NO TOOBIG X: much"},
		{refuse("TRYCREATE", "No"), "NO TRYCREATE No"},
		{fmt.Errorf("append: %w", quota.ErrOverQuota), "NO OVERQUOTA Quota exceeded"},
		{mailstore.ErrNoSuchMailbox, "NO NONEXISTENT No such mailbox"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "NO UNAVAILABLE Try again later"},
		{fmt.Errorf("x: %w", lost), "NO UNAVAILABLE Try again later"},
		{fmt.Errorf("create: %w", &mailstore.InvalidError{Err: mailstore.ErrTooMany, Reason: "5 can be"}),
			"NO LIMIT Limit reached: 5 can be"},
		{errors.New("a secret of the server"), "NO SERVERBUG Internal error"},
	} {
		typ, code, text := c.explain(t.Context(), "X", tt.err)
		if got := fmt.Sprintf("%s %s %s", typ, code, text); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
