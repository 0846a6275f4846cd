package httpapi

import (
	"context"
	"net/http"
)

// healthState is what /health answers.
type healthState struct {
	Success bool   `json:"success"`
	Status  string `json:"status" enum:"ok,disk full"`
	Disk    *Disk  `json:"disk,omitempty"`
}

// health answers whether this instance works. A full disk is not a failure of the instance, which
// goes on serving the mail that is there: the answer only tells of it.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if err := s.opts.Ping(ctx); err != nil {
		s.log.Warn("health: database does not answer", "error", err)
		fail(w, http.StatusServiceUnavailable, "DatabaseUnavailable", "the database does not answer")
		return
	}
	state := healthState{Success: true, Status: "ok"}
	if s.opts.Disk != nil {
		disk, err := s.opts.Disk()
		if err != nil {
			s.log.Warn("health: the disk's state is unknown", "error", err)
		} else {
			state.Disk = &disk
			if disk.WritesRefused {
				state.Status = "disk full"
			}
		}
	}
	answer(w, http.StatusOK, state)
}
