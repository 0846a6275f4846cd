package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/alecthomas/kong"

	"gadwall/internal/manual"
)

type versionCmd struct{}

func (versionCmd) Run(std streams) error {
	fmt.Fprintln(std.out, "gadwall", version)
	return nil
}

// helpCmd is another way to say --help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command; all if not given."`
}

func (c *helpCmd) Run(std streams) error {
	return dispatch(append(slices.Clone(c.Command), "--help"), std)
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Run(std streams) error {
	script, err := manual.Script(programName, c.Shell)
	if err != nil {
		return usageError{err}
	}
	_, err = io.WriteString(std.out, script)
	return err
}

// complete answers a shell that asks how the last word goes on.
func complete(words []string, std streams) error {
	parser, err := newParser(new(cli), std)
	if err != nil {
		return err
	}
	for _, word := range manual.Complete(parser.Model, words) {
		fmt.Fprintln(std.out, word)
	}
	return nil
}

// manCmd prints the man page.
type manCmd struct{}

func (manCmd) Run(std streams, ctx *kong.Context) error {
	page := manual.Page{App: ctx.Model, Version: version, Sections: []manual.Section{
		{Title: "Exit status", Paragraphs: []string{
			"0: success; of check: nothing is wrong.",
			"1: failure.",
			"2: arguments or a configuration that cannot work. One line on standard error says why, and " +
				"nothing was written.",
			"3: check found damage and repaired all of it.",
			"4: check found damage that remains.",
			"75: deliver: it may work later.",
		}},
		{Title: "Signals", Paragraphs: []string{
			"SIGTERM and SIGINT end the server after commands and deliveries in progress; a second one " +
				"ends it at once.",
			"SIGHUP has the server read certificates and the level of the log again.",
		}},
		{Title: "Examples", Paragraphs: []string{
			"A server in the current directory, a user, and a first mail:",
			"\tgadwall serve &\ngadwall user add ada@example.com\nprintf 'Subject: hello\\n\\nA " +
				"mail.\\n' | gadwall deliver --to ada@example.com -",
			"A configuration file to start from, and what is in force:",
			"\tgadwall config example > /etc/gadwall.toml\ngadwall config show --config /etc/gadwall.toml",
		}},
	}}
	return page.Write(std.out)
}
