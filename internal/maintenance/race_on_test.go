//go:build race

package maintenance

// defaultSchedules are few, since the race detector makes them ten times slower.
const defaultSchedules = 200
