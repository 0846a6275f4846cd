package workload

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"gadwall/bench"
)

// folder is the mailbox that the reading workloads share. Message seq of each user is mail seq - 1
// of the spool.
type folder struct {
	s        *suite
	name     string
	spool    *spool
	expected []expected
	uids     [][]int // by user
	made     []atomic.Bool
}

// folder returns the shared folder, and makes it the first time.
func (s *suite) folder(ctx context.Context) (*folder, error) {
	if s.shared != nil {
		return s.shared, nil
	}
	f := &folder{s: s, name: "bench-" + s.Options.Run, uids: make([][]int, s.Users),
		made: make([]atomic.Bool, s.Users)}
	var err error
	if f.spool, err = s.spool(ctx, s.Messages, placeMarkers); err != nil {
		return nil, err
	}
	if err := f.fill(ctx); err != nil {
		return nil, errors.Join(err, f.remove(ctx))
	}
	s.shared = f
	return f, nil
}

// fill makes the folder of each user, as many users at a time as there are connections.
func (f *folder) fill(ctx context.Context) error {
	for n := range f.spool.mails {
		raw, err := f.spool.read(n)
		if err != nil {
			return err
		}
		f.expected = append(f.expected, expect(n, raw))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	total := int64(f.s.Users) * int64(len(f.spool.mails))
	var fillers sync.WaitGroup
	for range min(f.s.Users, f.s.Connections) {
		fillers.Go(func() {
			for ctx.Err() == nil {
				user := int(next.Add(1)) - 1
				if user >= f.s.Users {
					return
				}
				err := f.fillOne(ctx, user, func() { f.s.Progress("filling folders", done.Add(1), total) })
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	fillers.Wait()
	return context.Cause(ctx)
}

func (f *folder) fillOne(ctx context.Context, user int, progress func()) error {
	c, err := f.s.connect(ctx, user)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.Must("CREATE %q", f.name); err != nil {
		return err
	}
	f.made[user].Store(true)
	for n := range f.spool.mails {
		raw, err := f.spool.read(n)
		if err != nil {
			return err
		}
		at := arrival(n, len(f.spool.mails)).Format("02-Jan-2006 15:04:05 -0700")
		if _, err := c.Append(f.name, fmt.Sprintf("(%s) %q ", f.expected[n].flags, at), raw); err != nil {
			return err
		}
		progress()
	}
	box, err := examine(c, f.name)
	if err != nil {
		return err
	}
	if box.exists != len(f.spool.mails) {
		return wrong("%d messages after %d APPENDs", box.exists, len(f.spool.mails))
	}
	return fetchEach(c, "FETCH 1:* (UID RFC822.SIZE)", func(r *fetched) error {
		text, _ := r.get("UID")
		uid, err := strconv.Atoi(text)
		size, _ := r.get("RFC822.SIZE")
		if err != nil || r.seq != len(f.uids[user])+1 || r.seq > len(f.spool.mails) ||
			size != strconv.Itoa(f.spool.mails[r.seq-1].size) {
			return wrong("message %d has UID %q and size %q", r.seq, text, size)
		}
		f.uids[user] = append(f.uids[user], uid)
		return nil
	})
}

// remove deletes the folder of each user that has one. It does so also after the end of ctx, since
// the server may be another's.
func (f *folder) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	err := f.spool.close()
	for user := range f.made {
		if !f.made[user].Load() {
			continue
		}
		c, connectErr := f.s.connect(ctx, user)
		if connectErr != nil {
			return errors.Join(err, fmt.Errorf("delete folder %s: %w", f.name, connectErr))
		}
		_, deleteErr := c.Must("DELETE %q", f.name)
		c.close()
		err = errors.Join(err, deleteErr)
	}
	return err
}

// What markers have, and no other mail.
const (
	markerFrom    = "quillfeather@marker.example"
	markerSubject = "vogelkundlich"
	rareWord      = "zugvogelwarte"
	rareInside    = "gvogelwar"
	rareWords     = rareWord + " nordlichtkamm quellmoospfad stillwasserbucht"
	absentWord    = "quadrigentrab"
)

func isMarker(n int) bool { return n%markerEvery == 0 }
func isRare(n int) bool   { return n%rareEvery == 0 }

// placeMarkers puts the markers into the places of mails.
func placeMarkers(n int, m *bench.Message) {
	if !isMarker(n) {
		return
	}
	word := "common"
	if isRare(n) {
		word = rareWords
	}
	m.From = markerFrom
	m.Raw = fmt.Appendf(nil, "From: Marker <%s>\r\nTo: bench@example.com\r\nSubject: a %s report\r\n"+
		"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: %s\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+
		"This mail is there to be found.\r\nIt has a %s word.\r\n", markerFrom, markerSubject, markerID(n), word)
}

// markerID is the Message-ID of the marker at n.
func markerID(n int) string { return fmt.Sprintf("<marker.%d@marker.example>", n) }
