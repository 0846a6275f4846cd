package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gadwall/bench"
	"gadwall/bench/load"
	"gadwall/bench/result"
	"gadwall/bench/target"
)

// Options say what to run.
type Options struct {
	Target *target.Target
	Corpus bench.CorpusOptions
	// Mail, if set, is used instead of generated mail.
	Mail Source

	Users       int
	Messages    int     // in the folder of each user, and of one repeat of ingest and append
	Connections int     // workers
	Calls       int64   // of one repeat of other steps; 0: as each step has it
	Rate        float64 // calls a second; 0 is a closed loop
	Repeats     int
	// Idle is how many connections the workload idle opens, BigMail how large the mail of bigmail is;
	// 0 is the usual number.
	Idle    int
	BigMail int64
	// Settle is how long the size of a directory stays the same before it counts, and how long the
	// memory of a server does not fall; 0 is bench.SettleTime.
	Settle time.Duration

	// Params are further parameters of all lines: what else of the mail is not as usual.
	Params map[string]float64

	Run string // names the run: letters and digits
	Dir string // for temporary files
	// Line gets each measurement.
	Line func(*result.Line) error
	// Progress may be nil. It is told what is going on: how much is done of how much. One call ends
	// before the next one begins.
	Progress func(what string, done, total int64)
}

// AttachmentBytes is the parameter with the median size of attachments.
const AttachmentBytes = "attachment-bytes"

// Source has mail. Several goroutines may call it.
type Source interface {
	// Message returns mail n, from 0 on, always the same.
	Message(n int) (*bench.Message, error)
}

// generated is a Source of generated mail.
type generated struct{ corpus *bench.Corpus }

func (g generated) Message(n int) (*bench.Message, error) { return g.corpus.Message(n), nil }

// Check returns what is wrong with the numbers.
func (o *Options) Check() error {
	switch {
	case o.Users < 1 || o.Messages < 1 || o.Connections < 1 || o.Repeats < 1:
		return errors.New("users, messages, connections and repeats are at least 1")
	case o.Messages < o.Connections:
		return errors.New("there must be at least as many messages as connections")
	case o.Calls < 0 || o.Rate < 0 || o.Idle < 0:
		return errors.New("calls, rate and idle connections are not negative")
	case o.BigMail != 0 && o.BigMail < minBigMail:
		return fmt.Errorf("a large mail has at least %d bytes", minBigMail)
	}
	return nil
}

// Workload is one kind of use.
type Workload struct {
	Name, Help string
	// open makes what the steps need, and returns them. The suite runs them in this order.
	open func(ctx context.Context, s *suite) ([]step, error)
}

// step is what is measured by itself.
type step struct {
	name  string
	calls int64 // of a repeat
	warm  int64 // calls of the warm-up
	op    load.Op
	// check, if set, looks after all repeats whether the server has what it acknowledged.
	check func(ctx context.Context) error
	// close, if set, ends what the step used, whatever became of it.
	close func()
	// writes says that the step fills the disk.
	writes bool

	// workers and repeats, if set, stand for those of the options.
	workers, repeats int
	// assigned is load.Options.Assigned: each worker makes the same number of calls.
	assigned bool
	// before, if set, prepares each repeat. after, if set, ends it, and returns values for its line.
	before func(ctx context.Context, repeat int) error
	after  func(ctx context.Context, repeat int) (map[string]float64, error)
	// parts, if set, has what else calls have recorded: lines of their own.
	parts *recorder
	// alone says that the steps after it run even if its answers are wrong.
	alone bool
	// params are further ones of the lines.
	params map[string]float64
}

// Ingest is the name of the workload that delivers, and needs LMTP.
const Ingest = "ingest"

// needLMTP are the workloads that do not run without LMTP; the others need IMAP only.
var needLMTP = []string{Ingest, "bigmail", bench.FootprintWorkload}

// NeedsLMTP reports whether a workload does not run on a target without LMTP.
func NeedsLMTP(name string) bool { return slices.Contains(needLMTP, name) }

// all has every workload, in the order of a run.
var all = []Workload{
	{"idle", "connections in IDLE: their memory, and how soon they hear of mail", openIdle},
	{Ingest, "deliver the corpus by LMTP", openIngest},
	{"append", "store the corpus by APPEND", openAppend},
	{"login", "connect, LOGIN, SELECT, LOGOUT", openLogin},
	{"select", "SELECT of a folder", openSelect},
	{"status", "STATUS of a folder", openStatus},
	{"fetch", "flags, envelopes, structures, header fields, whole messages, slices of parts", openFetch},
	{"search", "by flag, by field, by rare and by absent words", openSearch},
	{"store", "flags of one message, and of many", openStore},
	{"expunge", "of one message, and of many", openExpunge},
	{"move", "MOVE and COPY of one message, and of many", openMove},
	{"sync", "what has changed since the last visit: all flags, CONDSTORE, QRESYNC", openSync},
	{"churn", "sessions of many commands: LIST to LOGOUT", openChurn},
	{"bigmail", "a mail of 200 MB by LMTP, and back", openBigMail},
	{bench.FootprintWorkload, "what delivered mail takes, by class and by collection", openFootprint},
}

// All returns every workload, in the order of a run.
func All() []Workload { return slices.Clone(all) }

// named returns the workloads of these names in the order of a run; all, if there are no names.
func named(names []string) ([]Workload, error) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w Workload) bool { return w.Name == name }) {
			return nil, fmt.Errorf("there is no workload %q", name)
		}
	}
	return slices.DeleteFunc(All(), func(w Workload) bool {
		return len(names) > 0 && !slices.Contains(names, w.Name)
	}), nil
}

// Known returns an error if a name is not that of a workload.
func Known(names []string) error {
	_, err := named(names)
	return err
}

// wrong is an error that says that an answer is wrong.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", load.ErrWrong, fmt.Sprintf(format, args...))
}

// shown is the beginning of an answer, for an error.
func shown(answer string) string {
	if len(answer) > maxShown {
		return fmt.Sprintf("%q...", answer[:maxShown])
	}
	return fmt.Sprintf("%q", answer)
}
