package main

import (
	"fmt"
	"regexp"
	"strings"
)

// operatorPage tells operators of every setting and metric.
const operatorPage = "docs/operations.md"

var (
	// metric is the name of a metric as a Go program has it: quoted, by itself.
	metric = regexp.MustCompile(`^"(gadwall_[a-z_]+)"$`)
	// setting is a flag that is also an environment variable.
	setting = regexp.MustCompile(`name:"([a-z0-9-]+)" env:"GADWALL_`)
)

// operatorFaults returns the settings and metrics that the page for operators does not name.
func (r *repository) operatorFaults() []fault {
	page := strings.Join(r.lines(operatorPage), "\n")
	var faults []fault
	for _, f := range r.files {
		if !strings.HasSuffix(f.name, ".go") || strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		for _, t := range f.texts {
			if t.prose {
				continue
			}
			if m := metric.FindStringSubmatch(t.s); m != nil && !strings.Contains(page, m[1]) {
				faults = append(faults,
					fault{f.name, t.line, fmt.Sprintf("%s does not name the metric %s", operatorPage, m[1])})
			}
			if m := setting.FindStringSubmatch(t.s); m != nil && !strings.Contains(page, "`"+m[1]+"`") &&
				!strings.Contains(page, "`--"+m[1]) {
				faults = append(faults,
					fault{f.name, t.line, fmt.Sprintf("%s does not name the setting `%s`", operatorPage, m[1])})
			}
		}
	}
	return faults
}
