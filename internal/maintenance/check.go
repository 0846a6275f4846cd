package maintenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

// CheckOptions say what Check does.
type CheckOptions struct {
	// Repair repairs findings where that is possible; with LeaksOnly only leaks, which are
	// references that no referrer has, and chunks without a file.
	Repair, LeaksOnly bool
	// Deep reads all bytes and compares their hashes.
	Deep bool
	// Offline says that nothing else uses the store, so that everything can be judged at once.
	Offline bool
	// Found is called with each finding.
	Found func(Finding)
	// Progress is called now and then, if not nil.
	Progress func(Progress)
	// Guard is called before each batch, if not nil. It may take its time; its error ends the
	// check.
	Guard func(ctx context.Context) error

	// Shared makes the check of a store that is not small save in the database how far it is. It goes
	// on where one with the same options was interrupted, and others may help it (HelpCheck). One
	// process at a time calls Check with Shared and these options.
	Shared bool
	Redis  *redis.Client // for leases of ranges; nil without
	Log    *slog.Logger  // nil is slog.Default()

	// TempDir is where temporary files are made; "" is where the operating system makes them.
	// TempSize bounds them, in bytes; 0 is dedupe.DefaultDisk.
	TempDir  string
	TempSize int64

	// Wait waits; nil uses the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// TableSize is for tests; 0 is the default.
	TableSize int

	perRange int64 // for tests, as poll: see ranges.Job
	poll     func(ctx context.Context) error
}

func (o *CheckOptions) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.Default()
}

// A Finding is one thing that is wrong for sure.
type Finding struct {
	Kind     string `json:"kind"`
	User     string `json:"user,omitempty"` // id
	Username string `json:"username,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"` // key
	Path     string `json:"path,omitempty"`    // of the mailbox
	UID      uint32 `json:"uid,omitempty"`
	LastUID  uint32 `json:"last_uid,omitempty"` // it is about those from UID to LastUID
	Content  string `json:"content,omitempty"`  // id
	Blob     string `json:"blob,omitempty"`     // hash
	File     string `json:"file,omitempty"`     // id in blobs.files
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired"`
}

// A Progress says how far a phase of the check is.
type Progress struct {
	Phase       string
	Number, Of  int   // of the phase
	Done, Total int64 // documents; Total is an estimate
}

// Checked sums up a check.
type Checked struct {
	Mail     mailstore.Checked `json:"mail"`
	Contents dedupe.Audited    `json:"contents"`
	Blobs    dedupe.Audited    `json:"blobs"`
	Files    int64             `json:"files"`
	Found    map[string]int64  `json:"found"` // by kind
	// Begun is when the check began, before it was interrupted.
	Begun    time.Time `json:"begun" bson:"-"`
	Repaired int64     `json:"repaired"`
	Damaged  int64     `json:"damaged"` // found and not repaired
}

// Lost reports whether there is mail that cannot be read.
func (c *Checked) Lost() bool {
	for _, kind := range []string{
		"affected message", "content missing", "content unreadable", "unreadable", "bad message",
	} {
		if c.Found[kind] > 0 {
			return true
		}
	}
	return false
}

// Undecided is how many documents changed too much to say anything.
func (c *Checked) Undecided() int64 {
	return c.Mail.Undecided + c.Contents.Undecided + c.Blobs.Undecided
}

// maxRoundAge is after how long a check that was interrupted is not gone on with: too much has changed.
const maxRoundAge = 14 * 24 * time.Hour

// sharedFrom is how many messages make a store one whose check saves how far it is.
const sharedFrom = 50_000

// Check checks everything in the store. An error is trouble in doing so, not something found.
func Check(ctx context.Context, mail *mailstore.Store, o CheckOptions) (*Checked, error) {
	c, err := newCheck(ctx, mail, o)
	if err != nil {
		return &Checked{}, err
	}
	if err := c.endStale(ctx); err != nil {
		return &c.sum, err
	}
	stages := c.stages()
	staged := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { return c.run(ctx, stages[name]) }
	}
	phases := []struct {
		name string
		run  func(context.Context) error
	}{
		{"indexes", c.checkIndexes},
		{"mailboxes and messages", staged(stageMail)},
		{"addresses and subscriptions", c.checkNames},
		{"contents", staged(stageContents)},
		{"references to contents", staged(stageContentRefs)},
		{"references to blobs", staged(stageBlobRefs)},
		{"files and chunks", staged(stageFiles)},
		{"messages that are affected", c.affected},
	}
	for i, phase := range phases {
		c.progress = Progress{Phase: phase.name, Number: i + 1, Of: len(phases)}
		if err := unrefused(phase.run(ctx)); err != nil {
			return &c.sum, fmt.Errorf("check of %s: %w", phase.name, err)
		}
	}
	return &c.sum, c.end(ctx)
}

// HelpCheck does ranges of a shared check of another process with the same options, which reports
// what is found. It returns how many ranges it did, and whether there is such a check.
func HelpCheck(ctx context.Context, mail *mailstore.Store, o CheckOptions) (done int, under bool, err error) {
	o.Shared, o.Found, o.Progress = true, func(Finding) {}, nil
	c, err := newCheck(ctx, mail, o)
	if err != nil {
		return 0, false, err
	}
	stages := c.stages()
	for _, name := range stageNames {
		round, err := c.job(stages[name]).Find(ctx)
		if err != nil {
			return c.ranges, under, err
		}
		if round == nil {
			continue
		}
		under = true
		c.told = make(map[int]int)
		if _, err := round.Help(ctx, 1, c.each(stages[name], round)); err != nil {
			return c.ranges, under, unrefused(err)
		}
	}
	return c.ranges, under, nil
}

type check struct {
	o        CheckOptions
	mail     *mailstore.Store
	contents *contents.Store
	blobs    *blobstore.Store
	sum      Checked
	progress Progress
	suspects *suspects
	names    names

	keep   bool        // what is done is saved
	begun  time.Time   // when the check began, perhaps in another process
	before int64       // documents of the stage that other parts have done
	told   map[int]int // how many findings of each range of the stage were reported
	ranges int         // done by this process
}

func newCheck(ctx context.Context, mail *mailstore.Store, o CheckOptions) (*check, error) {
	c := &check{o: o, mail: mail, contents: mail.Contents(), blobs: mail.Contents().Blobs(),
		suspects: newSuspects(), names: names{mail: mail}, begun: time.Now().UTC()}
	c.sum.Found = make(map[string]int64)
	if o.Shared {
		n, err := estimate(ctx, mail.MessageCollection())
		if err != nil {
			return nil, err
		}
		c.keep = n >= cmp.Or(o.perRange, sharedFrom)
	}
	return c, nil
}

// endStale forgets a check that was interrupted long ago.
func (c *check) endStale(ctx context.Context) error {
	if !c.o.Shared {
		return nil
	}
	for _, s := range c.stages() {
		round, err := c.job(s).Find(ctx)
		if err == nil && round != nil && (!c.keep || c.begun.Sub(round.Begun()) > maxRoundAge) {
			err = round.End(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// end forgets what was saved.
func (c *check) end(ctx context.Context) error {
	c.sum.Begun = c.begun
	if !c.keep {
		return nil
	}
	for _, s := range c.stages() {
		round, err := c.job(s).Find(ctx)
		if err == nil && round != nil {
			err = round.End(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *check) found(ctx context.Context, f Finding) {
	c.names.fill(ctx, &f)
	c.sum.count(f)
	c.o.Found(f)
}

// expect sets how many documents of a collection a phase has to do with.
func (c *check) expect(ctx context.Context, coll *mongo.Collection) error {
	c.before = 0
	if c.o.Progress == nil {
		return nil
	}
	n, err := estimate(ctx, coll)
	if err != nil {
		return err
	}
	c.progress.Total = n
	return c.done(ctx, 0)
}

// done tells that n documents of the present range are done, and lets the check rest.
func (c *check) done(ctx context.Context, n int64) error {
	if c.o.Progress != nil {
		c.progress.Done = c.before + n
		c.o.Progress(c.progress)
	}
	return c.guard(ctx)
}

func (c *check) guard(ctx context.Context) error {
	if c.o.Guard == nil {
		return nil
	}
	if err := c.o.Guard(ctx); err != nil {
		return refused{err}
	}
	return nil
}

// checkIndexes compares the indexes with those that are relied on. One that is another than its
// name says is left as it is.
func (c *check) checkIndexes(ctx context.Context) error {
	differences, err := c.mail.MissingIndexes(ctx)
	if err != nil || len(differences) == 0 {
		return err
	}
	repair, trouble := c.o.Repair && !c.o.LeaksOnly, ""
	for _, d := range differences {
		repair = repair && d.Missing
	}
	if repair {
		// The server refuses a unique index, for instance, if there are duplicates.
		var refused mongo.ServerError
		if err := c.mail.EnsureIndexes(ctx); errors.As(err, &refused) {
			repair, trouble = false, ": "+err.Error()
		} else if err != nil {
			return err
		}
	}
	for _, d := range differences {
		f := Finding{Kind: "missing index", Detail: d.Collection + " " + d.Index + trouble, Repaired: repair}
		if !d.Missing {
			f.Kind = "wrong index"
		}
		c.found(ctx, f)
	}
	return nil
}
