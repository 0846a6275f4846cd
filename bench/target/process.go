package target

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Usage is what a process has taken so far, and what it holds.
type Usage struct {
	CPU      time.Duration // of user and system
	Resident int64         // octets of memory
}

// tick is the unit of times in /proc: Linux shows a hundredth of a second to every program.
const tick = time.Second / 100

// Usage reads the usage of the server's process; ok is false if the process is not known.
func (t *Target) Usage() (u Usage, ok bool, err error) {
	if t.PID == 0 {
		return u, false, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.PID))
	if err != nil {
		return u, false, err
	}
	if u, err = parseStat(stat); err != nil {
		return u, false, fmt.Errorf("process %d: %w", t.PID, err)
	}
	return u, true, nil
}

// Fields of /proc/PID/stat, counted from the one after the name of the program (proc_pid_stat(5)).
const (
	statUser     = 11 // utime
	statSystem   = 12 // stime
	statResident = 21 // rss, in pages
)

// parseStat reads /proc/PID/stat. The second field is the name of the program in parentheses, which
// may itself have blanks and parentheses.
func parseStat(stat []byte) (u Usage, err error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statResident {
		return u, fmt.Errorf("stat has %d fields", len(fields))
	}
	number := func(at int) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(string(fields[at]), 10, 64)
		}
		return n
	}
	u.CPU = time.Duration(number(statUser)+number(statSystem)) * tick
	u.Resident = number(statResident) * int64(os.Getpagesize())
	return u, err
}
