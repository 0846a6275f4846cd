package quota

import (
	"fmt"
	"slices"
)

// MaxLevels is the greatest number of levels.
const MaxLevels = 16

// Levels are percentages of a limit, ascending, from 1 to 100.
type Levels []int

// Check returns an error if these cannot be levels to warn at.
func (l Levels) Check() error {
	if len(l) > MaxLevels {
		return fmt.Errorf("%d levels, at most %d", len(l), MaxLevels)
	}
	for i, level := range l {
		if level < 1 || level > 100 {
			return fmt.Errorf("a level of %d %%, want 1 to 100", level)
		}
		if i > 0 && level <= l[i-1] {
			return fmt.Errorf("level %d after %d, want ascending ones", level, l[i-1])
		}
	}
	return nil
}

// Resource is one of the resources of RFC 9208 section 5.
type Resource string

const (
	Storage Resource = "STORAGE" // here in octets
	Message Resource = "MESSAGE"
)

// Crossing says that a charge took the usage of a resource to a level or beyond.
type Crossing struct {
	Resource Resource
	Level    int // percent; the highest that was crossed
	Usage    int64
	Limit    int64
}

// Crossed returns the levels that a charge crossed, at most one for each resource. after is the
// account after the charge.
func (l Levels) Crossed(after Account, charged Usage) []Crossing {
	var list []Crossing
	for _, r := range []struct {
		resource              Resource
		limit, after, charged int64
	}{
		{Storage, after.Limits.Bytes, after.Usage.Bytes, charged.Bytes},
		{Message, after.Limits.Messages, after.Usage.Messages, charged.Messages},
	} {
		if r.limit <= 0 {
			continue
		}
		for _, level := range slices.Backward(l) {
			at := amount(r.limit, level)
			if r.after >= at && r.after-r.charged < at {
				list = append(list, Crossing{r.resource, level, r.after, r.limit})
				break
			}
		}
	}
	return list
}

// amount is the least usage that is at the level.
func amount(limit int64, level int) int64 {
	n := int64(level)
	return limit/100*n + (limit%100*n+99)/100
}
