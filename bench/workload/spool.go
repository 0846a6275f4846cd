package workload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"runtime"
	"sync"

	"gadwall/bench"
)

// bodySum is a hash of what follows the header of a mail.
type bodySum [sha256.Size]byte

func bodyHash(raw []byte) bodySum {
	_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return sha256.Sum256(body)
}

// mail is one of a spool.
type mail struct {
	from   string // the envelope's sender
	offset int64
	size   int
	body   bodySum
}

// spool is a temporary file with mails, so that those of a long workload need no memory. After the
// last add several goroutines may read it.
type spool struct {
	file  *os.File
	mails []mail
	end   int64
}

func newSpool(dir string) (*spool, error) {
	file, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	return &spool{file: file}, nil
}

func (s *spool) add(from string, raw []byte) error {
	if _, err := s.file.WriteAt(raw, s.end); err != nil {
		return err
	}
	s.mails = append(s.mails, mail{from: from, offset: s.end, size: len(raw), body: bodyHash(raw)})
	s.end += int64(len(raw))
	return nil
}

// read returns mail n.
func (s *spool) read(n int) ([]byte, error) {
	m := &s.mails[n]
	return s.slice(n, 0, m.size)
}

// slice returns octets of mail n.
func (s *spool) slice(n int, offset int64, size int) ([]byte, error) {
	raw := make([]byte, size)
	_, err := s.file.ReadAt(raw, s.mails[n].offset+offset)
	return raw, err
}

// has reports whether a message is one of the mails that byBody lists. same compares the message
// with a mail.
func (s *spool) has(message string, byBody map[bodySum][]int,
	same func(message, mail string) bool) (bool, error) {
	for _, n := range byBody[bodyHash([]byte(message))] {
		raw, err := s.read(n)
		if err != nil {
			return false, err
		}
		if same(message, string(raw)) {
			return true, nil
		}
	}
	return false, nil
}

// close removes the file.
func (s *spool) close() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// fill adds the first n mails of a source, in their order. Several goroutines make them. change,
// if set, may put another mail in the place of one.
func (s *spool) fill(ctx context.Context, source Source, n int, change func(int, *bench.Message),
	progress func(done int64)) error {
	batch := make([]*bench.Message, runtime.GOMAXPROCS(0))
	for first := 0; first < n; first += len(batch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch = batch[:min(len(batch), n-first)]
		errs := make([]error, len(batch))
		var makers sync.WaitGroup
		for i := range batch {
			makers.Go(func() { batch[i], errs[i] = source.Message(first + i) })
		}
		makers.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		for i, m := range batch {
			if change != nil {
				change(first+i, m)
			}
			if err := s.add(m.From, m.Raw); err != nil {
				return err
			}
		}
		progress(int64(first + len(batch)))
	}
	return nil
}

// spool makes a spool with the first n mails of the run.
func (s *suite) spool(ctx context.Context, n int, change func(int, *bench.Message)) (*spool,
	error) {
	made, err := newSpool(s.Dir)
	if err != nil {
		return nil, err
	}
	progress := func(done int64) { s.Progress("making mail", done, int64(n)) }
	err = made.fill(ctx, s.mail, n, change, progress)
	if err != nil {
		return nil, errors.Join(err, made.close())
	}
	return made, nil
}
