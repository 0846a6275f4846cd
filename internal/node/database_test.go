package node

import (
	"testing"
	"time"
)

func TestClocksThatDiffer(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		ahead time.Duration
		ok    bool
	}{
		{0, true}, {time.Hour, true}, {-time.Hour, true}, {time.Hour + time.Second, false},
		{-time.Hour - time.Second, false}, {12 * time.Hour, false},
	} {
		if err := checkClock(now.Add(tt.ahead), now); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.ahead, err)
		}
	}
}
