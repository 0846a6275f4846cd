package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// indexedCalls are those of a step whose answer a server has at hand, textCalls those of one for
// which it reads mail.
const indexedCalls, textCalls = 1000, 50

// orderCalls are those of a step that orders the whole folder.
const orderCalls = 200

// searches are the steps of `search`.
type searches struct {
	s     *suite
	p     *pool
	steps []step
}

func openSearch(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	words, err := f.words(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, f.name)
	if err != nil {
		return nil, err
	}
	q := &searches{s: s, p: p}
	q.fields(f)
	q.texts(f, words)
	more, err := orders(ctx, s, f, p)
	q.steps = append(q.steps, more...)
	q.steps[len(q.steps)-1].close = p.close
	return q.steps, err
}

// add adds a step. The value first-ms is how long the first call took, before which nothing of it was
// in memory.
func (q *searches) add(name string, calls int64, criteria string, want hits) {
	var once sync.Once
	var first time.Duration
	q.steps = append(q.steps, step{name: name, calls: q.s.callsOf(calls), warm: int64(q.s.Connections), alone: true,
		op: func(ctx context.Context, worker int, _ int64) (int64, error) {
			begun := time.Now()
			err := q.p.do(ctx, worker, func(c *session) error {
				got, err := searched(c, criteria)
				if err == nil {
					err = want.check(criteria, got)
				}
				return err
			})
			once.Do(func() { first = time.Since(begun) })
			return 0, err
		},
		after: func(context.Context, int) (map[string]float64, error) {
			return map[string]float64{"first-ms": float64(first) / float64(time.Millisecond),
				"found-messages": float64(len(want.least))}, nil
		}})
}

// fields adds the searches that a server can answer without texts.
func (q *searches) fields(f *folder) {
	all := len(f.expected)
	var markers, answered, arrived []int
	var sent hits
	from, to := arrivalDay.AddDate(0, 0, arrivalDays/10), arrivalDay.AddDate(0, 0, arrivalDays/5)
	begin, end := sentWindow(f)
	for n, e := range f.expected {
		if isMarker(n) {
			markers = append(markers, n+1)
		}
		if strings.Contains(e.flags, `\Answered`) && strings.Contains(e.flags, `\Seen`) {
			answered = append(answered, n+1)
		}
		if at := arrival(n, all); !at.Before(from) && at.Before(to) {
			arrived = append(arrived, n+1)
		}
		within := !e.day.Before(begin) && e.day.Before(end)
		if within {
			sent.least = append(sent.least, n+1)
		}
		if within || e.day.IsZero() { // servers may take the arrival for the date
			sent.most = append(sent.most, n+1)
		}
	}
	q.add("unseen", indexedCalls, "UNSEEN", exactly(unseen(all)))
	q.add("flags", indexedCalls, "ANSWERED SEEN", exactly(answered))
	q.add("arrived", indexedCalls, fmt.Sprintf("SINCE %s BEFORE %s", day(from), day(to)), exactly(arrived))
	q.add("sent", indexedCalls, fmt.Sprintf("SENTSINCE %s SENTBEFORE %s", day(begin), day(end)), sent)
	q.add("from", indexedCalls, `FROM "`+markerFrom+`"`, exactly(markers))
	q.add("subject", indexedCalls, `SUBJECT "`+markerSubject+`"`, exactly(markers))
	last := (all - 1) / markerEvery * markerEvery
	q.add("message-id", indexedCalls, `HEADER MESSAGE-ID "`+markerID(last)+`"`, exactly([]int{last + 1}))
}

// texts adds the searches for needles in texts: words of few messages, of none, and of many.
func (q *searches) texts(f *folder, words []*word) {
	var rare []int
	for n := range f.expected {
		if isRare(n) {
			rare = append(rare, n+1)
		}
	}
	q.add("rare", textCalls, `BODY "`+rareWord+`"`, exactly(rare))
	q.add("absent", textCalls, `TEXT "`+absentWord+`"`, hits{})
	q.add("inside", textCalls, `BODY "`+rareInside+`"`, exactly(rare))
	for _, n := range []int{2, 4} {
		needle := strings.Join(strings.Fields(rareWords)[:n], " ")
		q.add(fmt.Sprintf("%d words", n), textCalls, `BODY "`+needle+`"`, exactly(rare))
	}
	for i, w := range words {
		q.add(wordStep(wordShares[i]), textCalls, `TEXT "`+w.text+`"`, w.hits)
	}
}

// sentWindow are the days between which about a tenth of the folder's mail was sent.
func sentWindow(f *folder) (begin, end time.Time) {
	var days []time.Time
	for _, e := range f.expected {
		if !e.day.IsZero() {
			days = append(days, e.day)
		}
	}
	if len(days) == 0 {
		return arrivalDay, arrivalDay.AddDate(0, 0, 1)
	}
	slices.SortFunc(days, time.Time.Compare)
	begin, end = days[len(days)*4/10], days[len(days)/2]
	if !begin.Before(end) {
		end = begin.AddDate(0, 0, 1)
	}
	return begin, end
}

// day is a date as SEARCH has it (RFC 3501 section 9, date).
func day(at time.Time) string { return at.Format("2-Jan-2006") }

// settled waits until the server has indexed what it was given, if the target can tell.
func (s *suite) settled(ctx context.Context) error {
	if s.Target.Metrics == nil {
		return nil
	}
	s.Progress("waiting for the text index", 0, 0)
	ticker := time.NewTicker(settlePeriod)
	defer ticker.Stop()
	for steady, last := 0, -1.0; steady < settleSteady; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		m, err := s.Target.Metrics(ctx)
		if err != nil {
			return err
		}
		if steady++; m.Waiting() > 0 || m.Indexed() != last {
			steady = 0
		}
		last = m.Indexed()
	}
	return nil
}
