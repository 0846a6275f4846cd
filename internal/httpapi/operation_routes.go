package httpapi

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gadwall/internal/census"
	"gadwall/internal/mailstore"
	"gadwall/internal/pulse"
)

// Instance is a process that has the database open.
type Instance struct {
	ID      string    `json:"id"`
	Self    bool      `json:"self" doc:"It is the one that answers."`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Schema  int       `json:"schema" doc:"The newest schema of the database that it knows."`
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen" doc:"Of its latest heartbeat."`
	Silent  bool      `json:"silent" doc:"It missed some heartbeats: it was killed, or cannot reach the database."`
	// Figures are named as in a sample.
	Figures map[string]float64 `json:"figures,omitempty" doc:"Of its latest heartbeat, named as in /activity."`
}

type instanceList struct {
	Instances []Instance `json:"instances" doc:"By host, the oldest first."`
}

// recentActivity is what this instance did lately.
type recentActivity struct {
	Instance string         `json:"instance" doc:"The id of the one that answers."`
	Interval float64        `json:"interval" doc:"Seconds between samples."`
	Samples  []pulse.Sample `json:"samples" doc:"The oldest first."`
}

type logLines struct {
	Instance string       `json:"instance" doc:"The id of the one that answers."`
	Lines    []pulse.Line `json:"lines" doc:"The oldest first."`
}

// storage is what is stored.
type storage struct {
	Running bool    `json:"running" doc:"Figures are being taken by this instance."`
	Figures *stored `json:"figures" doc:"The latest; null before the first."`
}

// stored is a census.
type stored struct {
	Taken time.Time `json:"taken"`
	Took  float64   `json:"took" doc:"Seconds."`

	Users     int64 `json:"users" doc:"With a mailbox."`
	Mailboxes int64 `json:"mailboxes"`
	Messages  int64 `json:"messages"`
	Received  int64 `json:"received" doc:"Octets of all messages, as clients see them."`
	Stored    int64 `json:"stored" doc:"Octets that the collections take, indexes included."`

	Collections []storedCollection `json:"collections"`
	Contents    int64              `json:"contents" doc:"Different ones."`
	Sampled     int64              `json:"sampled" doc:"Contents, chosen at random, of which the figures by class are made."`
	Classes     []storedClass      `json:"classes"`

	LargestUsers     []largeUser    `json:"largestUsers"`
	LargestMailboxes []largeMailbox `json:"largestMailboxes"`
}

type storedCollection struct {
	Name      string `json:"name"`
	Documents int64  `json:"documents"`
	Bytes     int64  `json:"bytes" doc:"Of the documents."`
	Stored    int64  `json:"stored" doc:"What they take."`
	Indexes   int64  `json:"indexes" doc:"What the indexes take."`
}

// storedClass is mail of one sort, in octets.
type storedClass struct {
	Name     string `json:"name" doc:"headers, text, html, images, office, pdf, archives, other."`
	Received int64  `json:"received"`
	Decoded  int64  `json:"decoded" doc:"Without transfer encodings."`
	Once     int64  `json:"once" doc:"Each content and attachment counted once."`
	Stored   int64  `json:"stored" doc:"Compressed."`
}

type largeUser struct {
	ID       string `json:"id"`
	Username string `json:"username" doc:"Empty if the user was deleted meanwhile."`
	Messages int64  `json:"messages"`
	Size     int64  `json:"size" doc:"In octets."`
}

type largeMailbox struct {
	largeUser
	Mailbox string `json:"mailbox" doc:"Its id."`
	Path    string `json:"path"`
}

// operationRoutes tell of the instances, and of what is stored.
func (s *Server) operationRoutes() (list []route) {
	if s.opts.Instances != nil {
		list = append(list, s.route(http.MethodGet, "/instances", s.listInstances, operation{
			id: "listInstances", summary: "The processes that have the database open.", tag: "operation",
			answer: instanceList{}}))
	}
	if s.opts.Sampler != nil {
		list = append(list, s.route(http.MethodGet, "/activity", s.getActivity, operation{
			id: "getActivity", summary: "What this instance did in the last 15 minutes.", tag: "operation",
			answer: recentActivity{}, failures: []int{http.StatusBadRequest}, query: []parameter{{
				name: "after", text: "Only samples after this time (RFC 3339).", schema: text()}}}))
	}
	if s.opts.Tail != nil {
		list = append(list, s.route(http.MethodGet, "/log", s.getLog, operation{
			id: "getLog", summary: "The latest lines of this instance's log.", tag: "operation", answer: logLines{},
			failures: []int{http.StatusBadRequest}, query: []parameter{
				{name: "limit", text: "Most lines.", schema: number(1, maxLogLines)},
				{name: "after", text: "Only lines after this number.", schema: number(0, math.MaxInt64)}}}))
	}
	if s.opts.Census != nil {
		list = append(list, s.route(http.MethodGet, "/storage", s.getStorage, operation{
			id: "getStorage", summary: "What is stored, what was saved, and who has most. Figures have an age.",
			tag: "operation", answer: storage{}}))
	}
	return list
}

// self is this instance's id.
func (s *Server) self() string {
	if s.opts.Instances == nil {
		return ""
	}
	return s.opts.Instances.Self()
}

func (s *Server) listInstances(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := s.opts.Instances.Instances(r.Context())
	if err != nil {
		return nil, err
	}
	list := instanceList{make([]Instance, len(found))}
	for i, f := range found {
		list.Instances[i] = Instance{ID: f.ID, Self: f.ID == s.self(), Host: f.Host, PID: f.PID, Version: f.Program,
			Schema: f.Schema, Since: f.Since, Seen: f.Seen, Figures: f.Figures,
			Silent: time.Since(f.Seen) > s.opts.Instances.SilentAfter()}
	}
	slices.SortFunc(list.Instances, func(a, b Instance) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return a.Since.Compare(b.Since)
	})
	return list, nil
}

func (s *Server) getActivity(_ http.ResponseWriter, r *http.Request) (any, error) {
	var after time.Time
	if text := r.FormValue("after"); text != "" {
		var err error
		if after, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, badField("after must be a time of RFC 3339, such as 2026-11-30T12:00:00Z")
		}
	}
	return recentActivity{s.self(), pulse.Interval.Seconds(), s.opts.Sampler.Samples(after)}, nil
}

func (s *Server) getLog(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := pageLimit(r, defaultLogLines, maxLogLines)
	if err != nil {
		return nil, err
	}
	var after int64
	if text := r.FormValue("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return nil, badField("after must be the number of a line")
		}
	}
	return logLines{s.self(), s.opts.Tail.Lines(after, limit)}, nil
}

func (s *Server) getStorage(_ http.ResponseWriter, r *http.Request) (any, error) {
	latest, running, err := s.opts.Census.Latest(r.Context())
	if err != nil {
		return nil, err
	}
	shown := storage{Running: running}
	if latest != nil {
		shown.Figures = shownCensus(latest)
	}
	return shown, nil
}

func shownCensus(c *census.Census) *stored {
	shown := &stored{Taken: c.Taken, Took: c.Took.Seconds(), Users: c.Users, Mailboxes: c.Mailboxes,
		Messages: c.Messages, Received: c.Received, Contents: c.Contents, Sampled: c.Sampled,
		Collections: make([]storedCollection, len(c.Collections)), Classes: make([]storedClass, len(c.Classes)),
		LargestUsers:     make([]largeUser, len(c.LargestUsers)),
		LargestMailboxes: make([]largeMailbox, len(c.LargestMailboxes))}
	for i, coll := range c.Collections {
		shown.Collections[i] = storedCollection(coll)
		shown.Stored += coll.Stored + coll.Indexes
	}
	for i, class := range c.Classes {
		shown.Classes[i] = storedClass(class)
	}
	for i := range c.LargestUsers {
		shown.LargestUsers[i] = shownLarge(&c.LargestUsers[i])
	}
	for i := range c.LargestMailboxes {
		l := &c.LargestMailboxes[i]
		shown.LargestMailboxes[i] = largeMailbox{
			shownLarge(l), mailboxID(l.User.Mailbox(l.Mailbox)), l.Path}
	}
	return shown
}

func shownLarge(l *mailstore.Large) largeUser {
	return largeUser{l.User.String(), l.Username, l.Messages, l.Bytes}
}
