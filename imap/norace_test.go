//go:build !race

package imap

// raceEnabled says that the race detector is off.
const raceEnabled = false
