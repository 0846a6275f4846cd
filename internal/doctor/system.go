package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"gadwall/internal/config"
)

// A System tells of a machine.
type System struct {
	// Statfs tells of the disk of a directory.
	Statfs func(dir string) (Disk, error)
	// Files is how many files a process may have open; pid 0 is this one.
	Files func(pid int) (uint64, error)
	// Memory is how much memory this process may have.
	Memory func() (uint64, error)
	// Hostname is the machine's name.
	Hostname func() (string, error)
}

// A Disk is a file system.
type Disk struct {
	Free, Size uint64
	Kind       string // empty if it is a usual one
}

// kinds are file systems on which a database does not belong.
var kinds = map[int64]string{
	0x6969: "NFS", 0xFF534D42: "CIFS", 0x517B: "SMB", 0xFE534D42: "SMB2", 0x65735546: "FUSE",
	0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x794C7630: "overlay",
}

func thisSystem() *System {
	return &System{
		Statfs: func(dir string) (Disk, error) {
			var s syscall.Statfs_t
			if err := syscall.Statfs(dir, &s); err != nil {
				return Disk{}, err
			}
			unit := uint64(s.Bsize)
			return Disk{s.Bavail * unit, s.Blocks * unit, kinds[int64(s.Type)]}, nil
		},
		Files: openFiles,
		Memory: func() (uint64, error) {
			if n, err := memlimit.FromCgroup(); err == nil && n > 0 {
				return n, nil
			}
			return memlimit.FromSystem()
		},
		Hostname: os.Hostname,
	}
}

// openFiles is the limit of a process, 0 for this one. A program of Go raises its own to the hard
// limit when it starts.
func openFiles(pid int) (uint64, error) {
	process := "self"
	if pid > 0 {
		process = strconv.Itoa(pid)
	}
	file, err := os.Open(filepath.Join("/proc", process, "limits"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Max open files"); ok {
			if fields := strings.Fields(rest); len(fields) >= 2 {
				return strconv.ParseUint(fields[1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("%s has no limit of open files", file.Name())
}

// disk looks at the disks of the data directory and of temporary files.
func disk(_ context.Context, o *Options, f *findings) {
	s := &o.Serve
	if s.Storage.Embedded() {
		dir := existing(s.DataDir)
		d, err := o.System.Statfs(dir)
		switch {
		case err != nil:
			f.problem("Name another directory in --data-dir.", "The data directory: %v", err)
		default:
			dataDisk(f, dir, d)
		}
	} else {
		f.ok("The database has the mail; this machine needs no disk for it.")
	}
	temp := os.TempDir()
	d, err := o.System.Statfs(temp)
	switch {
	case err != nil:
		f.warn("Set TMPDIR to a directory with space.", "The directory for temporary files: %v", err)
	case d.Free < uint64(s.CheckTempSize):
		f.warn("Set TMPDIR to a directory with more space, or --check-temp-size to less: checks take longer then.",
			"%s has %s free, and a check may need %s.", temp, octets(d.Free), octets(uint64(s.CheckTempSize)))
	default:
		f.ok("%s has %s free for the temporary files of checks.", temp, octets(d.Free))
	}
}

func dataDisk(f *findings, dir string, d Disk) {
	share := 1.0
	if d.Size > 0 {
		share = float64(d.Free) / float64(d.Size)
	}
	if d.Kind != "" {
		f.warn("Put the data directory on a local disk with ext4 or XFS: the database relies on what it has synced.",
			"%s is on a file system of the kind %s.", dir, d.Kind)
	}
	switch {
	case d.Free < fullDisk:
		f.problem("Make space outside of the database, or enlarge the disk; "+
			"gadwall gc --grace 0s helps while there is a little.",
			"%s has %s free: no mail can be stored.", dir, octets(d.Free))
	case d.Free < lowDisk || share < lowShare:
		f.warn("Enlarge the disk before it is full.", "%s has %s free, %.0f %%.", dir, octets(d.Free), 100*share)
	default:
		f.ok("%s has %s free, %.0f %%.", dir, octets(d.Free), 100*share)
	}
}

// existing is the directory, or the nearest one above it that exists.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil && dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func octets(n uint64) string {
	const unit = 1 << 10
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, i := float64(n)/unit, 0
	for ; size >= unit && i < 4; i++ {
		size /= unit
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[i])
}

// limits looks at what the system lets a process have.
func limits(_ context.Context, o *Options, f *findings) {
	files, err := o.System.Files(0)
	if err != nil {
		f.warn("Look at ulimit -n yourself.", "It is not known how many files a process may have open: %v", err)
	} else {
		enoughFiles(f, &o.Serve, files, "this shell starts a process that")
	}
	memory, err := o.System.Memory()
	if err != nil {
		return // the system does not tell
	}
	caches := uint64(max(0, o.Serve.ViewCache)) + uint64(max(0, o.Serve.HeaderCache))
	if caches > memory/2 {
		f.warn("Lower --view-cache and --header-cache, or give the server more memory.",
			"The caches may take %s, of %s that there are.", octets(caches), octets(memory))
		return
	}
	f.ok("There are %s of memory, of which the caches may take %s.", octets(memory), octets(caches))
}

// wantedFiles is how many files a server needs that has all the connections it may have.
func wantedFiles(s *config.Serve) uint64 {
	want := keepFiles + s.Connections + s.ReadConnections
	if s.IMAPListen != config.Off || s.IMAPSListen != config.Off {
		want += imapConnections
	}
	for _, at := range []string{s.LMTPListen, s.SMTPListen} {
		if at != config.Off {
			want += 2 * s.MaxMailConnections
		}
	}
	if s.HTTPListen != config.Off {
		want += httpConnections
	}
	return uint64(want)
}

func enoughFiles(f *findings, s *config.Serve, files uint64, who string) {
	if want := wantedFiles(s); files < want {
		f.warn("Set LimitNOFILE in the unit of systemd, or ulimit -Hn, to at least "+strconv.FormatUint(want, 10)+".",
			"%s may open %d files; with all connections that the settings allow it needs %d.",
			capital(who), files, want)
		return
	}
	f.ok("%s may open %d files, which is enough.", capital(who), files)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
