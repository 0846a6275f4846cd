package workload

import (
	"context"
	"slices"
)

// indexedCalls are those of a step whose answer a server has at hand, textCalls those of one for
// which it reads mail.
const indexedCalls, textCalls = 1000, 50

// orderCalls are those of a step that orders the whole folder.
const orderCalls = 200

func openSearch(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, f.name)
	if err != nil {
		return nil, err
	}
	var markers, rare []int
	for n := range f.expected {
		if isMarker(n) {
			markers = append(markers, n+1)
		}
		if isRare(n) {
			rare = append(rare, n+1)
		}
	}
	of := func(name string, calls int64, criteria string, want []int) step {
		return step{name: name, calls: s.callsOf(calls), warm: int64(s.Connections),
			op: func(ctx context.Context, worker int, _ int64) (int64, error) {
				return 0, p.do(ctx, worker, func(c *session) error {
					got, err := searched(c, criteria)
					if err == nil && !slices.Equal(got, want) {
						err = wrong("SEARCH %s finds %d messages of %d, or others", criteria, len(got), len(want))
					}
					return err
				})
			}}
	}
	steps := []step{
		of("unseen", indexedCalls, "UNSEEN", unseen(len(f.expected))),
		of("from", indexedCalls, `FROM "`+markerFrom+`"`, markers),
		of("subject", indexedCalls, `SUBJECT "`+markerSubject+`"`, markers),
		of("rare", textCalls, `BODY "`+rareWord+`"`, rare),
		of("absent", textCalls, `TEXT "`+absentWord+`"`, nil),
	}
	more, err := orders(ctx, s, f, p)
	steps = append(steps, more...)
	steps[len(steps)-1].close = p.close
	return steps, err
}
