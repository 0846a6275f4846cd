package workload

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// selectCalls are those of a repeat of select and of status.
const selectCalls = 5000

// openSelect selects the folder again and again in sessions that stay.
func openSelect(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, "")
	if err != nil {
		return nil, err
	}
	first := make([]box, s.Connections)
	return []step{{calls: s.callsOf(selectCalls), warm: int64(s.Connections), close: p.close,
		op: func(ctx context.Context, worker int, _ int64) (int64, error) {
			return 0, p.do(ctx, worker, func(c *session) error {
				box, err := open(c, "SELECT", f.name)
				if err != nil {
					return err
				}
				if first[worker].uidValidity == "" {
					first[worker] = box
				}
				if box.exists != len(f.expected) || box != first[worker] {
					return wrong("SELECT tells %+v; there are %d messages", box, len(f.expected))
				}
				return nil
			})
		}}}, nil
}

// openStatus asks for the numbers that programs show beside a mailbox.
func openStatus(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, "")
	if err != nil {
		return nil, err
	}
	wanted := map[string]int{"MESSAGES": len(f.expected), "UNSEEN": len(unseen(len(f.expected)))}
	return []step{{calls: s.callsOf(selectCalls), warm: int64(s.Connections), close: p.close,
		op: func(ctx context.Context, worker int, _ int64) (int64, error) {
			return 0, p.do(ctx, worker, func(c *session) error {
				untagged, err := c.Must("STATUS %q (MESSAGES UIDNEXT UNSEEN)", f.name)
				if err != nil {
					return err
				}
				last := f.uids[s.user(worker)][len(f.expected)-1]
				return checkStatus(fmt.Sprint(untagged), wanted, last)
			})
		}}}, nil
}

// statusItem is a number in an answer to STATUS.
var statusItem = regexp.MustCompile(`\b(MESSAGES|UIDNEXT|UNSEEN) (\d+)`)

// checkStatus compares an answer; UIDNEXT is above the last UID.
func checkStatus(answer string, wanted map[string]int, last int) error {
	found := make(map[string]int)
	for _, m := range statusItem.FindAllStringSubmatch(answer, -1) {
		found[m[1]], _ = strconv.Atoi(m[2]) // digits; 0 is wrong for all that have any
	}
	for name, want := range wanted {
		if got, ok := found[name]; !ok || got != want {
			return wrong("STATUS has not %s %d: %s", name, want, shown(answer))
		}
	}
	if found["UIDNEXT"] <= last {
		return wrong("STATUS has UIDNEXT below UID %d: %s", last, shown(answer))
	}
	return nil
}
