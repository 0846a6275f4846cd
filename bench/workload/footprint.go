package workload

import (
	"cmp"
	"context"
	"sync/atomic"

	"gadwall/bench"
)

// footprintSeed is added to the seed of other workloads, so that the store has no mail of this one
// before.
const footprintSeed = 1 << 20

// footprint delivers mail and measures what the store takes more than before.
type footprint struct {
	s      *suite
	in     *deliveries
	taken  *bench.Footprint // at the end of the repeat before
	params map[string]float64
}

// openFootprint is `ingest` with mail of its own and without a warm-up. After each repeat it waits until
// the server has done all its work on what it got.
func openFootprint(ctx context.Context, s *suite) ([]step, error) {
	total := s.Messages * s.Repeats
	f := &footprint{s: s, in: &deliveries{s: s, conns: make([]*lmtpConn, s.Connections),
		state: make([]atomic.Int32, total)}, params: map[string]float64{bench.FootprintMails: float64(s.Messages)}}
	if s.Mail == nil {
		f.params[bench.FootprintDuplicates] = float64(s.Corpus.Duplicates())
	}
	steps := []step{{calls: int64(s.Messages), writes: true, params: f.params, check: f.in.check,
		close: func() { f.close(ctx) }, before: f.before, after: f.after,
		op: func(_ context.Context, worker int, call int64) (int64, error) { return f.in.op(ctx, worker, call) }}}
	var err error
	if f.in.spool, err = newSpool(s.Dir); err != nil {
		return steps, err
	}
	for repeat := range s.Repeats {
		progress := func(done int64) { s.Progress("making mail", int64(repeat*s.Messages)+done, int64(total)) }
		if err := f.in.spool.fill(ctx, f.source(repeat), s.Messages, nil, progress); err != nil {
			return steps, err
		}
	}
	return steps, f.in.open(ctx)
}

// source has the mail of a repeat. Generated mail is of another seed in each: what a repeat sends again
// is from the same repeat.
func (f *footprint) source(repeat int) Source {
	if f.s.Mail != nil {
		return later{f.s.Mail, repeat * f.s.Messages}
	}
	corpus := f.s.Corpus
	corpus.Seed += footprintSeed + uint64(repeat)
	return generated{bench.NewCorpus(corpus)}
}

// later is a Source without its first mails.
type later struct {
	Source
	skip int
}

func (l later) Message(n int) (*bench.Message, error) { return l.Source.Message(l.skip + n) }

// before measures what there is before the first repeat.
func (f *footprint) before(ctx context.Context, repeat int) (err error) {
	if repeat == 0 {
		f.taken, err = f.measure(ctx)
	}
	return err
}

func (f *footprint) after(ctx context.Context, repeat int) (map[string]float64, error) {
	now, err := f.measure(ctx)
	if err != nil {
		return nil, err
	}
	received := int64(0)
	for n, mail := range f.in.spool.mails[repeat*f.s.Messages : (repeat+1)*f.s.Messages] {
		if f.in.state[repeat*f.s.Messages+n].Load() == delivered {
			received += int64(mail.size)
		}
	}
	values := now.Since(f.taken).Values(received)
	f.taken = now
	return values, nil
}

// measure waits until the server rests, and measures.
func (f *footprint) measure(ctx context.Context) (*bench.Footprint, error) {
	if err := f.s.settled(ctx); err != nil {
		return nil, err
	}
	taken := new(bench.Footprint)
	var err error
	if f.s.Target.Footprint != nil {
		f.s.Progress("reading all contents", 0, 0)
		if taken, err = f.s.Target.Footprint(ctx); err != nil {
			return nil, err
		}
	}
	if dir := f.s.Target.DataDir; dir != "" {
		f.s.Progress("waiting until the directory is settled", 0, 0)
		taken.Directory, err = bench.Settled(ctx, dir, cmp.Or(f.s.Settle, bench.SettleTime))
	}
	return taken, err
}

// close takes back the mail.
func (f *footprint) close(ctx context.Context) {
	f.in.close()
	for user, before := range f.in.before {
		f.s.takeBack(ctx, user, before)
	}
}
