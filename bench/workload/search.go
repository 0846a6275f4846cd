package workload

import (
	"context"
	"slices"
)

// searchCalls are those of each step of search.
const searchCalls = 100

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
	of := func(name, criteria string, want []int) step {
		return step{name: name, calls: s.callsOf(searchCalls), warm: int64(s.Connections),
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
		of("unseen", "UNSEEN", unseen(len(f.expected))),
		of("from", `FROM "`+markerFrom+`"`, markers),
		of("subject", `SUBJECT "`+markerSubject+`"`, markers),
		of("rare", `BODY "`+rareWord+`"`, rare),
		of("absent", `TEXT "`+absentWord+`"`, nil),
	}
	steps[len(steps)-1].close = p.close
	return steps, nil
}
