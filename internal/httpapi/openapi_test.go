package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/account"
	"gadwall/internal/storetest"
)

// checker compares what the servers of tests are asked and answer with the documents that they
// serve.
type checker struct {
	mu         sync.Mutex
	validators map[string]validator.Validator // by document
	servers    map[string]validator.Validator // by address
	operations map[string]bool                // method and path: whether it has succeeded
}

var checks = checker{
	validators: map[string]validator.Validator{}, servers: map[string]validator.Validator{},
	operations: map[string]bool{},
}

// TestMain fails if a route has not succeeded in any of the tests: then nothing has compared its
// answer with the document.
func TestMain(m *testing.M) {
	code := m.Run()
	isSet := func(name string) bool { return flag.Lookup(name).Value.String() != "" }
	if code == 0 && !isSet("test.run") && !isSet("test.skip") && !isSet("test.fuzz") {
		for operation, succeeded := range checks.operations {
			if !succeeded {
				fmt.Printf("no test has seen %s succeed\n", operation)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// checkAgainst has the answers of the server at that address compared with its document.
func checkAgainst(t *testing.T, address string, document []byte) {
	t.Helper()
	checks.mu.Lock()
	defer checks.mu.Unlock()
	v := checks.validators[string(document)]
	if v == nil {
		doc, err := libopenapi.NewDocument(document)
		if err != nil {
			t.Fatal(err)
		}
		var errs []error
		if v, errs = validator.NewValidator(doc); len(errs) > 0 {
			t.Fatal(errs)
		}
		if ok, errs := v.ValidateDocument(); !ok {
			t.Fatalf("the document is wrong: %s", problems(errs))
		}
		checks.validators[string(document)] = v
		var paths struct {
			Paths map[string]map[string]json.RawMessage
		}
		if err := json.Unmarshal(document, &paths); err != nil {
			t.Fatal(err)
		}
		for path, methods := range paths.Paths {
			for method := range methods {
				operation := strings.ToUpper(method) + " " + path
				if !checks.operations[operation] {
					checks.operations[operation] = false // it exists
				}
			}
		}
	}
	checks.servers[address] = v
}

// checkExchange compares a request and its answer with the document of the server.
func checkExchange(t *testing.T, req *http.Request, sent string, resp *http.Response, body []byte) {
	t.Helper()
	checks.mu.Lock()
	defer checks.mu.Unlock()
	v := checks.servers[req.URL.Host]
	if resp.Header.Get(headerRequestID) == "" {
		t.Errorf("%s %s: the answer has no request id", req.Method, req.URL)
	}
	operation := checks.operation(req)
	if v == nil || operation == "" || resp.StatusCode == http.StatusNotModified || req.Method == http.MethodHead {
		return // no route: no document
	}
	req = req.Clone(req.Context())
	if strings.HasPrefix(sent, "{") {
		req.Header.Set("Content-Type", typeJSON) // curl -d declares a form, which is accepted
	}
	req.Body = io.NopCloser(strings.NewReader(sent))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode < 300 {
		checks.operations[operation] = true
		if ok, errs := v.ValidateHttpRequest(req); !ok {
			t.Errorf("%s %s succeeded, and is no request by the document: %s", req.Method, req.URL, problems(errs))
		}
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode < 300 && mediaType != typeJSON {
		return // octets; the validator knows nothing of them
	}
	if ok, errs := v.ValidateHttpResponse(req, resp); !ok {
		t.Errorf("%s %s: %d is no answer by the document: %s\n%s",
			req.Method, req.URL, resp.StatusCode, problems(errs), body)
	}
}

// operation returns the method and path of the request's route.
func (c *checker) operation(req *http.Request) string {
	have := strings.Split(req.URL.EscapedPath(), "/")
	best, wildcards := "", 0
	for operation := range c.operations {
		method, path, _ := strings.Cut(operation, " ")
		want := strings.Split(path, "/")
		if method != req.Method || len(want) != len(have) {
			continue
		}
		n, fits := 0, true
		for i := range want {
			if strings.HasPrefix(want[i], "{") {
				n++
			} else if want[i] != have[i] {
				fits = false
			}
		}
		if fits && (best == "" || n < wildcards) {
			best, wildcards = operation, n
		}
	}
	return best
}

func problems(errs []*errors.ValidationError) string {
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Error())
		for _, s := range e.SchemaValidationErrors {
			lines = append(lines, "  "+s.Error())
		}
	}
	return strings.Join(lines, "\n")
}

// allRoutes is a server that has every route.
func allRoutes(t *testing.T) string {
	st := storetest.Open(t, storetest.Options{})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	return start(t, Options{Users: st, Accounts: accounts, Gatherer: prometheus.NewRegistry()})
}

// The document names every route of the table, by an id that no other one has.
func TestDocumentHasAllRoutes(t *testing.T) {
	url := allRoutes(t)
	status, body, header := request(t, "GET", url+"/openapi.json", "")
	if status != 200 || header.Get("Content-Type") != typeJSON {
		t.Fatalf("%d %v", status, header)
	}
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID, Summary string
			Tags                 []string
		}
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", document.OpenAPI)
	}
	ids := map[string]bool{}
	for path, methods := range document.Paths {
		for method, op := range methods {
			if op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
				t.Errorf("%s %s: id %q, %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			for _, tag := range op.Tags {
				if _, known := areas[tag]; !known {
					t.Errorf("%s %s: the tag %q has no scope", method, path, tag)
				}
			}
			if len(op.Tags) != 1 {
				t.Errorf("%s %s: tags %q", method, path, op.Tags)
			}
		}
	}
	for _, id := range []string{"createUserFixed", "health", "metrics", "openapi", "search"} {
		if !ids[id] {
			t.Errorf("no operation %s", id)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	url := allRoutes(t)
	for sent, kept := range map[string]bool{
		"abc-1.2_Z": true, "with space": false, strings.Repeat("x", maxRequestID): true,
		strings.Repeat("x", maxRequestID+1): false, "a\tb": false,
	} {
		_, _, header := request(t, "GET", url+"/health", "", headerRequestID+": "+sent)
		if got := header.Get(headerRequestID); (got == sent) != kept || got == "" {
			t.Errorf("%q became %q", sent, got)
		}
	}
	_, body, header := request(t, "GET", url+"/users/nobody@example.com/search?q=x", "")
	var p Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || header.Get("Content-Type") != typeProblem ||
		p.Request == "" || p.Request != header.Get(headerRequestID) || p.Status != 404 || p.Code != "NoSuchUser" ||
		p.Title != "Not Found" || p.Detail == "" {
		t.Errorf("%s, %v, %s", header, err, body)
	}
	// The route with fixed answers has no problem documents.
	if _, body, header := request(t, "POST", url+"/user/create", `{}`); header.Get("Content-Type") != typeJSON ||
		strings.Contains(body, "about:blank") {
		t.Errorf("%s %s", header, body)
	}
}

func TestCompression(t *testing.T) {
	url := allRoutes(t)
	for accepted, want := range map[string]string{
		"gzip": "gzip", "br, GZIP;q=0.5": "gzip", "gzip;q=0": "", "identity": "", "br": "",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/openapi.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accepted)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		got := resp.Header.Get("Content-Encoding")
		if varies := slices.Contains(resp.Header.Values("Vary"), "Accept-Encoding"); got != want || !varies {
			t.Errorf("%s: encoding %q, %v", accepted, got, resp.Header)
		}
		if gzipped := bytes.HasPrefix(body, []byte{0x1f, 0x8b}); gzipped != (want != "") {
			t.Errorf("%s: compressed %v", accepted, gzipped)
		}
	}
}

// codes finds statuses with their codes in the source.
var codes = regexp.MustCompile(`http\.Status\w+,\s+"([A-Z]\w+)"`)

// docs/api.md has every code.
func TestDocsHaveAllCodes(t *testing.T) {
	docs, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, match := range codes.FindAllSubmatch(source, -1) {
			found++
			if !bytes.Contains(docs, []byte("`"+string(match[1])+"`")) {
				t.Errorf("%s: docs/api.md does not have the code %s", name, match[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("%d codes in the source", found)
	}
}
