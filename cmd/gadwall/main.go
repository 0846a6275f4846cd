// Command gadwall is the mail store: the server and the tools around it.
//
// Each command is in a file of its name. Exit statuses: 0 for success, 1 for
// failure, 2 for arguments or a configuration that cannot work (one line on standard
// error, nothing written), 75 (EX_TEMPFAIL) when delivering may work later; and of
// check 3 for damage that it has repaired, 4 for damage that remains.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gadwall/internal/config"
	"gadwall/internal/manual"
	"gadwall/internal/node"
)

// version is set by the linker.
var version = "unknown"

const (
	exitFailure = 1
	exitUsage   = 2
	// Of check, which exits with 0 when there is nothing wrong.
	exitRepaired = 3
	exitDamaged  = 4
	exitTemp     = 75
)

type cli struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Config string `name:"config" env:"GADWALL_CONFIG" placeholder:"FILE" help:"TOML file with settings; its keys are the names of flags."`

	Serve    serveCmd    `cmd:"" help:"Run the server."`
	User     userCmd     `cmd:"" help:"Manage users."`
	Domain   domainCmd   `cmd:"" help:"Manage domains: default quotas, catch-all addresses, aliases."`
	Session  sessionsCmd `cmd:"" name:"sessions" help:"List and end the sessions of users."`
	Token    tokenCmd    `cmd:"" help:"Manage tokens of the HTTP API."`
	Webhooks webhooksCmd `cmd:"" help:"Manage webhooks: URLs that are told what happens to mail."`
	Quota    quotaCmd    `cmd:"" help:"Show, set and recalculate what users may store."`
	Deliver  deliverCmd  `cmd:"" help:"Deliver messages over LMTP."`
	Check    checkCmd    `cmd:"" help:"Look for damage in what is stored, and repair it."`
	Index    indexCmd    `cmd:"" help:"Show how far the text index is, or make it anew."`
	GC       gcCmd       `cmd:"" name:"gc" help:"Delete what nobody uses any more."`
	Backup   backupCmd   `cmd:"" help:"Copy the embedded database, also while the server runs."`
	Restore  restoreCmd  `cmd:"" help:"Bring mail back from a backup: all of it, or that of one user."`
	Shards   shardsCmd   `cmd:"" help:"Lay the collections out on the shards of a MongoDB cluster."`
	Schema   schemaCmd   `cmd:"" help:"Bring a database that exists to the form that this program knows."`
	Doctor   doctorCmd   `cmd:"" help:"Look whether a server with these settings works, and say what to do if not."`
	Dict     dictCmd     `cmd:"" help:"Manage compression dictionaries."`
	Bench    benchCmd    `cmd:"" help:"Measure."`
	Configs  configCmd   `cmd:"" name:"config" help:"Show settings, or an example of a configuration file."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Help       helpCmd       `cmd:"" help:"Explain a command."`
	Completion completionCmd `cmd:"" help:"Print what completes commands and flags in a shell."`
	Man        manCmd        `cmd:"" help:"Print the man page."`
}

// programName is what the program calls itself.
const programName = "gadwall"

// selective is a command for which some settings that it inherits have no effect.
type selective interface{ ignores() []string }

// streams are a command's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is an argument or setting that cannot work.
type usageError struct{ error }

// exitError ends the program with a status after everything was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

func run(args []string, std streams) int {
	err := dispatch(args, std)
	var exit exitError
	var usage usageError
	var setting *node.SettingError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	// One line, whatever an error's text looks like.
	fmt.Fprintln(std.err, "gadwall:", strings.Join(strings.Fields(err.Error()), " "))
	if errors.As(err, &usage) || errors.As(err, &setting) {
		return exitUsage
	}
	return exitFailure
}

// dispatch parses the arguments, a second time if they name a configuration file, and runs the
// command.
func dispatch(args []string, std streams) error {
	if len(args) > 0 && args[0] == manual.CompleteCommand {
		return complete(args[1:], std)
	}
	all, ctx, err := parseAll(args, std)
	if err != nil {
		return err
	}
	return ctx.Run(std, all, reparse(func() (*cli, error) {
		c, _, err := parseAll(args, std)
		return c, err
	}))
}

func parseAll(args []string, std streams) (*cli, *kong.Context, error) {
	c := new(cli)
	ctx, err := parse(c, args, std)
	if err != nil || c.Config == "" {
		return c, ctx, err
	}
	file, err := config.ReadFile(c.Config)
	if err != nil {
		return nil, nil, usageError{err}
	}
	c = new(cli)
	ctx, err = parse(c, args, std, kong.Resolvers(file))
	return c, ctx, err
}

// exited is what kong panics with instead of ending the process after --help.
type exited int

func newParser(c *cli, std streams, opts ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(c, append(opts,
		kong.Name(programName),
		kong.Description("A mail store: LMTP and SMTP in, IMAP out."),
		kong.Vars{"version": programName + " " + version},
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)...)
	if err == nil {
		hideIgnored(parser.Model.Node)
	}
	return parser, err
}

// hideIgnored leaves flags out of the help of commands for which they have no effect.
func hideIgnored(n *kong.Node) {
	if command, ok := n.Target.Addr().Interface().(selective); ok {
		for _, flag := range n.Flags {
			if slices.Contains(command.ignores(), flag.Name) {
				flag.Hidden = true
			}
		}
	}
	for _, child := range n.Children {
		hideIgnored(child)
	}
}

func parse(c *cli, args []string, std streams, opts ...kong.Option) (ctx *kong.Context, err error) {
	defer func() {
		if code, ok := recover().(exited); ok {
			err = exitError(code)
		}
	}()
	parser, err := newParser(c, std, opts...)
	if err != nil {
		return nil, usageError{err}
	}
	if err := config.CheckEnvironment(parser.Model, os.Environ(), passwordVariable); err != nil {
		return nil, usageError{err}
	}
	ctx, err = parser.Parse(args)
	if err != nil {
		return nil, usageError{err}
	}
	return ctx, nil
}
