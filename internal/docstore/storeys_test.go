package docstore_test

import (
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// The engine knows neither the wire protocol nor the commands above it.
func TestEngineKnowsNoProtocol(t *testing.T) {
	pkgs, err := parser.ParseDir(token.NewFileSet(), "engine", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, pkg := range pkgs {
		for name, f := range pkg.Files {
			files++
			for _, imp := range f.Imports {
				path, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(path, "docstore/wire") || !strings.HasSuffix(name, "_test.go") &&
					(strings.HasSuffix(path, "internal/docstore") || path == "net") {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
	if files == 0 {
		t.Error("no files read")
	}
}
