package node

import (
	"context"
	"sync"

	"gadwall/internal/feed"
	"gadwall/internal/lease"
	"gadwall/internal/webhooks"
)

// openWebhooks reads which webhooks there are. The mail store is opened after it, and then
// startWebhooks is called.
func (n *Node) openWebhooks(ctx context.Context, a Access) error {
	var err error
	n.Webhooks, err = webhooks.Open(ctx, webhooks.Options{
		Database: n.Database, ReadOnly: a == Looking, Logger: n.log})
	if err == nil {
		n.Bus = n.Webhooks.Bus(n.Bus)
	}
	return err
}

// startWebhooks gives the webhooks their feed. A server keeps the list of them current, until it
// closes.
func (n *Node) startWebhooks(a Access) {
	n.Feed = feed.New(feed.Options{Store: n.Mail, Bus: n.Bus, Logger: n.log})
	n.Webhooks.Follow(n.Feed)
	if a != Serving {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Webhooks.Run(ctx) })
	n.closers = append(n.closers, func() error {
		stop()
		running.Wait()
		return nil
	})
}

// WebhookSender returns what sends to webhooks, in one instance of all that serve. The base URL is
// that of the HTTP API for receivers, or empty.
func (n *Node) WebhookSender(baseURL string) *webhooks.Sender {
	return webhooks.NewSender(webhooks.SenderOptions{
		Registry: n.Webhooks, Feed: n.Feed, Users: n.Mail, BaseURL: baseURL, Logger: n.log,
		Task: &lease.Task{Name: "webhooks", Database: n.Database, Redis: n.Redis, Log: n.log}})
}
