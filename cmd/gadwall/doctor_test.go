package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// gadwall doctor works beside a server and without one, finds the server where it listens, and exits
// with 1 only if there is a problem.
func TestDoctor(t *testing.T) {
	dir := dataDir(t)
	s := startServer(t, "--data-dir", dir)
	// A name that no name server is asked about.
	args := []string{"doctor", "--data-dir", dir, "--hostname", "box", "--imap-listen", s.ports["IMAP"],
		"--lmtp-listen", s.ports["LMTP"], "--smtp-listen", s.ports["SMTP"], "--http-listen", s.ports["HTTP"]}
	got := gadwall(t, "", nil, args...)
	got.want(t, 0, "--imap-listen "+s.ports["IMAP"]+": a Gadwall answers",
		"--lmtp-listen "+s.ports["LMTP"]+": a Gadwall",
		"--smtp-listen "+s.ports["SMTP"]+": a Gadwall", "--http-listen "+s.ports["HTTP"]+": a Gadwall",
		"Transactions work", "Running: process", `warning  dns            The hostname "box" is no full name`)
	for line := range strings.Lines(gadwall(t, "", nil, append(args, "--json")...).out) {
		var f struct{ Area, Severity, Text, Do string }
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Area == "" || f.Text == "" ||
			(f.Severity == "ok") != (f.Do == "") {
			t.Errorf("%s: %+v, %v", line, f, err)
		}
	}
	// The port of LMTP is not that of IMAP.
	gadwall(t, "", nil, append(args, "--imap-listen", s.ports["LMTP"], "--lmtp-listen", "off")...).
		want(t, exitFailure, "problem  listeners      --imap-listen "+s.ports["LMTP"]+
			": another server has the address")
	s.stop(t)
	gadwall(t, "", nil, args...).want(t, 0, "no server listens, and one could", "No instance is running")
	gadwall(t, "", nil, append(args, "--gc-interval", "1s")...).
		want(t, exitFailure, "problem  configuration  serve would not start: --gc-interval", "->")
	gadwall(t, "", nil, "doctor", "--no-such-flag").want(t, exitUsage)
}
