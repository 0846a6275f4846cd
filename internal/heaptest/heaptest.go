// Package heaptest measures the heap of the process for tests and benchmarks that
// bound what an operation holds.
//
//	before := heaptest.Settled()
//	peak := heaptest.Watch()
//	... the operation ...
//	grown := peak().Objects - before.Objects
package heaptest

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// period is how often Watch looks.
const period = 2 * time.Millisecond

// Heap is the state of the heap in bytes.
type Heap struct {
	Objects int64 // in use, garbage that was not swept yet included
	InUse   int64 // spans that have such objects in them
	Live    int64 // what the last collection found to be reachable
	Stacks  int64 // of goroutines
}

// Read returns the state now.
func Read() Heap {
	sample := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(sample)
	value := func(i int) int64 { return int64(sample[i].Value.Uint64()) }
	return Heap{Objects: value(0), InUse: value(0) + value(1), Live: value(2), Stacks: value(3)}
}

// Settled returns the state after collections: pools have lost what they kept, and stacks that were
// too large have shrunk.
func Settled() Heap {
	for range 5 { // a pool loses its objects at the second; each halves a stack
		runtime.GC()
	}
	return Read()
}

// Watch looks at the heap every few milliseconds until peak is called, which returns the largest
// value of each field since. A caller calls it once.
func Watch() (peak func() Heap) {
	stop, result := make(chan struct{}), make(chan Heap)
	go func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		most := Read()
		for {
			select {
			case <-tick.C:
				most = most.max(Read())
			case <-stop:
				result <- most.max(Read())
				return
			}
		}
	}()
	return func() Heap {
		close(stop)
		return <-result
	}
}

func (h Heap) max(other Heap) Heap {
	return Heap{
		Objects: max(h.Objects, other.Objects), InUse: max(h.InUse, other.InUse),
		Live: max(h.Live, other.Live), Stacks: max(h.Stacks, other.Stacks),
	}
}
