package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	write := flag.Bool("w", false, "write which packages cite the RFCs of docs/rfc.md")
	flag.Parse()
	r, err := read(".")
	if err == nil && *write {
		if err = r.writeIndex("."); err == nil {
			r, err = read(".")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "doccheck:", err)
		os.Exit(2)
	}
	faults := r.faults(".")
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

// read reads the tracked files of the repository whose root is dir.
func read(dir string) (*repository, error) {
	out, err := exec.Command("git", "-C", dir, "ls-files", "-z", "*.go", "*.md").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tracked files: %w", err)
	}
	r := new(repository)
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if err := r.read(dir, name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// faults returns what is wrong in the repository, sorted by place.
func (r *repository) faults(dir string) []fault {
	faults := slices.Concat(r.citationFaults(), r.indexFaults(), r.columnFaults(), r.linkFaults(dir),
		r.operatorFaults())
	slices.SortStableFunc(faults, func(a, b fault) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.line-b.line)
	})
	return faults
}
