package httpapi

import (
	"net/http"

	"gadwall/internal/console"
)

// consoleRoutes are the page for operators. It is public, since it holds no data.
func (s *Server) consoleRoutes() []route {
	return []route{
		{http.MethodGet, "/", visitors, 0, routeTimeout, s.getConsole, operation{
			id: "console", summary: "The page for operators.", tag: "document", answerTypes: []string{"text/html"}}},
		{http.MethodGet, "/console/{file}", visitors, 0, routeTimeout, s.getConsoleFile, operation{
			id: "consoleFile", summary: "A file of the page for operators.", tag: "document", tagged: true,
			answerTypes: []string{"text/css", "text/javascript", "image/svg+xml"},
			failures:    []int{http.StatusNotFound}}},
	}
}

func (s *Server) getConsole(w http.ResponseWriter, r *http.Request) {
	console.Find(console.Index).Serve(w, r, acceptsGzip(r))
}

func (s *Server) getConsoleFile(w http.ResponseWriter, r *http.Request) {
	file := console.Find(r.PathValue("file"))
	if file == nil {
		fail(w, http.StatusNotFound, "NotFound", "no such resource")
		return
	}
	file.Serve(w, r, acceptsGzip(r))
}
