package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/listen"
)

// certificateLook is how often a server looks whether a certificate ends soon.
const certificateLook = 12 * time.Hour

// reparse parses the arguments of the process, its environment and the configuration file again.
type reparse func() (*cli, error)

// A reloader takes over what may change while the server runs: certificates, and the level of the
// log.
type reloader struct {
	again        reparse
	certificates *listen.Certificates // nil without TLS
	level        *slog.LevelVar
	log          *slog.Logger
}

// run reloads at every signal until ctx ends.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) {
	look := time.NewTicker(certificateLook)
	defer look.Stop()
	r.warn()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			r.warn()
		case <-hangups:
			notify(r.log, stateReloading())
			r.reload()
			notify(r.log, stateReady)
		}
	}
}

func (r *reloader) warn() {
	if r.certificates != nil {
		r.certificates.Warn(r.log, time.Now())
	}
}

// reload keeps what it cannot read again.
func (r *reloader) reload() {
	c, err := r.again()
	if err != nil {
		r.log.Error("not reloaded: everything stays as it was", "error", err)
		return
	}
	level, err := levelOf(c.Serve.Log)
	if err != nil {
		r.log.Error("not reloaded: everything stays as it was", "error", err)
		return
	}
	r.level.Set(level)
	if err := r.reloadCertificates(&c.Serve.TLS); err != nil {
		r.log.Error("certificates not reloaded: those from before stay in use", "error", err)
		return
	}
	r.warn()
	r.log.Info("reloaded certificates and log level", "log_level", level)
}

// reloadCertificates reads the files that the settings name now.
func (r *reloader) reloadCertificates(files *config.TLS) error {
	switch {
	case r.certificates == nil && len(files.Cert) == 0:
		return nil
	case r.certificates == nil:
		return errors.New("there were none when the server started: it needs a restart")
	case len(files.Cert) != len(files.Key):
		return errors.New("--tls-cert and --tls-key belong together")
	}
	return r.certificates.Load(files.Pairs())
}
