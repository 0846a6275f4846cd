package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	results "gadwall/bench/result"
)

// benchCompareCmd compares two builds of Gadwall. The clients are those of this program.
type benchCompareCmd struct {
	Before    string   `arg:"" help:"Program of the first build."`
	After     string   `arg:"" help:"Program of the second build."`
	Workloads []string `arg:"" optional:"" name:"workload" help:"What to run; everything if not given. 'bench run --list' names all."`
	benchLoad
	Rounds int `default:"2" help:"Turns of each build; --repeats is that of one turn."`
}

func (c *benchCompareCmd) Run(std streams) error {
	if err := c.check(c.Workloads); err != nil {
		return usageError{err}
	}
	if c.Rounds < 1 {
		return usageError{errors.New("--rounds is at least 1")}
	}
	if c.Rounds*c.Repeats < 2 {
		return usageError{errors.New("one measurement of each has no noise: more --rounds or --repeats")}
	}
	var contenders []contender
	for i, binary := range []string{c.Before, c.After} {
		said, err := programVersion(binary)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", binary, err)}
		}
		contenders = append(contenders, gadwallContender(buildNames[i], binary, said))
	}
	lines, runErr := c.turns(std, c.Workloads, c.Rounds, contenders)
	fmt.Fprintf(std.out, "%s. A ratio of calls/s above 1 says that the second build is faster.\n\n",
		c.describeLoad(c.Rounds))
	return errors.Join(runErr, judgeBuilds(std, lines))
}

// judgeBuilds writes the comparison, and returns an error if the second build is slower.
func judgeBuilds(std streams, lines [][]*results.Line) error {
	slower, err := writeTurns(std, buildNames, lines)
	if err != nil || len(slower) == 0 {
		return err
	}
	return fmt.Errorf("slower by more than the noise: %s", strings.Join(slower, "; "))
}

// buildNames are how tables call the two builds.
var buildNames = [2]string{"before", "after"}

// programVersion is what `program version` says in its first line.
func programVersion(program string) (string, error) {
	path, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(context.Background(), path, "--version").Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimPrefix(line, programName+" "), err
}
