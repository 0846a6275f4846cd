package contents

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gadwall/internal/dbtest"
)

// TestKeepFrames: what is kept of one content is not given for another, nor one frame for another, and is
// decoded once.
func TestKeepFrames(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	var last LastFrames
	for round := range 2 {
		for i := range 3 {
			text := []byte(fmt.Sprintf("Subject: %d\r\n\r\n", i) +
				strings.Repeat(fmt.Sprintf("line %d of it\r\n", i), 1000))
			c := load(t, s, mustPut(t, s, text).ID, Want{All: true})
			c.KeepFrames(&last)
			for _, at := range []int{0, 5, len(text) - 100, 3, len(text) / 2, len(text)/2 + 50} {
				if got, want := read(t, c, int64(at), 50), text[at:at+50]; !bytes.Equal(got, want) {
					t.Fatalf("round %d, content %d at %d: %q, want %q", round, i, at, got, want)
				}
			}
			// What is kept is read without the frame.
			k := c.table.frameAt(int64(len(text) / 2))
			c.stored[k] = []byte("damaged")
			if got := read(t, c, int64(len(text)/2), 10); len(got) != 10 {
				t.Errorf("%q", got)
			}
		}
	}
}
