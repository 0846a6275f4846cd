package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gadwall/internal/docstore/mongoerr"
)

// diskSpace keeps a full disk from doing harm.
//
// Pebble ends the process when it cannot write its log or its manifest, since it cannot know then
// how much of them is on the disk. So Pebble never learns that the disk is full: its writes wait in
// the file system (spaceFS) until there is space, and then go on where they were. Everything that
// was acknowledged is safe meanwhile, and reads go on. The engine refuses new writes with error
// 14031 (OutOfDiskSpace) before they get to Pebble. Only compactions fail, and give back the space
// they took; Pebble does them again.
//
// Only other programs can bring the disk there. The engine refuses new writes while a reserve is
// still free: out of that it finishes the writes under way and flushes the memtables. The last part
// of the reserve is for writes that free space (see Unit.frees): without them nobody could make
// room.
type diskSpace struct {
	fs  vfs.FS
	dir string
	log *slog.Logger
	// reserve is how much must be free for a write to begin, in bytes, and floor is the same for
	// one that frees space.
	reserve, floor uint64
	// when the file system was last asked, in nanoseconds since the epoch
	looked   atomic.Int64
	free     atomic.Uint64
	low, out atomic.Bool // less than reserve is free; less than floor

	// waiting counts the operations of the storage that wait for space, and the commits that are
	// not through although their clients have stopped waiting. It changes under mu.
	waiting atomic.Int64
	mu      sync.Mutex
	// full is closed while waiting is not 0.
	full chan struct{}
	// failed is when a compaction found the disk full last.
	failed time.Time

	// closing is closed when the database is about to be.
	closing chan struct{}
}

func newDiskSpace(fs vfs.FS, dir string, reserve uint64, log *slog.Logger) *diskSpace {
	floor := reserve / 8 * floorEighths
	return &diskSpace{fs: fs, dir: filepath.Clean(dir), log: log, reserve: reserve, floor: floor,
		full: make(chan struct{}), closing: make(chan struct{})}
}

// check refuses a write for which there is no space.
func (d *diskSpace) check() error {
	if err := d.checkFloor(); err != nil {
		return err
	}
	if d.low.Load() {
		return d.refusal(d.reserve)
	}
	return nil
}

// state returns how much is free, and whether check refuses writes.
func (d *diskSpace) state() (free uint64, refused bool) {
	refused = d.check() != nil
	return d.free.Load(), refused
}

// checkFloor refuses a write for which there is no space even if it frees some.
func (d *diskSpace) checkFloor() error {
	if d.isFull() {
		return mongoerr.New(mongoerr.OutOfDiskSpace, "the disk of the database is full")
	}
	d.refresh()
	if d.out.Load() {
		return d.refusal(d.floor)
	}
	return nil
}

// refresh asks the file system again when the last answer is old, or was that little is free.
func (d *diskSpace) refresh() {
	now := time.Now().UnixNano()
	if last := d.looked.Load(); d.low.Load() || now-last >= int64(spaceLook) {
		if d.looked.CompareAndSwap(last, now) {
			d.look()
		}
	}
}

func (d *diskSpace) refusal(needed uint64) error {
	return mongoerr.New(mongoerr.OutOfDiskSpace,
		"the disk of the database is full: %d bytes are free, and this takes %d", d.free.Load(), needed)
}

// look asks the file system how much is free. One that cannot say has space.
func (d *diskSpace) look() {
	usage, err := d.fs.GetDiskUsage(d.dir)
	low := err == nil && usage.AvailBytes < d.reserve
	d.free.Store(usage.AvailBytes)
	d.out.Store(err == nil && usage.AvailBytes < d.floor)
	if was := d.low.Swap(low); was == low {
		return
	}
	if low {
		d.log.Error("the disk of the database is full: writes are refused, but for deletions as "+
			"long as there is a reserve", "free", usage.AvailBytes, "needed", d.reserve)
	} else {
		d.log.Info("the disk of the database has space again", "free", usage.AvailBytes)
	}
}

// checkOpen refuses to open a database that would wait for space at once. Opening begins with
// writing the contents of the logs to tables.
func (d *diskSpace) checkOpen() error {
	usage, err := d.fs.GetDiskUsage(d.dir)
	if need := d.reserve / 4; err == nil && usage.AvailBytes < need {
		return fmt.Errorf("the disk is full: %d bytes are free, and %d needed", usage.AvailBytes, need)
	}
	return nil
}

// Space is how much of the disk is free, and what that means.
type Space struct {
	// Free is what is free, and Reserve what must be for a write to begin, in bytes.
	Free, Reserve uint64
	// Refused reports that writes are refused, but for those that free space.
	Refused bool
	// Stalled reports that something waits for space: no write is begun, and the last ones are not
	// durable.
	Stalled bool
}

// Space tells how much of the disk is free.
func (e *Engine) Space() Space {
	d := e.space
	d.look()
	stalled := d.isFull()
	return Space{Free: d.free.Load(), Reserve: d.reserve, Refused: stalled || d.low.Load(), Stalled: stalled}
}

// isFull reports that something waits for space.
func (d *diskSpace) isFull() bool { return d.waiting.Load() > 0 }

// whenFull returns a channel that is closed when something waits for space.
func (d *diskSpace) whenFull() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

// whenFree waits until nothing waits for space any more, at most so long, and reports whether that
// is so.
func (d *diskSpace) whenFree(limit time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	tick := time.NewTicker(spacePause)
	defer tick.Stop()
	for d.isFull() {
		select {
		case <-tick.C:
		case <-t.C:
			return false
		case <-done:
			return false
		case <-d.closing:
			return false
		}
	}
	return true
}

// begin counts something that waits for space; end undoes it.
func (d *diskSpace) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting.Add(1) == 1 {
		close(d.full)
	}
}

func (d *diskSpace) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting.Add(-1) == 0 {
		d.full = make(chan struct{})
	}
}

// persist runs op until it succeeds or fails with anything but a full disk. That may keep the
// database from opening and from closing.
func (d *diskSpace) persist(name string, op func() error) error {
	err := op()
	if !noSpace(err) {
		return err
	}
	d.begin()
	defer d.end()
	d.log.Error("the disk of the database is full: a write waits for space", "file", name)
	started := time.Now()
	for noSpace(err) {
		time.Sleep(spacePause)
		err = op()
	}
	d.log.Info("the write that waited for space goes on", "file", name, "waited",
		time.Since(started).Round(time.Millisecond))
	return err
}

// noSpace reports whether an error says that the disk, or the quota on it, is full.
func noSpace(err error) bool { return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT) }

// compactionFailed notes that a compaction gave up for want of space.
func (d *diskSpace) compactionFailed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = time.Now()
}

// beforeCompaction lets some time pass after a compaction that failed for want of space: Pebble
// would at once try again, and take the little space there is from all others.
func (d *diskSpace) beforeCompaction() {
	d.mu.Lock()
	pause := compactionPause - time.Since(d.failed)
	d.mu.Unlock()
	if pause <= 0 {
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.closing:
	}
}
