package target

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"gadwall/bench/result"
)

// Machine describes this machine, as far as /proc tells.
func Machine() result.Machine {
	m := result.Machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	m.CPU = field("/proc/cpuinfo", "model name")
	memory, _, _ := strings.Cut(field("/proc/meminfo", "MemTotal"), " ")
	if kib, err := strconv.ParseInt(memory, 10, 64); err == nil {
		m.Memory = kib << 10
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(release))
	}
	return m
}

// field returns the first value of a name in a file of lines "name: value"; empty if there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
