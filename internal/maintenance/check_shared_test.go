package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/lease"
	"gadwall/internal/mailgen"
)

// damagedStore has several users, and damage of which each stage finds some.
func damagedStore(t *testing.T) *filled {
	f := fill(t)
	for n := range 6 {
		u := f.user(t, fmt.Sprintf("user%d@example.com", n))
		box := f.store.box(t, u, "INBOX")
		f.deliver(t, mailgen.Simple(fmt.Sprint("mail ", n), attachment(int64(10+n), 40_000)), 0, nil, box)
		f.deliver(t, mailgen.Simple(fmt.Sprint("lost ", n)), 0, nil, box)
		if n%2 == 0 {
			f.update("mailboxes", d("_id", box.Binary()), d("$inc", d("cm", int64(1))))
		}
		if n == 5 {
			f.remove("contents", d("_id", f.one("messages", d("_id", box.Message(2).Binary()), "c")))
		}
	}
	f.insert("addresses", d("_id", "eve@example.com", "user", bson.Binary{Data: []byte("12345678")}))
	f.update("contents", d("_id", f.one("contents", d(), "_id")), d("$inc", d("refs", int64(2))))
	f.update("blobs.files", d("_id", f.one("blobs.files", d(), "_id")), d("$inc", d("metadata.refs", int64(2))))
	f.update("blobs.files", d("_id", f.one("blobs.files", d("length", d("$gt", 100_000)), "_id")),
		d("$inc", d("length", int64(1))))
	f.remove("blobs.chunks", d("files_id", f.one("blobs.files", d("length", d("$lt", 100_000)), "_id")))
	return f
}

// shared are the options of a check that is divided as finely as can be.
func shared(found func(Finding)) CheckOptions {
	return CheckOptions{Shared: true, Offline: true, Found: found, TableSize: 3, TempSize: 2500, perRange: 2}
}

// outcome is what a check reports.
type outcome struct {
	Findings []Finding
	Sum      *Checked
}

func newOutcome(list []Finding, sum *Checked) outcome {
	text := func(f Finding) string { return fmt.Sprintf("%+v", f) }
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Finding) int { return compareText(text(a), text(b)) })
	copied := *sum
	copied.Begun = time.Time{}
	return outcome{list, &copied}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *store) shared(t *testing.T, change func(*CheckOptions)) ([]Finding, *Checked, error) {
	t.Helper()
	var list []Finding
	o := shared(func(f Finding) { list = append(list, f) })
	if change != nil {
		change(&o)
	}
	sum, err := Check(t.Context(), s.Store, o)
	return list, sum, err
}

// saved is how many documents of checks the database keeps.
func (s *store) saved(t *testing.T) int64 {
	t.Helper()
	n, err := s.db.Collection("rounds").CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A check that is ended in the middle, anywhere, goes on there in another process, which reports what
// a check without interruption does: all of it, and nothing twice. A check that is not shared finds
// the same.
func TestInterruptedCheck(t *testing.T) {
	f := damagedStore(t)
	other := openStore(t, f.db, time.Now)
	var plain []Finding
	sum, err := Check(t.Context(), f.Store, CheckOptions{Offline: true,
		Found: func(f Finding) { plain = append(plain, f) }})
	if err != nil {
		t.Fatal(err)
	}
	want := newOutcome(plain, sum)
	if kinds := kinds(plain); len(kinds) < 7 {
		t.Fatalf("only %v are found", kinds)
	}
	calls := 0
	list, sum, err := f.shared(t, func(o *CheckOptions) {
		o.Guard = func(context.Context) error { calls++; return nil }
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, newOutcome(list, sum)); diff != "" {
		t.Fatalf("a shared check (-want +got):\n%s", diff)
	}
	if n := f.saved(t); n != 0 {
		t.Errorf("%d documents are left", n)
	}
	killed := errors.New("killed")
	step := max(calls/12, 1)
	resumed := 0
	for kill := 1; kill < calls; kill += step {
		n := 0
		_, _, err := f.shared(t, func(o *CheckOptions) {
			o.Guard = func(context.Context) error {
				if n++; n == kill {
					return killed
				}
				return nil
			}
		})
		if !errors.Is(err, killed) {
			t.Fatalf("kill at %d of %d: %v", kill, calls, err)
		}
		ended := time.Now()
		saved := f.saved(t) > 0
		if saved {
			resumed++
		}
		again := 0
		list, sum, err := other.shared(t, func(o *CheckOptions) {
			o.Guard = func(context.Context) error { again++; return nil }
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, newOutcome(list, sum)); diff != "" {
			t.Errorf("killed at %d of %d (-want +got):\n%s", kill, calls, diff)
		}
		if saved && sum.Begun.After(ended) || kill > calls/2 && again > calls*3/4 {
			t.Errorf("killed at %d of %d, the other one took %d, begun %v", kill, calls, again, sum.Begun)
		}
	}
	if resumed < 8 {
		t.Errorf("only %d checks had saved anything", resumed)
	}
}

// A process that was stopped for long, and whose lease another one has taken, ends with that error
// and does not take part any more.
func TestCheckWhoseLeaseIsLost(t *testing.T) {
	f := damagedStore(t)
	calls := 0
	_, _, err := f.shared(t, func(o *CheckOptions) {
		o.Guard = func(context.Context) error {
			if calls++; calls == 20 {
				return lease.ErrLost
			}
			return nil
		}
	})
	if !errors.Is(err, lease.ErrLost) || calls > 20 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Processes share the work of a check. One of them reports all findings.
func TestSharedCheck(t *testing.T) {
	f := damagedStore(t)
	sum, plain := f.store.check(t, false, false)
	want := newOutcome(plain, sum)
	helper := openStore(t, f.db, time.Now)
	helped := 0
	guard := 0
	list, sum, err := f.shared(t, func(o *CheckOptions) {
		o.Guard = func(ctx context.Context) error {
			if guard++; guard%7 != 0 {
				return nil
			}
			// Within a range of this process, the other one does all that it can get.
			n, under, err := HelpCheck(ctx, helper.Store, shared(nil))
			if err != nil {
				return err
			}
			helped += n
			if !under && helped == 0 {
				t.Error("the other process does not see the check")
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, newOutcome(list, sum)); diff != "" {
		t.Errorf("shared with %d ranges of a helper (-want +got):\n%s", helped, diff)
	}
	if helped < 20 {
		t.Errorf("the helper did %d ranges", helped)
	}
	if n, under, err := HelpCheck(t.Context(), helper.Store, shared(nil)); n != 0 || under || err != nil {
		t.Errorf("after the end: %d ranges, %v, %v", n, under, err)
	}
}

// A check that was interrupted too long ago is begun anew.
func TestStaleCheck(t *testing.T) {
	f := damagedStore(t)
	calls := 0
	killed := errors.New("killed")
	if _, _, err := f.shared(t, func(o *CheckOptions) {
		o.Guard = func(context.Context) error {
			if calls++; calls == 60 {
				return killed
			}
			return nil
		}
	}); !errors.Is(err, killed) || f.saved(t) == 0 {
		t.Fatalf("%v, %d documents", err, f.saved(t))
	}
	f.update("rounds", d("begun", d("$exists", true)), d("$set", d("begun", time.Now().Add(-maxRoundAge-time.Hour))))
	sum, plain := f.store.check(t, false, false)
	list, got, err := f.shared(t, nil)
	if err != nil || time.Since(got.Begun) > maxRoundAge {
		t.Fatalf("begun %v, %v", got.Begun, err)
	}
	if diff := cmp.Diff(newOutcome(plain, sum), newOutcome(list, got)); diff != "" {
		t.Errorf("begun anew (-want +got):\n%s", diff)
	}
}

// The temporary files of a check lie where they are told to, and are gone in the end.
func TestTemporaryFilesOfCheck(t *testing.T) {
	f := damagedStore(t)
	dir := t.TempDir()
	seen := 0
	_, _, err := f.shared(t, func(o *CheckOptions) {
		o.TempDir = dir
		o.Guard = func(context.Context) error {
			entries, err := os.ReadDir(dir)
			seen = max(seen, len(entries))
			return err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || seen == 0 {
		t.Errorf("%d directories seen; %d left, %v", seen, len(left), err)
	}
}

// A user of whom the database keeps no snapshot for long enough is left undecided; the others are
// checked, and nothing of this user is called a leak.
func TestCheckOfUserWithoutSnapshot(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	s := openStore(t, set.Database(t), time.Now)
	for n := range 4 {
		u := s.user(t, fmt.Sprintf("user%d@example.com", n))
		s.deliver(t, mailgen.Simple(fmt.Sprint(n)), 0, nil, s.box(t, u, "INBOX"))
		s.change(t, "mailboxes", d("$inc", d("cm", int64(1))))
	}
	// The journal is read last, within the snapshot of the user alone. Each of the first user's
	// snapshots, and those of the mailboxes one by one, are lost there.
	set.FailPoint(t, d("times", 21), d("failCommands", bson.A{"find"}, "namespace", s.db.Name()+".journal",
		"errorCode", 239, "errorLabels", bson.A{"TransientTransactionError"}))
	sum, list := s.check(t, false, false)
	if sum.Mail.Users != 4 || sum.Undecided() != 1 || len(list) != 3*6 {
		t.Errorf("%+v: %v", sum.Mail, list)
	}
}

// Of two commands one reports, and the other helps. After a command that was killed another one
// waits for the end of its lease, and helps itself meanwhile; then it reports all.
func TestChecksByHand(t *testing.T) {
	f := damagedStore(t)
	sum, plain := f.store.check(t, false, false)
	want := newOutcome(plain, sum)
	helper := openStore(t, f.db, time.Now)

	// One reports.
	begun, killed := make(chan struct{}), errors.New("killed")
	helped := make(chan error, 1)
	var once sync.Once
	var list []Finding
	o := shared(func(f Finding) { list = append(list, f) })
	o.Progress = func(p Progress) {
		if p.Number == 2 && p.Done > 0 {
			once.Do(func() {
				close(begun)
				// The other one is in the middle of its help before this one goes on.
				<-helped
			})
		}
	}
	result := make(chan error, 1)
	go func() {
		<-begun
		other := shared(func(f Finding) { t.Errorf("the helper reports %v", f) })
		other.Log = slog.New(slog.DiscardHandler)
		polls := 0
		other.poll = func(ctx context.Context) error {
			if polls++; polls == 1 {
				helped <- nil
			}
			return Rest(ctx, time.Millisecond)
		}
		_, err := CheckByHand(t.Context(), helper.Store, other)
		result <- err
	}()
	sum, err := CheckByHand(t.Context(), f.Store, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, newOutcome(list, sum)); diff != "" {
		t.Errorf("by hand (-want +got):\n%s", diff)
	}
	if err := <-result; !errors.Is(err, ErrReported) {
		t.Errorf("the helper: %v", err)
	}

	// One is killed: its lease stays.
	task := &lease.Task{Name: "check-by-hand" + o.mode(), Database: f.db}
	held, err := task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	if _, _, err := f.shared(t, func(o *CheckOptions) {
		o.Guard = func(context.Context) error {
			if calls++; calls == 60 {
				return killed
			}
			return nil
		}
	}); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	list = nil
	next := shared(func(f Finding) { list = append(list, f) })
	next.Log = slog.New(slog.DiscardHandler)
	next.poll = func(ctx context.Context) error {
		held.Release(ctx) // as if two minutes were over
		return nil
	}
	if sum, err = CheckByHand(t.Context(), helper.Store, next); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, newOutcome(list, sum)); diff != "" {
		t.Errorf("after a kill (-want +got):\n%s", diff)
	}
}
