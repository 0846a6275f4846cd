package imap

import (
	"context"
	"slices"

	"gadwall/internal/search/thread"
)

// handleThread answers THREAD and UID THREAD (RFC 5256 section 3).
func (c *conn) handleThread(ctx context.Context, cmd *command) error {
	p := c.searchParser(cmd)
	if err := p.threads(); err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if p.modseq {
		c.enable(condstore)
		p.modseq = false // a THREAD response has no place for it
	}
	cmd.numbered = p.numbered
	s := c.searchSelected(cmd, &p.searchRequest)
	var threads []*thread.Node
	err := s.progress.meanwhile(func() (err error) {
		if err = s.run(ctx); err == nil {
			threads, err = s.box.Threads(ctx, s.found, p.thread)
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.number != nil {
		renumber(threads, s.number)
	}
	c.enc.Untagged().Raw("THREAD")
	if len(threads) > 0 {
		c.enc.SP()
	}
	for some := range slices.Chunk(threads, threadsWrite) {
		c.enc.RawBytes(thread.Append(nil, some))
	}
	c.enc.CRLF()
	cmd.ok("", "THREAD completed")
	return c.tellExpunged(ctx, cmd, s)
}

// threadsWrite is how many threads are written at a time.
const threadsWrite = 1000

// renumber gives the messages of threads other numbers. Threads may be deep.
func renumber(threads []*thread.Node, number func(uint32) uint32) {
	for todo := slices.Clone(threads); len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Children...)
		if n.Number != 0 {
			n.Number = number(n.Number)
		}
	}
}
