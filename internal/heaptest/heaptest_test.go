package heaptest

import (
	"runtime"
	"testing"
)

func TestWatchSeesWhatWasHeld(t *testing.T) {
	const size = 64 << 20
	before := Settled()
	peak := Watch()
	held := make([]byte, size)
	runtime.GC()
	runtime.KeepAlive(held)
	held = nil
	if most := peak(); most.Objects-before.Objects < size || most.Live-before.Live < size {
		t.Errorf("peak %+v, before %+v", most, before)
	}
	if after := Settled(); after.Objects-before.Objects > size/2 {
		t.Errorf("after %+v, before %+v", after, before)
	}
}
