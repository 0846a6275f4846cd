package report

import (
	"bytes"
	_ "embed" // the template
	"html/template"
	"io"
)

//go:embed page.html.tmpl
var pageText string

// The drawing escapes the names in it, so the template need not.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"svg": func(c *chart) template.HTML { return template.HTML(c.svg()) },
}).Parse(pageText))

// WriteHTML writes the report as one page.
func (r *Report) WriteHTML(w io.Writer) error {
	var b bytes.Buffer
	if err := page.Execute(&b, r); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
