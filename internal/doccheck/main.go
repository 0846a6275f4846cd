package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	faults, err := check(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "doccheck:", err)
		os.Exit(2)
	}
	report(os.Stdout, faults)
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// A fault is one thing that is wrong, and where.
type fault struct {
	file string
	line int
	text string
}

func report(w io.Writer, faults []fault) {
	for _, f := range faults {
		fmt.Fprintf(w, "%s:%d: %s\n", f.file, f.line, f.text)
	}
}

// check returns what is wrong in the repository whose root is dir, sorted by place.
func check(dir string) ([]fault, error) {
	out, err := exec.Command("git", "-C", dir, "ls-files", "-z", "*.go", "*.md").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tracked files: %w", err)
	}
	var r repository
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if err := r.read(dir, name); err != nil {
			return nil, err
		}
	}
	faults := slices.Concat(r.citationFaults(), r.indexFaults(), r.columnFaults(), r.linkFaults(dir),
		r.operatorFaults())
	slices.SortStableFunc(faults, func(a, b fault) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	return faults, nil
}
