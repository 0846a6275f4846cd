package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	results "gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/internal/dovecot"
)

// benchPeersCmd compares Gadwall with the Dovecot of this machine.
type benchPeersCmd struct {
	Workloads []string `arg:"" optional:"" name:"workload" help:"What to run; everything if not given. 'bench run --list' names all."`
	benchLoad
	Rounds      int    `default:"2" help:"Turns of each server; --repeats is that of one turn."`
	DovecotUser string `placeholder:"USER" help:"System user that owns Dovecot's mail, if this command runs as root; nobody by default."`
	Optional    bool   `help:"Succeed with a line if there is no Dovecot."`
	FullText    bool   `help:"Also measure a Dovecot that indexes texts with fts-xapian. Its deliveries take much longer."`
}

func (c *benchPeersCmd) Run(std streams) error {
	if err := c.check(c.Workloads); err != nil {
		return usageError{err}
	}
	if c.Rounds < 1 {
		return usageError{errors.New("--rounds is at least 1")}
	}
	if err := dovecot.Installed(true); c.Optional && errors.Is(err, dovecot.ErrMissing) {
		_, err = fmt.Fprintln(std.out, "Nothing compared:", err)
		return err
	} else if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	contenders := []contender{
		gadwallContender("gadwall", self, version),
		c.dovecotContender("dovecot", false),
	}
	if c.FullText {
		contenders = append(contenders, c.dovecotContender("dovecot with fts", true))
	}
	lines, runErr := c.turns(std, c.Workloads, c.Rounds, contenders)
	fmt.Fprintf(std.out, "%s. A ratio of calls/s above 1 says that Gadwall is faster.\n\n", c.describeLoad(c.Rounds))
	// What was measured before an error is worth its time.
	for i, peer := range contenders[1:] {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		_, err := writeTurns(std, [2]string{peer.name, "gadwall"}, [][]*results.Line{lines[i+1], lines[0]})
		runErr = errors.Join(runErr, err)
	}
	return runErr
}

func (c *benchPeersCmd) dovecotContender(name string, fullText bool) contender {
	return contender{name: name,
		start: func(ctx context.Context, dir string) (*target.Target, func() error, error) {
			started, err := target.StartDovecot(ctx, dir,
				target.DovecotOptions{MailUser: c.DovecotUser, FullText: fullText})
			if err != nil {
				return nil, nil, err
			}
			return &started.Target, started.Stop, nil
		}}
}
