package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "gadwall"
	driver = "go.mongodb.org/mongo-driver/v2"
)

// imports returns what each package of the module imports, tests aside.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		list[fields[0]] = fields[1:]
	}
	if len(list[module+"/imap"]) == 0 {
		t.Fatal("go list does not know imap")
	}
	return list
}

// within reports whether a package is the tree's root or below it.
func within(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }

// A rule says that packages of one tree do not import those of some others.
type rule struct {
	why    string
	from   []string // trees; module is every package
	not    []string // trees
	except []string // importing packages to which the rule does not apply
	but    []string // trees within not that may be imported all the same
}

var rules = []rule{
	{
		why:  "protocols and accounts know no database",
		from: []string{"imap", "ingest", "internal/httpapi", "internal/account", "internal/sasl"},
		not:  []string{driver},
	}, {
		why:  "a search knows no protocol and nobody who asks",
		from: []string{"internal/search"},
		not: []string{"imap", "ingest", "internal/httpapi", "internal/account", "internal/events",
			"blobstore", "dedupe", driver + "/mongo"},
		except: []string{"internal/search/index"},
	}, {
		why:  "the text index knows bits and numbers, and not who asks for what",
		from: []string{"internal/search/index"},
		not: []string{"imap", "ingest", "internal/httpapi", "internal/account", "internal/events",
			"internal/mailstore", "blobstore", "dedupe"},
	}, {
		why:  "mechanisms of logins know no protocol",
		from: []string{"internal/sasl"},
		not:  []string{"imap", "ingest", "internal/httpapi"},
	}, {
		why:    "commands are the top",
		from:   []string{module},
		not:    []string{"cmd"},
		except: []string{"cmd"},
	}, {
		why:  "the MIME parser and the sets of UIDs stand alone",
		from: []string{"mimestream", "internal/uidset"},
		not:  []string{module, driver},
	}, {
		why:  "only what opens a database or tests it knows the embedded one",
		from: []string{module},
		not:  []string{"internal/docstore"},
		except: []string{"internal/docstore", "internal/dbtest", "internal/node", "cmd/gadwall",
			"internal/dictionary/gen"},
	}, {
		why:  "protocols do not know each other",
		from: []string{"imap"},
		not:  []string{"ingest", "internal/httpapi"},
	}, {
		why:  "protocols do not know each other",
		from: []string{"ingest", "internal/httpapi"},
		not:  []string{"imap"},
	}, {
		why: "the store of mail knows neither those who ask nor what runs it",
		from: []string{"internal/mailstore", "internal/contents", "blobstore", "dedupe", "quota",
			"internal/events", "internal/mailkey", "internal/envelope"},
		not: []string{"imap", "ingest", "internal/httpapi", "internal/account", "internal/search",
			"internal/node", "internal/config", "internal/maintenance"},
		but: []string{"imap/wire"}, // ENVELOPE and BODYSTRUCTURE are stored as IMAP writes them
	}, {
		why:  "the feed tells what happened and knows nobody whom it tells",
		from: []string{"internal/feed"},
		not: []string{"imap", "ingest", "internal/httpapi", "internal/account", "internal/search", "internal/node",
			driver},
	}, {
		why:  "the elements of IMAP know nothing of mail",
		from: []string{"imap/wire"},
		not:  []string{module},
		but:  []string{"internal/uidset"},
	}, {
		why:  "the engine of the embedded database knows neither the wire protocol nor the commands",
		from: []string{"internal/docstore/engine"},
		not:  []string{"internal/docstore", "net"},
		but: []string{"internal/docstore/engine", "internal/docstore/bsonkey", "internal/docstore/query",
			"internal/docstore/rawdoc", "internal/docstore/mongoerr"},
	}, {
		why:  "sections know nothing but part tables",
		from: []string{"internal/section"},
		not:  []string{module, driver},
		but:  []string{"mimestream"},
	},
}

func path(tree string) string {
	if tree == module || tree == "net" || strings.Contains(tree, ".") {
		return tree
	}
	return module + "/" + tree
}

// broken returns the imports that break a rule.
func (r rule) broken(imports map[string][]string) (list []string) {
	in := func(pkg string, trees []string) bool {
		return slices.ContainsFunc(trees, func(tree string) bool { return within(pkg, path(tree)) })
	}
	for pkg, deps := range imports {
		if !in(pkg, r.from) || in(pkg, r.except) {
			continue
		}
		for _, dep := range deps {
			if in(dep, r.not) && !in(dep, r.but) {
				list = append(list, pkg+" imports "+dep)
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestImports(t *testing.T) {
	all := imports(t)
	for _, r := range rules {
		for _, b := range r.broken(all) {
			t.Errorf("%s: %s", r.why, b)
		}
		for _, tree := range r.from {
			known := func(pkg string) bool { return within(pkg, path(tree)) }
			if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), known) {
				t.Errorf("%s: there is no package %s", r.why, tree)
			}
		}
	}
}

// The rules notice what breaks them.
func TestRulesNoticeBreaches(t *testing.T) {
	breaches := map[string][]string{
		module + "/imap/wire":      {driver + "/bson"},
		module + "/internal/lease": {module + "/cmd/gadwall", module + "/internal/docstore/engine"},
		module + "/mimestream":     {module + "/quota"},
		module + "/cmd/gadwall":    {module + "/internal/docstore"}, // is allowed
	}
	n := 0
	for _, r := range rules {
		n += len(r.broken(breaches))
	}
	if n != 4 {
		t.Errorf("%d breaches are noticed instead of 4", n)
	}
}

// selected returns the names that files of a package, tests aside, use of another package.
func selected(t *testing.T, dir, pkg string) map[string]token.Position {
	t.Helper()
	found := make(map[string]token.Position)
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") ||
			strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
					found[sel.Sel.Name] = files.Position(sel.Pos())
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Packages use of others the data types, not the stores behind them.
func TestUses(t *testing.T) {
	for _, use := range []struct {
		dir, pkg string
		not      []string
		some     string // a name that is used, so that the test looks at the right place
	}{
		{"imap", "mailstore", []string{"Store", "Open", "Options", "Deliver"}, "Query"},
		{"imap", "contents", []string{"Store", "New", "Writer"}, "Content"},
		{"internal/httpapi", "contents", []string{"Store", "New", "Writer"}, ""},
		{"internal/search", "mailstore", []string{"Store", "Open", "Options", "Deliver"}, "Query"},
		{"internal/search", "contents", []string{"Store", "New", "Writer"}, "Content"},
	} {
		names := selected(t, filepath.Join("..", "..", use.dir), use.pkg)
		for _, name := range use.not {
			if at, ok := names[name]; ok {
				t.Errorf("%s: %s uses %s.%s", at, use.dir, use.pkg, name)
			}
		}
		if _, ok := names[use.some]; !ok && use.some != "" {
			t.Errorf("%s does not use %s.%s: was it moved?", use.dir, use.pkg, use.some)
		}
	}
}
