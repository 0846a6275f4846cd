//go:build race

package contents

// raceEnabled says that the race detector, which makes everything ten times slower, is at work.
const raceEnabled = true
