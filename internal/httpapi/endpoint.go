package httpapi

import (
	"net/http"
)

// endpoint answers a request by a value, which becomes JSON, or nil for an answer without a body,
// or by an error.
type endpoint func(w http.ResponseWriter, r *http.Request) (any, error)

// route is a route of an endpoint, for operators.
func (s *Server) route(method, path string, e endpoint, about operation) route {
	size := int64(0)
	if about.body != nil {
		size = maxUserBody
	}
	return route{method, path, operators, size, routeTimeout, s.endpoint(about.success(), e), about}
}

// endpoint makes a handler of the endpoint. The answer has the status that the route's description
// says.
func (s *Server) endpoint(status int, e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := e(w, r)
		switch {
		case err != nil:
			s.failWith(w, r, err)
		case v == notChanged:
			w.WriteHeader(http.StatusNotModified)
		case v == nil:
			w.WriteHeader(status)
		default:
			answer(w, status, v)
		}
	}
}
