package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// A Value is a setting as it is in force.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // command line, environment: NAME, file: PATH, or default
}

// secrets are settings whose values are not shown.
var secrets = map[string]bool{"http-token": true, "oidc-client-secret": true, "auth-secret": true}

// password is that of a URL.
var password = regexp.MustCompile(`(://[^:/@]*):[^@]*@`)

// Show returns the settings of the command that was parsed, and where each value comes from.
func Show(ctx *kong.Context, file string) []Value {
	from := make(map[string]string) // of what was said explicitly
	for _, p := range ctx.Path {
		switch {
		case p.Flag == nil:
		case p.Resolved:
			from[p.Flag.Name] = "file: " + file
		default:
			from[p.Flag.Name] = "command line"
		}
	}
	var list []Value
	for _, f := range settings(ctx.Selected()) {
		v := Value{Name: f.Name, Value: text(f.Target), Source: from[f.Name]}
		if secrets[f.Name] && v.Value != "" {
			v.Value = "(secret)"
		}
		v.Value = password.ReplaceAllString(v.Value, "$1:xxxxx@")
		if v.Source == "" {
			v.Source = "default"
			for _, env := range f.Envs {
				if _, ok := os.LookupEnv(env); ok {
					v.Source = "environment: " + env
				}
			}
		}
		list = append(list, v)
	}
	return list
}

// text writes a value as a setting has it.
func text(v reflect.Value) string {
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = text(v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// exampleWidth is how long a line of the example may be.
const exampleWidth = 100

// Example returns a configuration file in which every setting of a command stands with its default,
// as a comment.
func Example(command *kong.Node) string {
	var b strings.Builder
	b.WriteString(
		"# Settings of Gadwall. Each line that begins with #key shows a default: remove the # to change it.\n" +
			"# The same names are flags (--key) and environment variables (GADWALL_KEY, with _ for -).\n",
	)
	for _, f := range settings(command) {
		b.WriteString("\n")
		for line := range wrapped(f.Help, exampleWidth-len("# ")) {
			b.WriteString("# " + line + "\n")
		}
		fmt.Fprintf(&b, "#%s = %s\n", f.Name, literal(f))
	}
	return b.String()
}

// literal writes a default in TOML.
func literal(f *kong.Flag) string {
	switch f.Target.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(f.Default == "true")
	case reflect.Int:
		return f.Default
	}
	return strconv.Quote(f.Default)
}

// wrapped cuts text into lines at spaces.
func wrapped(text string, width int) func(func(string) bool) {
	return func(yield func(string) bool) {
		line := ""
		for word := range strings.FieldsSeq(text) {
			if line != "" && len(line)+1+len(word) > width {
				if !yield(line) {
					return
				}
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		if line != "" {
			yield(line)
		}
	}
}
