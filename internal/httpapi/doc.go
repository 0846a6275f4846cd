// Package httpapi is Gadwall's HTTP interface: users, health, metrics.
//
//	POST /user/create   {"username":"ada@example.com","password":"..."}
//	                    200 {"success":true,"id":"...","username":"ada@example.com"}
//	                    also "quota":{"storage":..., "messages":...}: a number, or a string such as
//	                    "10GiB", "unlimited", "default"
//	GET  /users/{id}/search?q=...&limit=20&after=...
//	                    messages that a search finds (package search/language has the words); id is
//	                    the user's id or name
//	                    200 {"success":true,"results":[...],"next":"1.42"}; next is there if there
//	                    are more, for after; subject and snippet are HTML with <mark> around hits
//	GET  /health        200 {"success":true,"status":"ok"}, or 503 when the database does not answer;
//	                    with the embedded database also "disk":{"freeBytes":...,"writesRefused":...},
//	                    and the status "disk full" while writes are refused: reading goes on
//	GET  /metrics       Prometheus text format
//
// Every failure is {"success":false,"error":"for people","code":"ForPrograms"}
// with a fitting status.
//
// # How a request flows
//
//	limited listener -> net/http -> route table -> who may ask -> handler -> answer
//
// Each route declares its method, path, limits, time and who may ask (routes.go).
// Routing follows from that table alone. A route without a time limit sets the
// deadlines of its connection itself, as a stream of events or a download must.
//
// # Who may ask
//
// With a token configured, every request but /health must carry
// "Authorization: Bearer TOKEN". Without a token the server must listen on
// loopback only. The danger is then a web page in a browser on this machine, so
// the server answers only requests that name a loopback host, which keeps out a
// page that rebinds its own name in DNS, and refuses requests which the browser
// marks as coming from a page of another origin.
//
// # What always holds
//
//   - A refusal does not wait for the request's body: the server answers, stops
//     reading, and closes the connection.
//   - Connections are limited in all and for each address. Past the limit a few
//     more are accepted, for one request each, and only /health is answered there.
package httpapi
