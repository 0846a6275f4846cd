package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabWidth   = 4
)

// columnFaults returns the lines that are too long.
func (r *repository) columnFaults() []fault {
	var faults []fault
	for _, f := range r.files {
		if f.generated {
			continue
		}
		for i, line := range f.lines {
			if n := columns(line); n > maxColumns && !mayBeLong(f.name, line) {
				faults = append(faults, fault{f.name, i + 1, fmt.Sprintf("%d columns: wrap it at 100", n)})
			}
		}
	}
	return faults
}

// mayBeLong says that the line cannot be wrapped: it has an address, is a row of a table or a
// command of a page, or has a part of a raw string, whose line ends are part of it.
func mayBeLong(name, line string) bool {
	if strings.Contains(line, "://") || strings.Contains(line, "`") {
		return true
	}
	return strings.HasSuffix(name, ".md") &&
		(strings.HasPrefix(strings.TrimSpace(line), "|") || strings.HasPrefix(line, "    "))
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}
