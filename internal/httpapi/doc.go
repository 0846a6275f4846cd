// Package httpapi is gadwall's HTTP interface: users, health, metrics.
//
//	POST /user/create   {"username":"ada@example.com","password":"..."}
//	                    200 {"success":true,"id":"...","username":"ada@example.com"}
//	                    also "quota":{"storage":..., "messages":...}: a number, or a string such as
//	                    "10GiB", "unlimited", "default"
//	GET  /health        200 {"success":true,"status":"ok"}, or 503 when the database does not answer
//	GET  /metrics       Prometheus text format
//
// Every failure is {"success":false,"error":"for people","code":"ForPrograms"}
// with a fitting status.
//
// # Who may ask
//
// With a token configured, every request but /health must carry
// "Authorization: Bearer TOKEN". Without one the server must listen on loopback
// only; then the danger is a web page in a browser on this machine. So a request
// must name a loopback host (a page that rebinds its own name in DNS does not), and what the browser says
// comes from a page of another origin is refused.
package httpapi
