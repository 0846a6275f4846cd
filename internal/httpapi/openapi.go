package httpapi

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// braces finds the parameters of a path.
var braces = regexp.MustCompile(`\{([a-z]+)\}`)

// document makes the OpenAPI document of the routes (OpenAPI Specification 3.1).
func document(routes []route) []byte {
	components := make(map[string]schema)
	answers := &schemas{components: components}
	requests := &schemas{components: components, request: true}
	problem, failure := answers.of(reflect.TypeFor[Problem]()), answers.of(reflect.TypeFor[Failure]())

	paths := map[string]map[string]any{}
	for _, r := range routes {
		op := map[string]any{
			"operationId": r.about.id, "summary": r.about.summary, "tags": []string{r.about.tag},
			"responses": r.about.responses(answers, problem, failure),
		}
		if parameters := r.parameters(); len(parameters) > 0 {
			op["parameters"] = parameters
		}
		switch {
		case r.about.bodyType != "":
			op["requestBody"] = schema{"required": true, "content": schema{
				r.about.bodyType: schema{"schema": schema{}}}}
		case r.about.body != nil:
			op["requestBody"] = schema{"required": true, "content": schema{
				typeJSON: schema{"schema": requests.of(reflect.TypeOf(r.about.body))}}}
		}
		if r.who != operators {
			op["security"] = []schema{}
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = op
	}
	raw, err := json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Gadwall", "version": "1",
			"description": "Users, their mail, and the state of a Gadwall mail store.",
			"license":     schema{"name": "see the file LICENSE"},
		},
		"servers": []schema{{"url": "/"}},
		"paths":   paths,
		// {}: on loopback a server may have no token.
		"security": []schema{{"token": []string{}}, {"password": []string{}}, {}},
		"components": schema{
			"schemas": components,
			"securitySchemes": schema{
				"token": schema{"type": "http", "scheme": "bearer",
					"description": "A token of this server, or of the provider of OpenID Connect."},
				"password": schema{"type": "http", "scheme": "basic",
					"description": "A user's own password, or an application password for http."},
			},
		},
	})
	if err != nil {
		panic(err) // maps of strings; a test makes the document of all routes
	}
	return raw
}

// parameters are those of the path, and then those of the query.
func (r *route) parameters() []schema {
	var list []schema
	for _, match := range braces.FindAllStringSubmatch(r.path, -1) {
		p, ok := pathParameters[match[1]]
		if !ok {
			panic("no description of {" + match[1] + "}") // a test makes the document of all routes
		}
		list = append(list, schema{
			"name": p.name, "in": "path", "required": true, "description": p.text, "schema": p.schema})
	}
	for _, p := range r.about.query {
		list = append(list, schema{
			"name": p.name, "in": "query", "required": p.required, "description": p.text, "schema": p.schema})
	}
	for _, p := range r.about.header {
		list = append(list, schema{"name": p.name, "in": "header", "description": p.text, "schema": p.schema})
	}
	if r.about.ranges {
		list = append(list, schema{"name": "Range", "in": "header", "description": "RFC 9110 section 14.2: bytes.",
			"schema": text()})
	}
	if r.about.ranges || r.about.tagged {
		list = append(list, schema{"name": "If-None-Match", "in": "header",
			"description": "The ETag of an earlier answer: 304 if it holds.", "schema": text()})
	}
	if r.about.guarded {
		list = append(list, schema{"name": "If-Match", "in": "header",
			"description": "The ETag of an earlier answer: 412 if the message changed since.", "schema": text()})
	}
	return list
}

// responses are the answers that a route can give.
func (o *operation) responses(answers *schemas, problem, failure schema) map[string]any {
	ids := schema{headerRequestID: schema{"description": "The request's id.", "schema": text()}}
	success := schema{"description": http.StatusText(o.success()), "headers": ids}
	content := schema{}
	if o.answer != nil {
		content[typeJSON] = schema{"schema": answers.of(reflect.TypeOf(o.answer))}
	}
	for _, mediaType := range o.answerTypes {
		content[mediaType] = schema{"schema": schema{}}
	}
	if len(content) > 0 {
		success["content"] = content
	}
	all := map[string]any{strconv.Itoa(o.success()): success}
	if o.ranges {
		all["206"] = success
	}
	if o.ranges || o.tagged {
		all["304"] = schema{"description": http.StatusText(http.StatusNotModified)}
	}
	failures := o.failures
	if o.guarded {
		failures = append(slices.Clip(failures), http.StatusPreconditionFailed)
	}
	form, mediaType := problem, typeProblem
	if o.fixed {
		form, mediaType = failure, typeJSON
	}
	failed := func(description string) schema {
		return schema{"description": description, "headers": ids, "content": schema{mediaType: schema{"schema": form}}}
	}
	for _, status := range slices.Concat(failures, failuresOfAll) {
		all[strconv.Itoa(status)] = failed(http.StatusText(status))
	}
	all["default"] = failed("Any other failure")
	return all
}

// failuresOfAll are statuses with which the server may refuse any request.
var failuresOfAll = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// openAPI answers GET /openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, json.RawMessage(s.document))
}
