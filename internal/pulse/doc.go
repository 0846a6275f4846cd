// Package pulse keeps what an instance did lately, so that an operator's page shows it at once: figures
// every few seconds for some minutes, and the latest lines of the log.
//
// # Words
//
//   - sample: figures at one moment. What counters count is told for each second since the sample
//     before.
//   - line: a record of the log, with a number that ascends.
//
// # How data flows
//
//	registry of Prometheus -> Sampler.Run, every Interval -> a ring of samples -> GET /activity
//	slog.Logger -> Tail -> its inner handler
//	                    -> a ring of lines -> GET /log
//
// # What always holds
//
// Both rings have a fixed size, and lines are cut. The samples are made of what /metrics shows, whoever
// looks and whether anybody looks. An instance tells of itself alone; the figures of others come with
// their heartbeats (package schema).
package pulse
