package main

import (
	"context"

	"gadwall/internal/node"
	"gadwall/internal/shards"
)

// shardsCmd lays the collections out on the shards of a cluster.
type shardsCmd struct {
	Plan   shardsPlanCmd   `cmd:"" help:"Print the commands that apply would run. Nothing is changed."`
	Apply  shardsApplyCmd  `cmd:"" help:"Shard the collections, and keep each user on one shard."`
	Status shardsStatusCmd `cmd:"" help:"Say whether the collections lie as they should."`
}

type shardsPlanCmd struct{ storageSettings }

func (c *shardsPlanCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Looking},
		func(ctx context.Context, n *node.Node) error {
			steps, _, err := planShards(ctx, n)
			p := printer{w: std.out}
			for _, step := range steps {
				p.line("%s", step)
			}
			if err == nil {
				err = p.err
			}
			return err
		})
}

type shardsApplyCmd struct{ storageSettings }

func (c *shardsApplyCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Looking},
		func(ctx context.Context, n *node.Node) error {
			steps, _, err := planShards(ctx, n)
			if err != nil {
				return err
			}
			p := printer{w: std.out}
			done := func(step shards.Step) { p.line("%s", step) }
			if err := shards.Apply(ctx, steps, shards.Run(n.Client), done); err != nil {
				return err
			}
			p.line("%s applied", count(len(steps), "step"))
			return p.err
		})
}

type shardsStatusCmd struct{ storageSettings }

func (c *shardsStatusCmd) Run(std streams) error {
	return c.withNode(std, node.Options{Access: node.Looking},
		func(ctx context.Context, n *node.Node) error {
			steps, state, err := planShards(ctx, n)
			if err != nil {
				return err
			}
			p := printer{w: std.out}
			for _, shard := range state.Shards {
				text := ""
				if shard.Draining {
					text = ", is being removed"
				}
				p.line("%s: %d of %d ranges of users%s", shard.Name, state.Slots(shard.Name), shards.Slots, text)
			}
			if len(steps) == 0 {
				p.line("nothing to apply")
			} else {
				p.line("%s to apply; gadwall shards plan prints them", count(len(steps), "step"))
			}
			return p.err
		})
}

func planShards(ctx context.Context, n *node.Node) ([]shards.Step, *shards.State, error) {
	state, err := shards.Read(ctx, n.Database)
	if err != nil {
		return nil, nil, err
	}
	steps, err := state.Plan()
	return steps, state, err
}
