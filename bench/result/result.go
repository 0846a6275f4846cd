// Package result has what measurements come to: lines of JSON, one for each
// measurement, and how they are summed up and compared.
//
//	workload -> Line -> Writer -> file -> Read -> Summarize, Compare -> report
//
// A file holds the lines of one run or of several. Reports need nothing else.
package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gadwall/bench/load"
)

// Version is that of the format; Read refuses files of a later one.
const Version = 1

// maxLine bounds one line of a file.
const maxLine = 16 << 20

// Line is one measurement: one workload, with one set of parameters, on one server, once.
type Line struct {
	Version int       `json:"v"`
	Run     string    `json:"run"` // the same for all lines of one invocation
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Server  Server    `json:"server"`

	Workload string `json:"workload"` // such as "fetch"
	// Step is the part of the workload, such as "envelope"; empty if it has only one.
	Step string `json:"step,omitempty"`
	// Params are what the cost may depend on: connections, users, messages, size.
	Params map[string]float64 `json:"params,omitempty"`
	Repeat int                `json:"repeat"` // from 0

	Calls   int64   `json:"calls,omitempty"`
	Errors  int64   `json:"errors,omitempty"`
	Example string  `json:"errorExample,omitempty"`
	Octets  int64   `json:"octets,omitempty"` // that clients sent or received
	Seconds float64 `json:"seconds,omitempty"`
	Rate    float64 `json:"openLoopRate,omitempty"` // calls a second that were due; 0: closed loop

	Latency *Latency `json:"latency,omitempty"` // as clients saw it
	Service *Latency `json:"service,omitempty"` // of an open loop: without waiting for a worker

	// Database has the database's own counters for one call, by command.
	Database map[string]Commands `json:"database,omitempty"`
	// Values are what else was measured, by name with unit: "rss-bytes", "disk-bytes".
	Values map[string]float64 `json:"values,omitempty"`
}

// Machine is where both sides ran.
type Machine struct {
	CPU    string `json:"cpu,omitempty"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memoryBytes,omitempty"`
	System string `json:"system,omitempty"`
}

// Server is what was measured.
type Server struct {
	Name    string `json:"name"` // "gadwall", "dovecot"
	Version string `json:"version,omitempty"`
	// Variant tells servers of one name apart: "embedded", "mongodb", "mdbox+zstd".
	Variant string `json:"variant,omitempty"`
}

// String is the name with its variant.
func (s Server) String() string {
	if s.Variant == "" {
		return s.Name
	}
	return s.Name + " " + s.Variant
}

// AllCommands names the sum of all commands in Line.Database, with what the database counts for all of
// them together.
const AllCommands = "all commands"

// Commands are the commands of one name, for one call of the workload.
type Commands struct {
	Count     float64 `json:"count"`
	Documents float64 `json:"documentsExamined,omitempty"`
	Keys      float64 `json:"keysExamined,omitempty"`
	Octets    float64 `json:"octets,omitempty"` // of requests and answers
}

// Latency is a distribution of latencies: quantiles in milliseconds for readers, and the whole
// histogram, so that files can be merged.
type Latency struct {
	P50       float64 `json:"p50ms"`
	P90       float64 `json:"p90ms"`
	P99       float64 `json:"p99ms"`
	P999      float64 `json:"p99.9ms"`
	Max       float64 `json:"maxms"`
	Mean      float64 `json:"meanms"`
	Histogram []byte  `json:"hdr,omitempty"` // HdrHistogram, compressed, nanoseconds
}

// NewLatency sums up a histogram of nanoseconds.
func NewLatency(h *hdrhistogram.Histogram) (*Latency, error) {
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	ms := func(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }
	return &Latency{
		P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()), Mean: h.Mean() / float64(time.Millisecond),
		Histogram: encoded,
	}, nil
}

// Decode returns the whole histogram, in nanoseconds.
func (l *Latency) Decode() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode(l.Histogram)
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	return h, nil
}

// SetSample puts what a repeat came to into the line.
func (l *Line) SetSample(s *load.Sample, openLoopRate float64) (err error) {
	l.Calls, l.Errors, l.Example, l.Octets = s.Calls, s.Errors, s.FirstError, s.Octets
	l.Seconds, l.Rate = s.Elapsed.Seconds(), openLoopRate
	if l.Latency, err = NewLatency(s.Latency); err != nil {
		return err
	}
	if openLoopRate > 0 {
		l.Service, err = NewLatency(s.Service)
	}
	return err
}

// Name is the workload with its step.
func (l *Line) Name() string {
	if l.Step == "" {
		return l.Workload
	}
	return l.Workload + " " + l.Step
}

// Key names what was measured, without the repeat: lines with the same key and server are repeats
// of one thing, those with the same key and another server can be compared.
func (l *Line) Key() string {
	var b strings.Builder
	b.WriteString(l.Name())
	for _, name := range slices.Sorted(maps.Keys(l.Params)) {
		fmt.Fprintf(&b, " %s=%g", name, l.Params[name])
	}
	if l.Rate > 0 {
		fmt.Fprintf(&b, " rate=%g", l.Rate)
	}
	return b.String()
}

// CallsPerSecond is the throughput; 0 if there was no time.
func (l *Line) CallsPerSecond() float64 {
	if l.Seconds <= 0 {
		return 0
	}
	return float64(l.Calls) / l.Seconds
}

// Writer writes lines. It is not safe for concurrent use.
type Writer struct{ enc *json.Encoder }

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{json.NewEncoder(w)} }

// Write writes one line.
func (w *Writer) Write(l *Line) error {
	l.Version = Version
	return w.enc.Encode(l)
}

// ErrVersion: a file of a later version.
var ErrVersion = errors.New("results of a later version of the format")

// Read reads all lines.
func Read(r io.Reader) ([]*Line, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	var lines []*Line
	for n := 1; in.Scan(); n++ {
		if len(strings.TrimSpace(in.Text())) == 0 {
			continue
		}
		l := new(Line)
		if err := json.Unmarshal(in.Bytes(), l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if l.Version > Version {
			return nil, fmt.Errorf("line %d: %w: %d", n, ErrVersion, l.Version)
		}
		if l.Workload == "" {
			return nil, fmt.Errorf("line %d: not a measurement", n)
		}
		lines = append(lines, l)
	}
	return lines, in.Err()
}
