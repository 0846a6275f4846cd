package manual

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// program is a command line of all that the package treats.
type program struct {
	Config string `env:"X_CONFIG" placeholder:"FILE" help:"A file."`

	Serve struct {
		Level  string `name:"log-level" env:"X_LEVEL" default:"info" enum:"debug,info" help:"How much to log."`
		Secret string `hidden:"" help:"Not for everybody."`
		DryRun bool   `short:"n" help:"Change nothing."`
	} `cmd:"" help:"Run the server."`
	User struct {
		Add struct {
			Level string   `name:"log-level" env:"X_LEVEL" default:"info" enum:"debug,info" help:"How much to log."`
			Name  string   `arg:"" help:"Of the user."`
			More  []string `arg:"" optional:"" help:".dots and \\backslashes."`
		} `cmd:"" aliases:"new" help:"Make a user."`
		List struct{} `cmd:"" help:"List users."`
	} `cmd:"" help:"Users."`
	Internal struct{} `cmd:"" hidden:""`
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(program), kong.Name("prog"), kong.Description("A program."))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

func TestComplete(t *testing.T) {
	app := model(t)
	for words, want := range map[string]string{
		"":                          "serve user",
		"s":                         "serve",
		"user|":                     "add list",
		"user|l":                    "list",
		"user|new|-":                "--config --help --log-level",
		"--config|":                 "",
		"--config|user|s":           "serve",
		"serve|--":                  "--config --dry-run --help --log-level",
		"serve|--log-level|":        "debug info",
		"serve|--log-level|d":       "debug",
		"serve|--log-level|debug|":  "",
		"serve|--dry-run|--l":       "--log-level",
		"serve|--nonsense|--dry":    "--dry-run",
		"user|add|ada@example.com|": "",
	} {
		if got := strings.Join(Complete(app, strings.Split(words, "|")), " "); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
	if got := Complete(app, nil); len(got) != 2 {
		t.Errorf("nothing: %q", got)
	}
}

func TestScripts(t *testing.T) {
	for _, shell := range Shells() {
		script, err := Script("prog", shell)
		if err != nil || !strings.Contains(script, "prog") || !strings.Contains(script, CompleteCommand) ||
			strings.Contains(script, "%!") {
			t.Errorf("%s: %q, %v", shell, script, err)
		}
	}
	if _, err := Script("prog", "sh"); err == nil {
		t.Error("sh has no completion")
	}
}

// What bash runs has the program's answers.
func TestBash(t *testing.T) {
	script, err := Script("prog", "bash")
	if err != nil {
		t.Fatal(err)
	}
	test := script + `
prog() { printf '<%s>\n' "$@" one two; }
COMP_WORDS=(prog user "") COMP_CWORD=2
_prog
printf '%s|' "${COMPREPLY[@]}"`
	out, err := exec.Command("bash", "-c", test).CombinedOutput()
	if err != nil || string(out) != "<__complete>|<user>|<>|<one>|<two>|" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestPage(t *testing.T) {
	var out bytes.Buffer
	page := Page{
		App:      model(t),
		Version:  "v1",
		Sections: []Section{{"Examples", []string{"One:", "\tprog user add 'ada'\n.fi", "Two."}}},
	}
	if err := page.Write(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{".TH PROG 1", `prog \- A program`, ".SS prog user add", "\\fIname\\fR\nOf the user.",
		"\\&.dots and \\ebackslashes.", ".SH EXAMPLES\nOne:\n.PP\n.nf", "\n\\&.fi\n", `\fB\-n\fR, \fB\-\-dry\-run\fR`,
		"Default: info. Environment: X_LEVEL."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// A setting of several commands is explained once, what is hidden never.
	if n := strings.Count(text, `\-\-log\-level`); n != 1 {
		t.Errorf("log-level stands there %d times", n)
	}
	for _, hidden := range []string{"secret", "internal"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s is shown", hidden)
		}
	}
	// Every request is one that man(7) knows.
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".") {
			request, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !slices.Contains(
				[]string{".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".br", ".nf", ".fi", ".RS", ".RE"},
				request) {
				t.Errorf("request %q", line)
			}
		}
	}
}
