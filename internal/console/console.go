package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"

	"github.com/klauspost/compress/gzip"
)

//go:embed web
var web embed.FS

// Index is the name of the page itself.
const Index = "index.html"

// Policy is the page's content security policy. The frames of HTML mail are of the page itself and
// inherit it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types gadwall-mail"

// A File is one of the console's files.
type File struct {
	Type   string // media type
	Tag    string // for ETag
	octets []byte
	packed []byte // by gzip
}

var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

var files = load()

// load reads the files, once for all requests.
func load() map[string]*File {
	entries, err := fs.ReadDir(web, "web")
	if err != nil {
		panic(err) // embedded
	}
	all := make(map[string]*File, len(entries))
	for _, entry := range entries {
		octets, err := fs.ReadFile(web, "web/"+entry.Name())
		if err != nil {
			panic(err) // embedded
		}
		sum := sha256.Sum256(octets)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(octets) // a buffer takes everything
		_ = z.Close()
		all[entry.Name()] = &File{types[path.Ext(entry.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`,
			octets, packed.Bytes()}
	}
	return all
}

// Find returns the file of that name, or nil.
func Find(name string) *File { return files[name] }

// Serve answers with the file, compressed if the client can read that.
func (f *File) Serve(w http.ResponseWriter, r *http.Request, gzipped bool) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-cache") // the next version of the program has other files
	h.Set("ETag", f.Tag)
	h.Add("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.Tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.Type)
	octets := f.octets
	if gzipped {
		h.Set("Content-Encoding", "gzip")
		octets = f.packed
	}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(octets) // the client may be gone
	}
}
