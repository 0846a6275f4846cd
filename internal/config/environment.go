package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// orchestrated are variables that Kubernetes and Docker set for a service that is called gadwall.
var orchestrated = regexp.MustCompile(
	`_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`,
)

// CheckEnvironment refuses variables that begin as those of settings do and are none: a misspelled
// one would have no effect, and nobody would notice. others are variables that are no settings.
func CheckEnvironment(app *kong.Application, environ []string, others ...string) error {
	known := slices.Clone(others)
	for _, f := range settings(app.Node) {
		known = append(known, f.Envs...)
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, settingPrefix) || slices.Contains(known, name) ||
			orchestrated.MatchString(name) ||
			strings.HasPrefix(name, settingPrefix+"TEST_") {
			continue
		}
		text := "environment: " + name + " is not a setting"
		if near := nearest(name, known); near != "" {
			text += "; did you mean " + near + "?"
		}
		return fmt.Errorf("%s", text)
	}
	return nil
}

// settings returns the flags that are settings, each once.
func settings(n *kong.Node) []*kong.Flag {
	var list []*kong.Flag
	for _, f := range n.Flags {
		if isSetting(f) {
			list = append(list, f)
		}
	}
	for _, child := range n.Children {
		for _, f := range settings(child) {
			if !slices.ContainsFunc(list, func(have *kong.Flag) bool { return have.Name == f.Name }) {
				list = append(list, f)
			}
		}
	}
	return list
}

// maxDistance is by how many letters a name may differ from the one that was likely meant.
const maxDistance = 3

// nearest returns the name with the fewest differences, if they are few.
func nearest(name string, names []string) string {
	best, least := "", maxDistance+1
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters must be put in, left out or changed (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
