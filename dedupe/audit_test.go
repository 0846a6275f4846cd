package dedupe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// referrer is somebody with a reference.
type referrer struct {
	name string
	ref  Ref
}

// bench is an auditor of a garden.
type bench struct {
	*garden
	Auditor
	referrers []referrer
	findings  []Finding
	waits     int
	onWait    func()
	onScan    func(t *Tally)
	onRead    func() // when all referrers are read, and before the counts are
}

func newBench(g *garden) *bench {
	b := &bench{garden: g}
	b.Auditor = Auditor{
		Counter: g.Counter, Repair: true, Grace: DefaultGrace, Settle: DefaultSettle, TableSize: 2,
		Found: func(f Finding) { b.findings = append(b.findings, f) },
		Wait: func(context.Context, time.Duration) error {
			b.waits++
			if b.onWait != nil {
				b.onWait()
			}
			return nil
		},
		Referrers: func(ctx context.Context, t *Tally) error {
			if b.onScan != nil {
				b.onScan(t)
			}
			for _, r := range b.referrers {
				t.Add([]byte(r.name), r.ref)
			}
			if b.onRead != nil {
				b.onRead()
			}
			return t.Commit(ctx)
		},
		Holds: func(_ context.Context, holder []byte, ref Ref) (bool, error) {
			return slices.Contains(b.referrers, referrer{string(holder), ref}), nil
		},
	}
	return b
}

// refer makes referrers of the document.
func (b *bench) refer(h Hash, magics ...Magic) {
	for _, m := range magics {
		b.referrers = append(b.referrers, referrer{h.String()[:8] + string(rune('a'+len(b.referrers))), Ref{h, m}})
	}
}

func (b *bench) audit(want Audited, faults ...Fault) {
	b.t.Helper()
	b.findings = nil
	got, err := b.Auditor.Audit(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if got != want {
		b.t.Errorf("audited %+v, want %+v", got, want)
	}
	var found []Fault
	for _, f := range b.findings {
		found = append(found, f.Fault)
	}
	slices.Sort(found)
	slices.Sort(faults)
	if !slices.Equal(found, faults) {
		b.t.Errorf("found %v, want %v", b.findings, faults)
	}
}

// Faults are found and repaired in any number of passes, and only in documents that nobody has
// touched for long.
func TestAudit(t *testing.T) {
	for _, size := range []int{1, 2, 3, 100} {
		forShapes(t, func(t *testing.T, g *garden) {
			b := newBench(g)
			b.TableSize = size
			ok, leaked, low, odd := g.plant("ok", 1, 2), g.plant("leaked", 3, 4), g.plant("low", 5), g.plant("odd", 7)
			g.plant("nobody's", 9)
			b.refer(ok, 1, 2)
			b.refer(leaked, 3)
			b.refer(low, 5, 6)
			b.refer(odd, 8)
			b.audit(Audited{Documents: 5, References: 6, Undecided: 4})
			if b.waits > 0 {
				t.Error("waited for what cannot be decided")
			}
			g.now = g.now.Add(DefaultGrace + time.Second)
			b.Repair = false
			b.audit(Audited{Documents: 5, References: 6}, Leaked, Leaked, TooLow, Mismatch)
			b.Repair = true
			b.audit(Audited{Documents: 5, References: 6}, Leaked, Leaked, TooLow, Mismatch)
			for _, f := range b.findings {
				if !f.Repaired {
					t.Errorf("not repaired: %+v", f)
				}
			}
			b.audit(Audited{Documents: 5, References: 6})
			for h, magics := range map[Hash][]Magic{ok: {1, 2}, leaked: {3}, low: {5, 6}, odd: {8}} {
				if err := g.Remove(t.Context(), h, magics...); err != nil {
					t.Errorf("%v: %v", magics, err)
				}
			}
			if p, err := g.collector(nil).Plan(t.Context(), time.Hour); err != nil ||
				p.Fresh.Documents+p.Waiting.Documents != 5 {
				t.Errorf("in the end %+v, %v", p, err)
			}
		})
	}
}

// What changes while the audit reads is left alone.
func TestAuditBesideTraffic(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		h := g.plant("h", 1, 2)
		b := newBench(g)
		b.refer(h, 1) // the other's referrer is gone, its release is on its way
		g.now = g.now.Add(2 * DefaultGrace)
		b.onWait = func() {
			if err := g.Remove(t.Context(), h, 2); err != nil {
				t.Fatal(err)
			}
		}
		b.audit(Audited{Documents: 1, References: 1, Undecided: 1})
		b.onWait = nil
		b.audit(Audited{Documents: 1, References: 1})

		// Added while it reads: seen in the counts, not as a referrer.
		g.now = g.now.Add(2 * DefaultGrace)
		once := func(f func()) {
			b.onRead = func() {
				b.onRead = nil
				f()
			}
		}
		once(func() {
			g.add(h, 3)
			b.refer(h, 3)
		})
		b.audit(Audited{Documents: 1, References: 1, Undecided: 1})

		// Stored while it reads.
		once(func() { b.refer(g.plant("new", 4), 4) })
		b.audit(Audited{Documents: 2, References: 2, Undecided: 1})
		b.audit(Audited{Documents: 2, References: 3})

		// Released while it reads: seen as a referrer, not in the counts.
		once(func() {
			if err := g.Remove(t.Context(), h, 3); err != nil {
				t.Fatal(err)
			}
			b.referrers = slices.DeleteFunc(b.referrers, func(r referrer) bool { return r.ref == Ref{h, 3} })
		})
		b.audit(Audited{Documents: 2, References: 3, Undecided: 1})
		b.audit(Audited{Documents: 2, References: 2})

		// Collected while it reads.
		g.now = g.now.Add(2 * DefaultGrace)
		g.plant("unused")
		b.onWait = func() {
			if got, err := g.collector(nil).Collect(t.Context(), 0); err != nil || got.Deleted.Documents != 1 {
				t.Errorf("collected %+v, %v", got, err)
			}
		}
		leaked := g.plant("leaked", 9)
		g.now = g.now.Add(2 * DefaultGrace)
		b.audit(Audited{Documents: 4, References: 2}, Leaked)
		if _, _, there, err := g.read(t.Context(), leaked); err != nil || !there {
			t.Errorf("the leaked document is there: %v, %v", there, err)
		}
	})
}

func TestAuditOfUnreadableReferrers(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		b := newBench(g)
		b.TableSize = 10
		leaked, low := g.plant("leaked", 1, 2), g.plant("low", 3)
		b.refer(leaked, 1)
		b.refer(low, 3, 4)
		g.now = g.now.Add(2 * DefaultGrace)
		b.onScan = func(t *Tally) { t.Unreadable() }
		b.audit(Audited{Documents: 2, References: 3, Undecided: 1, Unreadable: 1}, TooLow)
		b.onScan = nil
		b.audit(Audited{Documents: 2, References: 3}, Leaked)
	})
}

func TestAuditOfMissingDocuments(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		b := newBench(g)
		b.TableSize = 100
		b.refer(Sum([]byte("gone")), 1)
		b.audit(Audited{References: 1}, Missing)
		if f := b.findings[0]; f.Hash != Sum([]byte("gone")) || string(f.Holder) != b.referrers[0].name || f.Repaired {
			t.Errorf("%+v", f)
		}
		// More than are kept at once.
		for i := range 3 * maxUnknown {
			b.refer(Sum([]byte{byte(i), byte(i >> 8)}), 1)
		}
		b.findings = nil
		if _, err := b.Auditor.Audit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.findings) != 3*maxUnknown+1 {
			t.Errorf("%d findings", len(b.findings))
		}
		// The referrer is gone as well.
		b.Holds = func(context.Context, []byte, Ref) (bool, error) { return false, nil }
		b.findings = nil
		if _, err := b.Auditor.Audit(t.Context()); err != nil || len(b.findings) > 0 {
			t.Errorf("%d findings, %v", len(b.findings), err)
		}
	})
}

// Two audits do not correct the same twice.
func TestAuditsBesideEachOther(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		h := g.plant("h", 1, 2)
		one, two := newBench(g), newBench(g)
		one.refer(h, 1)
		two.refer(h, 1)
		g.now = g.now.Add(2 * DefaultGrace)
		one.onWait = func() { two.audit(Audited{Documents: 1, References: 1}, Leaked) }
		one.audit(Audited{Documents: 1, References: 1, Undecided: 1})
		if err := g.Remove(t.Context(), h, 1); err != nil {
			t.Error(err)
		}
	})
}

// The references of one batch that is too large for the memory count together, or not at all, and
// they count right however many files they take.
func TestAuditOfManyReferences(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		dir := t.TempDir()
		b := newBench(g)
		b.TableSize, b.Dir = 3, dir
		const documents, each = 40, 20
		var names []Hash
		for i := range documents {
			var magics []Magic
			for m := range each {
				magics = append(magics, Magic(1+i*each+m))
			}
			h := g.plant(fmt.Sprint("document ", i), magics...)
			names = append(names, h)
			b.refer(h, magics...)
		}
		b.referrers = slices.DeleteFunc(b.referrers, func(r referrer) bool { return r.ref.Magic == 70 })
		g.now = g.now.Add(2 * DefaultGrace)
		b.onScan = func(t *Tally) {
			for range 2 {
				for _, h := range names {
					t.Add([]byte("nobody"), Ref{h, 1})
				}
				t.Rollback()
			}
			files := 0
			if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				files++
				if info, err := d.Info(); err != nil || path != dir && info.Mode().Perm()&0o077 != 0 {
					g.t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
				return nil
			}); err != nil || files != 2 {
				g.t.Errorf("%d files and directories after a rollback, %v", files, err)
			}
		}
		b.Repair = false
		b.audit(Audited{Documents: documents, References: documents*each - 1}, Leaked)
		b.onRead = func() {
			entries, err := filepath.Glob(filepath.Join(dir, "*", "run-*"))
			if err != nil || len(entries) < 100 || len(entries) > 2*documents*each/3 {
				g.t.Errorf("%d files for %d references, %v", len(entries), documents*each, err)
			}
		}
		b.audit(Audited{Documents: documents, References: documents*each - 1}, Leaked)
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d files are left, %v", len(left), err)
		}
	})
}

// Referrers that may have been read twice count once, and nothing is said of a document if that could
// be wrong.
func TestAuditOfMovingReferrers(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		b := newBench(g)
		moved, leaked := g.plant("moved", 1, 2), g.plant("leaked", 3, 3)
		b.refer(moved, 2)
		g.now = g.now.Add(2 * DefaultGrace)
		b.onScan = func(t *Tally) {
			t.AddMoving([]byte("here"), Ref{moved, 1})
			t.AddMoving([]byte("there"), Ref{moved, 1})
			t.AddMoving([]byte("one"), Ref{leaked, 3})
			t.AddMoving([]byte("other"), Ref{leaked, 3})
		}
		b.audit(Audited{Documents: 2, References: 5, Undecided: 1})
	})
}

// An audit whose references do not fit on the disk reads them in parts, and finds the same. Ended
// after any part, another one goes on behind it.
func TestAuditOnLittleDisk(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		dir := t.TempDir()
		b := newBench(g)
		b.TableSize, b.Dir, b.Disk, b.Repair = 5, dir, 8000, false
		const documents = 60
		for i := range documents {
			magics := []Magic{Magic(3*i + 1), Magic(3*i + 2), Magic(3*i + 3)}
			b.refer(g.plant(fmt.Sprint("document ", i), magics...), magics...)
		}
		b.referrers = slices.DeleteFunc(b.referrers, func(r referrer) bool { return r.ref.Magic%30 == 0 })
		b.referrers = append(b.referrers, referrer{"of nothing", Ref{Sum([]byte("nothing")), 7}})
		g.now = g.now.Add(2 * DefaultGrace)
		readings := 0
		b.onRead = func() {
			readings++
			var size int64
			entries, _ := filepath.Glob(filepath.Join(dir, "*", "run-*"))
			for _, e := range entries {
				info, err := os.Stat(e)
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			if size > b.Disk/2 || size == 0 {
				t.Errorf("files of %d bytes", size)
			}
		}
		var parts Audited
		var ends []Hash
		ended := errors.New("killed")
		kill := -1
		b.Saved = func(_ context.Context, last Hash, part Audited) error {
			if kill--; kill == 0 {
				return ended
			}
			parts.Add(part)
			ends = append(ends, last)
			return nil
		}
		want := Audited{Documents: documents, References: 3*documents - 6 + 1}
		faults := []Fault{Leaked, Leaked, Leaked, Leaked, Leaked, Leaked, Missing}
		b.audit(want, faults...)
		if parts != want || len(ends) != readings || readings < 3 || ends[len(ends)-1] != lastHash ||
			!slices.IsSortedFunc(ends, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) }) {
			t.Errorf("%d readings, parts to %v: %+v", readings, ends, parts)
		}
		whole := slices.Clone(ends)
		for end := 1; end <= len(whole); end++ {
			ends, parts, kill, b.findings, b.From = nil, Audited{}, end, nil, Hash{}
			if _, err := b.Auditor.Audit(t.Context()); !errors.Is(err, ended) {
				t.Fatal(err)
			}
			// What the part that was not saved has found is found again.
			b.findings = slices.DeleteFunc(b.findings, func(f Finding) bool {
				return end == 1 || bytes.Compare(f.Hash[:], whole[end-2][:]) > 0
			})
			if end > 1 {
				b.From = whole[end-2].successor()
			}
			if _, err := b.Auditor.Audit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if parts != want || len(b.findings) != len(faults) {
				t.Errorf("ended at part %d: %+v, %v", end, parts, b.findings)
			}
		}
		// Also when the reading begins with the document whose references do not fit.
		alone := Sum([]byte("document 7"))
		clear(alone[8:])
		for _, from := range []Hash{{}, alone} {
			b.From, b.Disk, b.onRead = from, 1, nil
			if _, err := b.Auditor.Audit(t.Context()); err == nil {
				t.Errorf("from %v no disk is enough", from)
			}
		}
	})
}
