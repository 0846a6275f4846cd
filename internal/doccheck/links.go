package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	link = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	// file names are recognised by their first element, a directory in the root.
	filePath = regexp.MustCompile(`^\.?[\w.-]+(?:/[\w.{},*-]+)+/?$|^\./[\w./-]+$`)
	goTest   = regexp.MustCompile("go test [^`]*")
	pattern  = regexp.MustCompile(`-(run|bench) '?([^' ]+)'?`)
	testPkg  = regexp.MustCompile(`(?:^| )\./(\S+)`)
)

// linkFaults returns what pages name and is not there.
func (r *repository) linkFaults(dir string) []fault {
	var faults []fault
	for _, f := range r.files {
		if !strings.HasSuffix(f.name, ".md") {
			continue
		}
		for i, line := range f.lines {
			bad := func(format string, args ...any) {
				faults = append(faults, fault{f.name, i + 1, fmt.Sprintf(format, args...)})
			}
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				r.checkLink(dir, f.name, m[1], bad)
			}
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				if missing(dir, m[1]) {
					bad("there is no %s", m[1])
				}
			}
			for _, command := range goTest.FindAllString(line, -1) {
				r.checkTest(dir, command, bad)
			}
		}
	}
	return faults
}

// checkLink looks for the page and heading that a link leads to. Links to other hosts are not
// followed.
func (r *repository) checkLink(dir, from, to string, bad func(string, ...any)) {
	if strings.Contains(to, "://") {
		return
	}
	name, heading, _ := strings.Cut(to, "#")
	target := from
	if name != "" {
		target = path.Join(path.Dir(from), name)
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(target))); err != nil {
		bad("there is no %s", target)
		return
	}
	if heading == "" {
		return
	}
	for _, line := range r.lines(target) {
		if strings.HasPrefix(line, "#") && anchor(strings.TrimLeft(line, "# ")) == heading {
			return
		}
	}
	bad("%s has no heading #%s", target, heading)
}

// anchor is how a heading is named in a link: lower case, blanks as hyphens, no punctuation.
func anchor(heading string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c):
			return unicode.ToLower(c)
		}
		return -1
	}, heading)
}

// missing says that s looks like the path of a file or directory in the repository, and none is
// there. A * stands for anything.
func missing(dir, s string) bool {
	s = strings.TrimPrefix(s, "./")
	if !filePath.MatchString(s) {
		return false
	}
	first, _, _ := strings.Cut(s, "/")
	if info, err := os.Stat(filepath.Join(dir, first)); err != nil || !info.IsDir() ||
		first == "bin" || first == "data" {
		return false // not a directory of the source
	}
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(strings.TrimSuffix(s, "/"))))
	return err != nil || len(found) == 0
}

// checkTest looks for the packages, tests and benchmarks that a command names.
func (r *repository) checkTest(dir, command string, bad func(string, ...any)) {
	var packages []string
	for _, m := range testPkg.FindAllStringSubmatch(command, -1) {
		if missing(dir, m[1]) {
			bad("there is no ./%s", m[1])
			return
		}
		packages = append(packages, strings.TrimSuffix(m[1], "/"))
	}
	for _, m := range pattern.FindAllStringSubmatch(command, -1) {
		if m[2] == "^$" {
			continue
		}
		kind := map[string]string{"run": "Test", "bench": "Benchmark"}[m[1]]
		for alternative := range strings.SplitSeq(m[2], "|") {
			name, _, _ := strings.Cut(alternative, "/")
			if re, err := regexp.Compile(name); err != nil || !r.hasFunction(packages, kind, re) {
				bad("no %s in ./%s matches %q", kind, strings.Join(packages, ", ./"), name)
			}
		}
	}
}

func (r *repository) hasFunction(packages []string, kind string, name *regexp.Regexp) bool {
	for _, f := range r.files {
		for _, p := range packages {
			if path.Dir(f.name) != p || !strings.HasSuffix(f.name, "_test.go") {
				continue
			}
			for _, fn := range f.functions {
				if strings.HasPrefix(fn, kind) && name.MatchString(fn) {
					return true
				}
			}
		}
	}
	return false
}
