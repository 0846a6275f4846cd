package main

import (
	"log/slog"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/coreos/go-systemd/v22/daemon"
)

// memoryRatio is the part of a container's memory that Go's heap may take. The rest is for the
// block cache of the embedded database and for the stacks and buffers of the system.
const memoryRatio = 0.8

// limitMemory keeps Go's heap (GOMEMLIMIT) below a part of the given limit, which is that of the
// container or unit that the process is in. The environment's own GOMEMLIMIT comes first.
func limitMemory(log *slog.Logger, given memlimit.Provider) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithProvider(given))
	if err != nil {
		log.Debug("no memory limit found", "error", err)
		return
	}
	log.Debug("memory limit of the heap", "bytes", limit)
}

// States that systemd is told of (sd_notify(3)).
const (
	stateReady    = daemon.SdNotifyReady
	stateStopping = daemon.SdNotifyStopping
)

// stateReloading carries the time, by which systemd tells this reload from one before.
func stateReloading() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// notify tells systemd of a state, if it runs this process as a unit of Type=notify.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		state, _, _ = strings.Cut(state, "\n")
		log.Warn("cannot tell systemd", "state", state, "error", err)
	}
}
