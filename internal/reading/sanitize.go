package reading

import (
	"net/url"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// policy says which HTML is safe. It is used concurrently, as bluemonday allows.
var policy = newPolicy()

func newPolicy() *bluemonday.Policy {
	p := bluemonday.UGCPolicy()
	p.AllowURLSchemes("mailto", "http", "https", "tel", "cid")
	p.AllowAttrs("align", "valign", "bgcolor", "width", "height", "border", "cellpadding", "cellspacing").
		OnElements("table", "tr", "td", "th", "img")
	// Each has a check of its values in bluemonday; none of them loads anything.
	p.AllowStyles("color", "background-color", "text-align", "font-weight", "font-style", "font-size",
		"text-decoration", "margin", "padding").Globally()
	p.AllowRelativeURLs(false) // there is nothing to which they could be relative
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	// An image from elsewhere would tell its server who reads the message, and when.
	p.RewriteSrc(func(u *url.URL) {
		if !strings.EqualFold(u.Scheme, "cid") {
			*u = url.URL{Scheme: "cid", Opaque: "remote"}
		}
	})
	return p
}

// SafeHTML returns what is safe of HTML: see the package comment. The address of a remote image
// becomes cid:remote.
func SafeHTML(html string) string { return policy.Sanitize(html) }
