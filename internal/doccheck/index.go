package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// indexPage lists the RFCs.
const indexPage = "docs/rfc.md"

var (
	// row is a line of the index: number, title, status, where.
	row  = regexp.MustCompile(`^(\| \[RFC ([0-9]+)\]\([^)]*\) \| [^|]+ \| ([^|]+) \|) ?([^|]*?) ?\|$`)
	code = regexp.MustCompile("`([^`]+)`")
	// states are how a status begins.
	states = []string{"whole", "partly: ", "not"}
)

type place struct {
	file string
	line int
}

// citations are the RFCs that are cited.
type citations struct {
	first map[string]place           // by number: the first place
	dirs  map[string]map[string]bool // by number: packages; the value says that not only tests cite
}

func (r *repository) citations() citations {
	c := citations{make(map[string]place), make(map[string]map[string]bool)}
	for _, f := range r.files {
		if f.name == indexPage || strings.HasPrefix(f.name, ownFiles) {
			continue
		}
		for _, t := range f.texts {
			for _, n := range t.cited() {
				if _, ok := c.first[n]; !ok {
					c.first[n] = place{f.name, t.line}
					c.dirs[n] = make(map[string]bool)
				}
				if strings.HasSuffix(f.name, ".go") {
					dir := path.Dir(f.name)
					c.dirs[n][dir] = c.dirs[n][dir] || !strings.HasSuffix(f.name, "_test.go")
				}
			}
		}
	}
	return c
}

// where returns the packages that cite an RFC as the index names them: those that only test it are
// left out, unless there are no others.
func (c citations) where(number string) string {
	var all, code []string
	for _, dir := range slices.Sorted(maps.Keys(c.dirs[number])) {
		all = append(all, "`"+dir+"`")
		if c.dirs[number][dir] {
			code = append(code, "`"+dir+"`")
		}
	}
	if len(code) > 0 {
		all = code
	}
	return strings.Join(all, ", ")
}

// indexFaults compares the index with what is cited.
func (r *repository) indexFaults() []fault {
	cited := r.citations()
	var faults []fault
	listed := make(map[string]bool)
	last := 0
	for i, line := range r.lines(indexPage) {
		if !strings.HasPrefix(line, "| [RFC") {
			continue
		}
		bad := func(format string, args ...any) {
			faults = append(faults, fault{indexPage, i + 1, fmt.Sprintf(format, args...)})
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			bad("a row is: | [RFC n](address) | title | status | where |")
			continue
		}
		number, status, where := m[2], m[3], m[4]
		if n, _ := strconv.Atoi(number); n <= last {
			bad("RFC %s is out of order", number)
		} else {
			last = n
		}
		listed[number] = true
		if !slices.ContainsFunc(states, func(s string) bool { return strings.HasPrefix(status, s) }) {
			bad("RFC %s: a status begins with one of %q", number, states)
		}
		if _, ok := cited.first[number]; !ok {
			bad("RFC %s is cited nowhere", number)
		} else if want := cited.where(number); where != want {
			bad("RFC %s is cited in %s: run `go run ./internal/doccheck -w`", number, cmp.Or(want, "pages only"))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(cited.first)) {
		if !listed[n] {
			p := cited.first[n]
			faults = append(faults, fault{p.file, p.line, fmt.Sprintf("RFC %s is not in %s", n, indexPage)})
		}
	}
	return faults
}

// writeIndex rewrites the last column of the index.
func (r *repository) writeIndex(dir string) error {
	cited := r.citations()
	lines := slices.Clone(r.lines(indexPage))
	for i, line := range lines {
		if m := row.FindStringSubmatch(line); m != nil {
			lines[i] = m[1] + " " + cited.where(m[2]) + " |"
		}
	}
	name := filepath.Join(dir, filepath.FromSlash(indexPage))
	return os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644)
}

// lines returns the lines of a file, none if there is no such file.
func (r *repository) lines(name string) []string {
	for _, f := range r.files {
		if f.name == name {
			return f.lines
		}
	}
	return nil
}
