package maintenance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
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

	// Wait waits; nil uses the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// TableSize is for tests; 0 is the default.
	TableSize int
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
	Repaired int64             `json:"repaired"`
	Damaged  int64             `json:"damaged"` // found and not repaired
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

const phases = 7

// Check checks everything in the store. An error is trouble in doing so, not something found.
func Check(ctx context.Context, mail *mailstore.Store, o CheckOptions) (*Checked, error) {
	c := &check{o: o, mail: mail, contents: mail.Contents(), blobs: mail.Contents().Blobs(),
		suspects: newSuspects(), names: names{mail: mail}}
	c.sum.Found = make(map[string]int64)
	for i, phase := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"indexes", c.checkIndexes},
		{"mailboxes and messages", c.checkMail},
		{"contents", c.checkContents},
		{"references to contents", c.auditContents},
		{"references to blobs", c.auditBlobs},
		{"files and chunks", c.checkFiles},
		{"messages that are affected", c.affected},
	} {
		c.progress = Progress{Phase: phase.name, Number: i + 1, Of: phases}
		if err := phase.run(ctx); err != nil {
			return &c.sum, fmt.Errorf("check of %s: %w", phase.name, err)
		}
	}
	return &c.sum, nil
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
}

func (c *check) found(ctx context.Context, f Finding) {
	c.names.fill(ctx, &f)
	c.sum.Found[f.Kind]++
	if f.Repaired {
		c.sum.Repaired++
	} else {
		c.sum.Damaged++
	}
	c.o.Found(f)
}

// expect sets how many documents of a collection a phase has to do with.
func (c *check) expect(ctx context.Context, coll *mongo.Collection) error {
	if c.o.Progress == nil {
		return nil
	}
	n, err := coll.EstimatedDocumentCount(ctx)
	if err != nil {
		return fmt.Errorf("estimate %s: %w", coll.Name(), err)
	}
	c.progress.Total = n
	return c.done(ctx, 0)
}

func (c *check) done(ctx context.Context, n int64) error {
	if c.o.Progress != nil {
		c.progress.Done = n
		c.o.Progress(c.progress)
	}
	if c.o.Guard != nil {
		return c.o.Guard(ctx)
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

func (c *check) checkMail(ctx context.Context) (err error) {
	if err := c.expect(ctx, c.mail.MessageCollection()); err != nil {
		return err
	}
	c.sum.Mail, err = c.mail.Check(ctx, mailstore.CheckOptions{
		Repair:   c.o.Repair && !c.o.LeaksOnly,
		Progress: func(ctx context.Context, _, messages int64) error { return c.done(ctx, messages) },
		Found: func(f mailstore.Finding) {
			out := Finding{Kind: f.Fault.String(), UID: f.UID, LastUID: f.LastUID, Detail: f.Detail,
				Repaired: f.Repaired}
			if f.User != (mailkey.UserID{}) {
				out.User = f.User.String()
			}
			if f.Mailbox != (mailkey.Mailbox{}) {
				out.Mailbox = f.Mailbox.String()
			}
			c.found(ctx, out)
		},
	})
	return err
}

func (c *check) checkContents(ctx context.Context) error {
	if err := c.expect(ctx, c.contents.Collection()); err != nil {
		return err
	}
	_, err := c.contents.Check(ctx, c.o.Deep, func(f contents.Finding) {
		if f.Unreadable { // the messages that need them are found with the references
			c.found(ctx, Finding{Kind: "unreadable", Detail: f.Detail})
			return
		}
		c.suspects.content(f.ID)
		c.found(ctx, Finding{Kind: "damaged content", Content: f.ID.String(), Detail: f.Detail})
	}, c.done)
	return err
}

// auditor returns an auditor of the documents that one of the stores has.
func (c *check) auditor(ctx context.Context, counter *dedupe.Counter, what string,
	holder func(*Finding, []byte), name func(*Finding, dedupe.Hash)) *dedupe.Auditor {
	a := &dedupe.Auditor{
		Counter: counter, Repair: c.o.Repair, LeaksOnly: c.o.LeaksOnly, Guard: c.o.Guard,
		TableSize: c.o.TableSize, Wait: c.o.Wait,
		Grace: dedupe.DefaultGrace, Settle: dedupe.DefaultSettle,
		Found: func(f dedupe.Finding) {
			out := Finding{Kind: what + " " + f.Fault.String(), Repaired: f.Repaired,
				Detail: fmt.Sprintf("%d references counted, %d found", f.Counted, f.Referenced)}
			switch {
			case f.Gap != nil:
				out.Detail = fmt.Sprintf("hashes from %s: %v", f.Gap.String(), f.Gap.Err)
				c.found(ctx, out)
				return
			case f.Fault == dedupe.Missing || f.Fault == dedupe.Unreadable:
				out.Detail = ""
				holder(&out, f.Holder)
			}
			name(&out, f.Hash)
			c.found(ctx, out)
		},
	}
	if c.o.Offline {
		a.Grace, a.Settle = 0, 0
	}
	return a
}

func (c *check) auditContents(ctx context.Context) (err error) {
	if err := c.expect(ctx, c.mail.MessageCollection()); err != nil {
		return err
	}
	a := c.auditor(ctx, c.contents.Refs(), "content", func(f *Finding, holder []byte) {
		if len(holder) == len(mailkey.Message{}) {
			key := mailkey.Message(holder)
			f.User, f.Mailbox, f.UID = key.User().String(), key.Mailbox().String(), key.UID()
		}
	}, func(f *Finding, h dedupe.Hash) { f.Content = h.String() })
	a.Referrers = c.mail.ContentReferrers(c.done)
	a.Holds = c.mail.HoldsContent
	c.sum.Contents, err = a.Audit(ctx)
	return err
}

func (c *check) auditBlobs(ctx context.Context) (err error) {
	if err := c.expect(ctx, c.contents.Collection()); err != nil {
		return err
	}
	a := c.auditor(ctx, c.blobs.Refs(), "blob", func(f *Finding, holder []byte) {
		f.Content = hex.EncodeToString(holder)
		if len(holder) == len(contents.ID{}) {
			c.suspects.content(contents.ID(holder))
		}
	},
		func(f *Finding, h dedupe.Hash) { f.Blob = h.String() })
	a.Referrers = c.contents.BlobReferrers(c.done)
	a.Holds = c.contents.HoldsBlob
	c.sum.Blobs, err = a.Audit(ctx)
	return err
}

func (c *check) checkFiles(ctx context.Context) (err error) {
	if err := c.expect(ctx, c.blobs.Files()); err != nil {
		return err
	}
	grace := blobstore.OrphanGrace
	if c.o.Offline {
		grace = 0
	}
	c.sum.Files, err = c.blobs.Check(ctx, blobstore.CheckOptions{
		Grace: grace, Repair: c.o.Repair, Deep: c.o.Deep, Guard: c.o.Guard,
		Progress: func(n int64) {
			if c.o.Progress != nil {
				c.progress.Done = n
				c.o.Progress(c.progress)
			}
		},
		Found: func(f blobstore.Finding) {
			out := Finding{Kind: f.Fault.String(), File: f.File.Hex(), Detail: f.Detail, Repaired: f.Repaired}
			if f.Hash != (dedupe.Hash{}) {
				out.Blob = f.Hash.String()
				c.suspects.blob(f.Hash)
			}
			if f.Fault == blobstore.Orphans {
				out.Detail = fmt.Sprintf("%d chunks, %d bytes", f.Chunks, f.Bytes)
			}
			c.found(ctx, out)
		},
	})
	return err
}
