package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Database says how a MongoDB differs from the database that was measured, and how it is set up.
type Database struct {
	// TableFactor is the bytes in the tables of a MongoDB for one on the measured disk. It is 1 for
	// measurements on a MongoDB.
	TableFactor Figure
	// OplogFactor is the bytes in the oplog for one on the measured disk, if that is not measured.
	OplogFactor Figure
	OplogHours  float64 // how long the oplog reaches back
	// CacheFactor is the memory that a byte of documents and indexes takes in the cache: pages are
	// not compressed there, and have free room.
	CacheFactor Figure
	// CacheShare is the share of the memory beyond 1 GiB that the cache has (storage.wiredTiger,
	// cacheSizeGB).
	CacheShare float64
}

// DefaultDatabase has factors that nobody has measured on the caller's MongoDB, with wide bounds. Of
// one run on a MongoDB of one member it is known that tables and oplog together took 1.7 times what
// the embedded database took.
func DefaultDatabase() Database {
	return Database{
		TableFactor: Between(0.9, 1, 1.2), OplogFactor: Between(0.7, 0.8, 1.2), OplogHours: 48,
		CacheFactor: Between(1, 1.1, 1.3), CacheShare: 0.5,
	}
}

// Check returns what is wrong with the factors.
func (d Database) Check() error {
	for _, f := range []Figure{d.TableFactor, d.OplogFactor, d.CacheFactor} {
		if !f.Known || !(f.Low >= 0) || !(f.Low <= f.Value && f.Value <= f.High) {
			return errors.New("factors are LOW..VALUE..HIGH or VALUE, not negative, in this order")
		}
	}
	if !(d.OplogHours >= 0) || !(d.CacheShare > 0 && d.CacheShare <= 1) {
		return errors.New("the hours of the oplog are not negative, the share of the cache is above 0 and at most 1")
	}
	return nil
}

// cacheReserve is the memory that a MongoDB leaves before it takes a share for its cache.
const cacheReserve = 1 << 30

// cache is what the cache of a member has.
func (h Hardware) cache() float64 { return max(0, h.Memory-cacheReserve) * h.Database.CacheShare }

// Between is a figure with bounds.
func Between(low, value, high float64) Figure { return Figure{low, value, high, true, true} }

// ParseFigure reads "LOW..VALUE..HIGH", or a value without bounds.
func ParseFigure(text string) (Figure, error) {
	var values []float64
	for _, part := range strings.Split(text, "..") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return Figure{}, fmt.Errorf("%q is neither a number nor LOW..VALUE..HIGH", text)
		}
		values = append(values, x)
	}
	switch len(values) {
	case 1:
		return Exactly(values[0]), nil
	case 3:
		return Between(values[0], values[1], values[2]), nil
	}
	return Figure{}, fmt.Errorf("%q is neither a number nor LOW..VALUE..HIGH", text)
}

// String is what ParseFigure reads.
func (a Figure) String() string {
	if a.Low == a.High {
		return fmt.Sprintf("%g", a.Value)
	}
	return fmt.Sprintf("%g..%g..%g", a.Low, a.Value, a.High)
}
