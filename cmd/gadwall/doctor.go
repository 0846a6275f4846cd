package main

import (
	"context"
	"encoding/json"
	"os/signal"
	"syscall"

	"gadwall/internal/config"
	"gadwall/internal/doctor"
)

// doctorCmd takes the flags of serve, and looks whether a server with them works.
type doctorCmd struct {
	config.Serve
	JSON bool `name:"json" help:"Print a JSON object per finding."`
}

// Run prints what it finds, and exits with 1 if there is a problem.
func (c *doctorCmd) Run(std streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	refused := c.Check() // which also finds the host name
	list := doctor.Examine(ctx, doctor.Options{Serve: c.Serve, Refused: refused, Version: version})
	if err := ctx.Err(); err != nil {
		return err
	}
	encoder, p := json.NewEncoder(std.out), printer{w: std.out}
	for _, f := range list {
		if c.JSON {
			if err := encoder.Encode(f); err != nil {
				return err
			}
			continue
		}
		p.line("%-8s %-14s %s", f.Severity, f.Area, f.Text)
		if f.Do != "" {
			p.line("%23s %s", "->", f.Do)
		}
	}
	if p.err != nil {
		return p.err
	}
	if doctor.Worst(list) == doctor.Problem {
		return exitError(exitFailure)
	}
	return nil
}
