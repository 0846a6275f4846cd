package httpapi

import (
	"math"
	"net/http"
)

// operation describes a route for the OpenAPI document.
type operation struct {
	id, summary, tag string
	// query are the parameters of the query; those of the path are described by pathParameters.
	query []parameter
	// header are header fields of the request.
	header []parameter
	// body is a value of the type that the request's body is decoded into; nil: the request has none.
	body any
	// bodyType is the media type of a body that is no JSON.
	bodyType string
	// status is that of success; 0 means 200.
	status int
	// answer is a value of the type that a success has; nil: it has no body.
	answer any
	// answerTypes are the media types of an answer that is no JSON.
	answerTypes []string
	// ranges says that the route answers Range (RFC 9110 section 14), and ETag.
	ranges bool
	// tagged says that the answer has an ETag, and that If-None-Match is looked at.
	tagged bool
	// guarded says that If-Match is looked at, too; the route may answer 412.
	guarded bool
	// self says that a user may use the route for himself.
	self bool
	// failures are the statuses with which the route refuses a request, beside those of all routes.
	failures []int
	// fixed says that failures have the form Failure, else Problem.
	fixed bool
}

func (o *operation) success() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}

// parameter is a parameter of a query or path.
type parameter struct {
	name, text string
	schema     schema
	required   bool
}

// pathParameters describes what stands in braces in paths.
var pathParameters = map[string]parameter{
	"id":       {name: "id", text: "The user's id or name.", schema: text()},
	"address":  {name: "address", text: "An address.", schema: text()},
	"mailbox":  {name: "mailbox", text: "The mailbox's id, or its path with / as %2F.", schema: text()},
	"uid":      {name: "uid", text: "The message's UID.", schema: number(1, math.MaxUint32)},
	"part":     {name: "part", text: "The part's number, such as 2.1.", schema: text()},
	"thread":   {name: "thread", text: "A THREADID, such as T42.", schema: text()},
	"domain":   {name: "domain", text: "A domain.", schema: text()},
	"session":  {name: "session", text: "The id of a session.", schema: text()},
	"token":    {name: "token", text: "The id of a token.", schema: text()},
	"file":     {name: "file", text: "The name of a file.", schema: text()},
	"webhook":  {name: "webhook", text: "The id of a webhook.", schema: text()},
	"delivery": {name: "delivery", text: "The id of a delivery.", schema: text()},
	"link":     {name: "link", text: "What a webhook was told.", schema: text()},
	"password": {name: "password", text: "The id of an application password.", schema: text()},
}

// Schemas of parameters.
func text() schema { return schema{"type": "string"} }

func number(least, most int) schema {
	return schema{"type": "integer", "minimum": least, "maximum": most}
}

// paged are the parameters of a route that answers page by page.
func paged(most int, after string) []parameter {
	return []parameter{
		{name: "limit", text: "Most entries of a page.", schema: number(1, most)},
		{name: "after", text: after, schema: text()},
	}
}
