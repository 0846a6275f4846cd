package manual

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// CompleteCommand is the word with which a shell asks the program for completions. The words of the
// command line follow, the last being the one to complete.
const CompleteCommand = "__complete"

// scripts let a shell ask the program. %s is the program's name, %[2]s is CompleteCommand.
var scripts = map[string]string{
	"bash": `# bash completion for %[1]s: eval "$(%[1]s completion bash)"
_%[1]s() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" %[2]s "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _%[1]s %[1]s
`,
	"zsh": `#compdef %[1]s
# zsh completion for %[1]s: source <(%[1]s completion zsh), or a file _%[1]s in $fpath
_%[1]s() {
    local -a found
    found=("${(@f)$(${words[1]} %[2]s "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_%[1]s" ]; then _%[1]s "$@"; else compdef _%[1]s %[1]s; fi
`,
	"fish": `# fish completion for %[1]s: %[1]s completion fish | source
function __%[1]s_complete
    set -l words (commandline -opc) (commandline -ct)
    %[1]s %[2]s $words[2..-1] 2>/dev/null
end
complete -c %[1]s -f -n 'string length -q -- (__%[1]s_complete)' -a '(__%[1]s_complete)'
`,
}

// Shells returns the names of the shells for which there is a Script.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Script returns what a shell has to run to complete the program's command lines.
func Script(program, shell string) (string, error) {
	script, ok := scripts[shell]
	if !ok {
		return "", fmt.Errorf("no completion for %q: want %s", shell, strings.Join(Shells(), ", "))
	}
	return fmt.Sprintf(script, program, CompleteCommand), nil
}

// Complete returns what the last word may become: commands, flags, or the values of a flag that has
// few. It returns nothing where a file name may stand, which the shell completes by itself.
func Complete(app *kong.Application, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	node, expecting := follow(app.Node, words[:len(words)-1])
	var found []string
	add := func(word string) {
		if strings.HasPrefix(word, last) {
			found = append(found, word)
		}
	}
	switch {
	case expecting != nil:
		for value := range expecting.EnumMap() {
			add(value)
		}
	case strings.HasPrefix(last, "-"):
		for _, flag := range flagsOf(node) {
			add("--" + flag.Name)
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				add(child.Name)
			}
		}
	}
	slices.Sort(found)
	return found
}

// follow returns the command that words have come to, and the flag that wants a value next, if any.
func follow(node *kong.Node, words []string) (_ *kong.Node, expecting *kong.Flag) {
	for _, word := range words {
		if expecting != nil {
			expecting = nil
			continue
		}
		if name, ok := strings.CutPrefix(word, "--"); ok {
			if i := slices.IndexFunc(flagsOf(node), func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
				if flag := flagsOf(node)[i]; !flag.IsBool() {
					expecting = flag
				}
			}
			continue
		}
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool {
			return n.Name == word || slices.Contains(n.Aliases, word)
		})
		if i >= 0 {
			node = node.Children[i]
		}
	}
	return node, expecting
}

// flagsOf returns the flags that may stand behind a command, without the hidden ones.
func flagsOf(node *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for n := node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if !f.Hidden {
				flags = append(flags, f)
			}
		}
	}
	return flags
}
