package pulse

import "time"

const (
	// Interval is the time between samples, and maxSamples how many are kept: those of 15 minutes.
	Interval   = 5 * time.Second
	maxSamples = 180
	// maxLines is how many lines are kept, maxAttrs how many attributes of each, and maxText the
	// octets of each text.
	maxLines = 500
	maxAttrs = 24
	maxText  = 500
)
