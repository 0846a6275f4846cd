// Package httpapi is Gadwall's HTTP interface: users and their mail, health, metrics.
//
// The table of routes (routes.go) is the interface: GET /openapi.json answers what it says, and
// docs/api.md explains it.
//
// # Words
//
//   - route: a method and a path, with its limits, who may use it, and its description.
//   - operation: the description of a route, from which the OpenAPI document is made.
//   - endpoint: a function that answers a value or an error, which the server makes JSON or a
//     problem document (RFC 9457) of.
//   - fixed: of a route on whose answers other programs rely, such as POST /user/create. Its
//     failures have the form Failure.
//
// # How a request flows
//
//	limited listener -> net/http -> route table -> who may ask -> endpoint -> answer, fail
//
// Each route declares its method, path, limits, time and who may ask (routes.go).
// Routing follows from that table alone. A route without a time limit sets the
// deadlines of its connection itself, as a stream of events or a download must.
//
// # Who may ask
//
// With a token configured, every request but /health must carry "Authorization: Bearer TOKEN". The
// configured token may do everything. A token of the store (mailstore.Token) may do what its scopes
// say, and that of a user opens the mail of that user alone. A user who logs in with a password (HTTP
// Basic) or a token of a provider has a Token that is not stored (tokenFor), so that all further checks
// are the same.
//
// Without a token configured, and without Options.TokenRequired, the server must listen on loopback
// only. The danger is then a web page
// in a browser on this machine, so the server answers only requests that name a loopback host, which
// keeps out a page that rebinds its own name in DNS, and refuses requests which the browser marks as
// coming from a page of another origin.
//
// # What always holds
//
//   - A refusal does not wait for the request's body: the server answers, stops
//     reading, and closes the connection.
//   - Every answer has a request id, and so have the log's lines about the request.
//   - In tests every request that succeeds, and every answer, is compared with the document.
//   - Connections are limited in all and for each address. Past the limit a few
//     more are accepted, for one request each, and only /health is answered there.
package httpapi
