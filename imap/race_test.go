//go:build race

package imap

// raceEnabled says that the race detector is on, which needs memory of its own.
const raceEnabled = true
