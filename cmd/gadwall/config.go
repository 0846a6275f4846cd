package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"gadwall/internal/config"
)

type configCmd struct {
	Show    configShowCmd    `cmd:"" help:"Show the settings of serve, and where each comes from."`
	Example configExampleCmd `cmd:"" help:"Print a configuration file with every setting and its default."`
}

// configShowCmd takes the flags of serve. Settings that cannot work are shown, too, and then
// refused.
type configShowCmd struct {
	config.Serve
	JSON bool `name:"json" help:"Print a JSON object per line."`
}

func (c *configShowCmd) Run(std streams, ctx *kong.Context, all *cli) error {
	refused := c.Check() // which also finds the host name
	values := config.Show(ctx, all.Config)
	if c.JSON {
		encoder := json.NewEncoder(std.out)
		for _, v := range values {
			if err := encoder.Encode(v); err != nil {
				return err
			}
		}
	} else {
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "SETTING\tVALUE\tSOURCE")
		for _, v := range values {
			fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, v.Value, v.Source)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if refused != nil {
		return usageError{refused}
	}
	return nil
}

type configExampleCmd struct{}

func (configExampleCmd) Run(std streams, ctx *kong.Context) error {
	for _, command := range ctx.Model.Children {
		if command.Name == "serve" {
			_, err := io.WriteString(std.out, config.Example(command))
			return err
		}
	}
	return fmt.Errorf("there is no command serve")
}
