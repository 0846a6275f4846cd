package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
)

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs; net/http recovers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func fail(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
		Code    string `json:"code"`
	}{false, text, code})
}

// trouble answers for a failure of ours; the cause goes to the log, under an id
// that the client can tell.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, what string, err error) {
	id := rand.Text()[:12]
	s.log.Error(what, "request", id, "path", r.URL.Path, "error", err)
	fail(w, http.StatusInternalServerError, "Internal", "trouble on our side; the log has it under "+id)
}
