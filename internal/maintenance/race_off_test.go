//go:build !race

package maintenance

// defaultSchedules take a minute on two processors with other work to do.
const defaultSchedules = completeSchedules
