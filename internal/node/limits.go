package node

import "time"

const (
	// openTimeout bounds connecting to the database. It does not bound making indexes, which may
	// take far longer where there is much mail, and ends with the signal to stop.
	openTimeout = 2 * time.Minute
	// closeTimeout bounds waiting for deliveries under way, and disconnecting from the database.
	closeTimeout = 10 * time.Second

	// leastWireVersion is that of MongoDB 4.4.
	leastWireVersion = 9
	// maxClockSkew is how much the clocks of a process and of the database may differ. A check
	// tells references from leaks by the times at which instances changed them, which leaves twelve
	// hours for clocks that differ (dedupe.DefaultGrace).
	maxClockSkew = time.Hour
)
