package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// repository is what was read of the tracked files.
type repository struct {
	files []file
}

type file struct {
	name      string // with slashes, from the root
	lines     []string
	generated bool
	texts     []text
	functions []string // Go: names of the functions at the top level, methods left aside
}

// A text is a piece of prose. Its line ends are kept, so that the line of any byte can be told.
type text struct {
	line  int // of its first byte
	s     string
	prose bool // a comment or a page, not a string of a program
}

// at returns the line of byte i of the text.
func (t text) at(i int) int {
	return t.line + strings.Count(t.s[:i], "\n")
}

// ownFiles begins the names of files that are not read for their texts: their citations are examples,
// right ones and wrong ones.
const ownFiles = "internal/doccheck/"

func (r *repository) read(dir, name string) error {
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed, and the removal is not yet committed
	}
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	f := file{name: name, lines: strings.Split(string(data), "\n")}
	switch {
	case strings.HasSuffix(name, ".md"):
		f.texts = []text{{line: 1, s: string(data), prose: true}}
	case strings.HasPrefix(name, ownFiles):
	default:
		if err := f.parse(data); err != nil {
			return err
		}
	}
	r.files = append(r.files, f)
	return nil
}

// parse finds the texts and functions of a Go file.
func (f *file) parse(data []byte) error {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, f.name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	f.generated = ast.IsGenerated(tree)
	for _, group := range tree.Comments {
		start, end := set.Position(group.Pos()), set.Position(group.End())
		f.texts = append(f.texts, text{line: start.Line, s: uncomment(data[start.Offset:end.Offset]), prose: true})
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				f.texts = append(f.texts, text{line: set.Position(n.Pos()).Line, s: n.Value})
			}
		case *ast.FuncDecl:
			if n.Recv == nil {
				f.functions = append(f.functions, n.Name.Name)
			}
		}
		return true
	})
	return nil
}

// uncomment removes the marks of line comments, and keeps the line ends.
func uncomment(b []byte) string {
	lines := bytes.Split(b, []byte("\n"))
	for i, line := range lines {
		line = bytes.TrimSpace(line)
		lines[i] = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("//")))
	}
	return string(bytes.Join(lines, []byte("\n")))
}
