package manual

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A Section is a chapter of the man page that the model does not know.
type Section struct {
	Title string
	// Paragraphs are plain text. A paragraph that begins with a tab is an example.
	Paragraphs []string
}

// A Page is a man page for section 1.
type Page struct {
	App      *kong.Application
	Version  string
	Sections []Section // behind those of the model
}

// Write writes the page in the language of man(7). Flags that several commands have are explained
// once, with their settings.
func (p *Page) Write(w io.Writer) error {
	m := &writer{}
	name := p.App.Name
	m.line(".TH %s 1 \"\" %q %q", strings.ToUpper(name), name+" "+p.Version, "Gadwall")
	m.line(".SH NAME")
	m.line("%s \\- %s", name, escape(strings.TrimSuffix(p.App.Help, ".")))
	m.line(".SH SYNOPSIS")
	for _, n := range leaves(p.App.Node) {
		m.line(".B %s", escape(n.FullPath()))
		m.line("%s", arguments(n))
		m.line(".br")
	}
	shared := sharedFlags(p.App.Node)
	m.line(".SH COMMANDS")
	for _, n := range leaves(p.App.Node) {
		m.line(".SS %s", escape(n.FullPath()))
		m.text(n.Help)
		if n.Detail != "" {
			m.line(".PP")
			m.text(n.Detail)
		}
		for _, arg := range n.Positional {
			m.item("\\fI"+escape(arg.Name)+"\\fR", arg.Help)
		}
		for _, f := range n.Flags {
			if !f.Hidden && shared[f.Name] == nil {
				m.flag(f)
			}
		}
	}
	m.line(".SH SETTINGS")
	m.text("Each is a flag of the commands that use it, an environment variable, and a key of the file that " +
		"--config names. The flag comes first, then the environment, then the file.")
	var names []string
	for name := range shared {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m.flag(shared[name])
	}
	for _, s := range p.Sections {
		m.line(".SH %s", strings.ToUpper(s.Title))
		for i, text := range s.Paragraphs {
			example, ok := strings.CutPrefix(text, "\t")
			switch {
			case ok:
				m.line(".PP\n.nf\n.RS\n%s\n.RE\n.fi", escape(example))
			case i > 0:
				m.line(".PP")
				m.text(text)
			default:
				m.text(text)
			}
		}
	}
	_, err := io.WriteString(w, m.out.String())
	return err
}

// leaves returns the commands that can be run, in the order of the model.
func leaves(n *kong.Node) []*kong.Node {
	var list []*kong.Node
	for _, child := range n.Children {
		if !child.Hidden {
			list = append(list, leaves(child)...)
		}
	}
	if len(n.Children) == 0 {
		list = append(list, n)
	}
	return list
}

// sharedFlags returns the flags that have an environment variable, which are settings, and those of
// the program itself.
func sharedFlags(app *kong.Node) map[string]*kong.Flag {
	shared := make(map[string]*kong.Flag)
	for _, n := range append(leaves(app), app) {
		for _, f := range n.Flags {
			if !f.Hidden && shared[f.Name] == nil && (n == app || len(f.Envs) > 0) {
				shared[f.Name] = f
			}
		}
	}
	return shared
}

func arguments(n *kong.Node) string {
	text := "[flags]"
	for _, arg := range n.Positional {
		text += " " + escape(arg.Summary())
	}
	return text
}

type writer struct{ out strings.Builder }

func (m *writer) line(format string, args ...any) { fmt.Fprintf(&m.out, format+"\n", args...) }

func (m *writer) text(s string) { m.line("%s", escape(s)) }

func (m *writer) item(name, help string) {
	m.line(".TP\n%s", name)
	m.text(help)
}

func (m *writer) flag(f *kong.Flag) {
	name := "\\fB" + escape("--"+f.Name) + "\\fR"
	if f.Short != 0 {
		name = "\\fB" + escape("-"+string(f.Short)) + "\\fR, " + name
	}
	if !f.IsBool() {
		name += " \\fI" + escape(f.FormatPlaceHolder()) + "\\fR"
	}
	help := f.Help
	if f.HasDefault && f.Default != "" && !f.IsBool() {
		help += " Default: " + f.Default + "."
	}
	if len(f.Envs) > 0 {
		help += " Environment: " + strings.Join(f.Envs, ", ") + "."
	}
	m.item(name, help)
}

// escape keeps roff from taking text for requests and escapes.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
