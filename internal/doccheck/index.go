package main

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// indexPage lists the RFCs.
const indexPage = "docs/rfc.md"

var (
	// row is a line of the index: number, title, status, where.
	row  = regexp.MustCompile(`^\| \[RFC ([0-9]+)\]\([^)]*\) \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$`)
	code = regexp.MustCompile("`([^`]+)`")
	// states are how a status begins.
	states = []string{"whole", "partly: ", "not"}
)

type place struct {
	file string
	line int
}

// indexFaults compares the index with what is cited.
func (r *repository) indexFaults() []fault {
	cited := make(map[string]place)            // by number: the first place
	citing := make(map[string]map[string]bool) // by number: Go files and their directories
	for _, f := range r.files {
		if f.name == indexPage {
			continue
		}
		for _, t := range f.texts {
			for _, n := range t.cited() {
				if _, ok := cited[n]; !ok {
					cited[n] = place{f.name, t.line}
				}
				if strings.HasSuffix(f.name, ".go") {
					if citing[n] == nil {
						citing[n] = make(map[string]bool)
					}
					citing[n][f.name], citing[n][path.Dir(f.name)] = true, true
				}
			}
		}
	}

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
		number, status, where := m[1], m[3], m[4]
		if n, _ := strconv.Atoi(number); n <= last {
			bad("RFC %s is out of order", number)
		} else {
			last = n
		}
		listed[number] = true
		if _, ok := cited[number]; !ok {
			bad("RFC %s is cited nowhere", number)
		}
		if !slices.ContainsFunc(states, func(s string) bool { return strings.HasPrefix(status, s) }) {
			bad("RFC %s: a status begins with one of %q", number, states)
		}
		for _, c := range code.FindAllStringSubmatch(where, -1) {
			if !citing[number][strings.TrimSuffix(c[1], "/")] {
				bad("%s does not cite RFC %s", c[1], number)
			}
		}
	}
	missing := slices.SortedFunc(maps.Keys(cited), func(a, b string) int { return cmp.Compare(len(a), len(b))*2 + cmp.Compare(a, b) })
	for _, n := range missing {
		if !listed[n] {
			faults = append(faults, fault{cited[n].file, cited[n].line, fmt.Sprintf("RFC %s is not in %s", n, indexPage)})
		}
	}
	return faults
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
