package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"gadwall/bench/report"
	results "gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/bench/workload"
)

// contender is a server that is measured in turn with others.
type contender struct {
	name string
	// start runs a new server with its data below a new directory. end ends it.
	start func(ctx context.Context, dir string) (to *target.Target, end func() error, err error)
}

// turns measures contenders in turn, A B A B, each turn on a new server with no mail: what the
// machine does meanwhile meets all of them. It returns the lines of each, in the contenders' order.
func (c *benchLoad) turns(
	std streams, names []string, rounds int, contenders []contender,
) (lines [][]*results.Line, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	out, err := c.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	lines = make([][]*results.Line, len(contenders))
	progress := startProgress(std, "starting", "call", 0)
	defer progress.end()
	run := c.options().Run
	for round := range rounds {
		for i, who := range contenders {
			o := c.options()
			o.Run = run
			o.Progress = func(what string, done, total int64) {
				progress.phase(fmt.Sprintf("%s, turn %d of %d: %s", who.name, round+1, rounds, what), done, total)
			}
			o.Line = func(l *results.Line) error {
				l.Repeat += round * c.Repeats
				lines[i] = append(lines[i], l)
				return out.write(l)
			}
			if turnErr := turn(ctx, o, names, who); turnErr != nil {
				err = errors.Join(err, fmt.Errorf("%s, turn %d: %w", who.name, round+1, turnErr))
			}
			if ctx.Err() != nil {
				return lines, err
			}
		}
	}
	return lines, err
}

// turn is one turn of one contender. After a workload that fails it goes on with the next one.
func turn(ctx context.Context, o workload.Options, names []string, who contender) (err error) {
	// Not below a long path: a server may have sockets there.
	if o.Dir, err = os.MkdirTemp("", "gadwall-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	to, end, err := who.start(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	o.Target = to
	for {
		runErr := workload.Run(ctx, o, names...)
		err = errors.Join(err, runErr)
		var failed *workload.Failure
		if !errors.As(runErr, &failed) || ctx.Err() != nil {
			return err
		}
		if names = after(names, failed.Workload); len(names) == 0 {
			return err
		}
	}
}

// after returns the workloads of the names that run after a given one.
func after(names []string, last string) (rest []string) {
	past := false
	for _, w := range workload.All() {
		if past && (len(names) == 0 || slices.Contains(names, w.Name)) {
			rest = append(rest, w.Name)
		}
		past = past || w.Name == last
	}
	return rest
}

// writeTurns compares the lines of two contenders, the first of which is what the second one is
// compared with. It returns what the second one is slower at.
func writeTurns(std streams, names [2]string, lines [][]*results.Line) (slower []string, err error) {
	made, err := report.New([]report.File{{Name: names[0], Lines: lines[0]}, {Name: names[1], Lines: lines[1]}})
	if err != nil {
		return nil, err
	}
	return made.Slower(), made.WriteComparison(std.out)
}

// gadwallContender is the program at that path.
func gadwallContender(name, binary, version string) contender {
	return contender{name: name,
		start: func(ctx context.Context, dir string) (*target.Target, func() error, error) {
			started, err := target.StartGadwall(ctx, binary, dir)
			if err != nil {
				return nil, nil, err
			}
			started.Server.Version = version
			return &started.Target, started.Stop, nil
		}}
}

// describeLoad is what a table says of the run above it.
func (c *benchLoad) describeLoad(rounds int) string {
	m := target.Machine()
	parts := []string{count(c.Users, "user"), count(c.Messages, "message"), count(c.Connections, "connection"),
		count(rounds, "turn") + " of " + count(c.Repeats, "repeat"), count(m.Cores, "processor")}
	if m.CPU != "" {
		parts = append(parts, m.CPU)
	}
	return strings.Join(parts, ", ")
}
