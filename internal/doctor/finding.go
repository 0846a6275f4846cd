package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gadwall/internal/config"
)

// A Severity says how bad a finding is.
type Severity int

const (
	OK Severity = iota
	Warning
	Problem
)

var severityNames = [...]string{OK: "ok", Warning: "warning", Problem: "problem"}

// String implements fmt.Stringer.
func (s Severity) String() string { return severityNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Finding is what a look has found.
type Finding struct {
	Area     string   `json:"area"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	// Do says what to do; empty if it is ok.
	Do string `json:"do,omitempty"`
}

// findings are those of one area.
type findings struct {
	area string
	list []Finding
}

func (f *findings) ok(format string, args ...any) { f.add(OK, "", format, args...) }

func (f *findings) warn(do, format string, args ...any) { f.add(Warning, do, format, args...) }

func (f *findings) problem(do, format string, args ...any) { f.add(Problem, do, format, args...) }

func (f *findings) add(s Severity, do, format string, args ...any) {
	f.list = append(f.list, Finding{f.area, s, fmt.Sprintf(format, args...), do})
}

// Options say what to look at.
type Options struct {
	// Serve are the settings of the server, which need not be checked.
	Serve config.Serve
	// Refused is why the server would not start with them; nil if it would.
	Refused error
	// Version is that of the program.
	Version string
	// Resolver asks name servers; nil is that of the system.
	Resolver Resolver
	// Roots are the authorities that clients trust; nil are those of this machine.
	Roots *x509.CertPool
	// System tells of the machine; nil is this one.
	System *System
	// Now is the time; time.Now if nil.
	Now func() time.Time
}

// A look adds findings of its area.
type look func(ctx context.Context, o *Options, f *findings)

// looks by their areas, in the order of their findings. Those of the database are behind them.
var looks = []struct {
	area string
	look look
}{
	{"configuration", configuration}, {"tls", certificates}, {"listeners", listeners}, {"dns", names},
	{"disk", disk}, {"limits", limits}, {"smarthost", smarthost}, {"redis", redisServer},
}

// Examine makes all looks.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.System == nil {
		o.System = thisSystem()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	redis.SetLogger(quiet{}) // a finding says what is wrong
	found := make([]findings, len(looks))
	var running sync.WaitGroup
	for i, l := range looks {
		found[i].area = l.area
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, lookTimeout)
			defer cancel()
			l.look(ctx, &o, &found[i])
		})
	}
	running.Wait()
	stored := storage(ctx, &o)
	var all []Finding
	for _, f := range found {
		all = append(all, f.list...)
	}
	return append(all, stored...)
}

// quiet is a log that nobody reads.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Worst is the severity of the worst finding.
func Worst(list []Finding) Severity {
	worst := OK
	for _, f := range list {
		worst = max(worst, f.Severity)
	}
	return worst
}
