package target

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has taken so far, and what it holds, with all that descend from it.
type Usage struct {
	CPU      time.Duration // of user and system, of processes that have ended too
	Resident int64         // octets of memory; what processes share counts once, if the system tells
}

// tick is the unit of times in /proc: Linux shows a hundredth of a second to every program.
const tick = time.Second / 100

// Usage reads the usage of the server's processes; ok is false if they are not known.
func (t *Target) Usage() (u Usage, ok bool, err error) {
	if t.PID == 0 {
		return u, false, nil
	}
	own, err := readStat(t.PID)
	if err != nil {
		return u, false, err
	}
	u = own.Usage
	others, err := descendants(t.PID)
	if err != nil || len(others) == 0 {
		return u, err == nil, err
	}
	u.Resident = own.proportional()
	for _, p := range others {
		u.CPU += p.CPU
		u.Resident += p.proportional()
	}
	return u, true, nil
}

// process is one process at one moment.
type process struct {
	Usage       // its own; CPU has that of children that it has waited for
	pid, parent int
}

// readStat reads a process.
func readStat(pid int) (p process, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	if p, err = parseStat(stat); err != nil {
		return p, fmt.Errorf("process %d: %w", pid, err)
	}
	p.pid = pid
	return p, nil
}

// descendants returns the children of a process, their children, and so on.
func descendants(of int) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		if p, err := readStat(pid); err == nil { // otherwise it has just ended
			children[p.parent] = append(children[p.parent], p)
		}
	}
	list := children[of]
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].pid]...)
	}
	return list, nil
}

// proportional is the resident memory of a process with its share of what it shares with others
// (Pss of proc_pid_smaps(5)), or without that all of it.
func (p process) proportional() int64 {
	share, _, _ := strings.Cut(field(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid), "Pss"), " ")
	if kib, err := strconv.ParseInt(share, 10, 64); err == nil {
		return kib << 10
	}
	return p.Resident
}

// Fields of /proc/PID/stat, counted from the one after the name of the program (proc_pid_stat(5)).
const (
	statParent   = 1  // ppid
	statUser     = 11 // utime; stime, cutime and cstime follow
	statResident = 21 // rss, in pages
)

// parseStat reads /proc/PID/stat. The second field is the name of the program in parentheses, which
// may itself have blanks and parentheses.
func parseStat(stat []byte) (p process, err error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statResident {
		return p, fmt.Errorf("stat has %d fields", len(fields))
	}
	number := func(at int) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(string(fields[at]), 10, 64)
		}
		return n
	}
	for i := range 4 {
		p.CPU += time.Duration(number(statUser+i)) * tick
	}
	p.Resident = number(statResident) * int64(os.Getpagesize())
	p.parent = int(number(statParent))
	return p, err
}
