package maintenance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// The stages, in their order.
const (
	stageMail        = "mail"
	stageContents    = "contents"
	stageContentRefs = "content-refs"
	stageBlobRefs    = "blob-refs"
	stageFiles       = "files"
)

var stageNames = []string{stageMail, stageContents, stageContentRefs, stageBlobRefs, stageFiles}

func (c *check) stages() map[string]*stage {
	// So many references fit into the temporary files: half of these, since files become one.
	perRange := max(cmp.Or(c.o.TempSize, dedupe.DefaultDisk)/2/dedupe.RecordSize, 1)
	list := make(map[string]*stage)
	for _, s := range []*stage{
		{name: stageMail, keySize: len(mailkey.UserID{}), coll: c.mail.MessageCollection(), do: c.checkMail},
		{name: stageContents, keySize: dedupe.HashSize, coll: c.contents.Collection(), do: c.checkContents},
		{name: stageContentRefs, keySize: dedupe.HashSize, coll: c.mail.MessageCollection(), perRange: perRange,
			do: c.auditContents},
		{name: stageBlobRefs, keySize: dedupe.HashSize, coll: c.contents.Collection(), perRange: perRange,
			do: c.auditBlobs},
		{name: stageFiles, keySize: len(bson.ObjectID{}), coll: c.blobs.Files(), do: c.checkFiles},
	} {
		list[s.name] = s
	}
	return list
}

// mailFinding is the finding that package mailstore describes.
func mailFinding(f mailstore.Finding) Finding {
	out := Finding{Kind: f.Fault.String(), UID: f.UID, LastUID: f.LastUID, Detail: f.Detail, Repaired: f.Repaired}
	if f.User != (mailkey.UserID{}) {
		out.User = f.User.String()
	}
	if f.Mailbox != (mailkey.Mailbox{}) {
		out.Mailbox = f.Mailbox.String()
	}
	return out
}

func (c *check) checkMail(ctx context.Context, p *part) error {
	first := p.g.First()
	if p.g.Index() == 0 {
		first = nil
	}
	from, to := p.g.Bounds()
	before := p.note.Sum.Mail
	var saved mailstore.Checked
	sum, err := c.mail.Check(ctx, mailstore.CheckOptions{
		First: first, From: from, To: to,
		Repair: c.o.Repair && !c.o.LeaksOnly,
		Found:  func(f mailstore.Finding) { p.found(ctx, mailFinding(f)) },
		Progress: func(ctx context.Context, _, messages int64) error {
			return c.done(ctx, p.g.Count()+messages-saved.Messages)
		},
		Saved: func(ctx context.Context, last mailkey.UserID, sum mailstore.Checked) error {
			n := sum.Messages - saved.Messages
			few := n < saveMessages && sum.Users-saved.Users < saveUsers && c.o.perRange == 0
			if few || bytes.Equal(last[:], p.g.Last()) { // then there is more to do
				return nil
			}
			p.note.Sum.Mail = before
			p.note.Sum.Mail.Add(sum)
			saved = sum
			return p.save(ctx, last[:], n)
		},
	})
	if err != nil {
		return err
	}
	p.note.Sum.Mail = before
	p.note.Sum.Mail.Add(sum)
	return p.finish(ctx, sum.Messages-saved.Messages)
}

// checkNames is done anew after an interruption: these documents are small.
func (c *check) checkNames(ctx context.Context) error {
	c.progress.Total, c.before = 0, 0
	return c.mail.CheckNames(ctx, mailstore.CheckOptions{
		Repair:   c.o.Repair && !c.o.LeaksOnly,
		Found:    func(f mailstore.Finding) { c.found(ctx, mailFinding(f)) },
		Progress: func(ctx context.Context, _, _ int64) error { return c.done(ctx, 0) },
	})
}

func (c *check) checkContents(ctx context.Context, p *part) error {
	from, to := p.g.Bounds()
	err := c.contents.Check(ctx, contents.CheckOptions{
		Deep: c.o.Deep, From: from, To: to,
		Found: func(f contents.Finding) {
			if f.Unreadable { // the messages that need them are found with the references
				p.found(ctx, Finding{Kind: "unreadable", Detail: f.Detail})
				return
			}
			p.suspectContent(f.ID)
			p.found(ctx, Finding{Kind: "damaged content", Content: f.ID.String(), Detail: f.Detail})
		},
		Saved: func(ctx context.Context, last contents.ID, n int64) error { return p.save(ctx, last[:], n) },
	})
	if err != nil {
		return err
	}
	return p.finish(ctx, 0)
}

// auditor returns an auditor of the documents that one of the stores has.
func (c *check) auditor(ctx context.Context, p *part, counter *dedupe.Counter, what string,
	holder func(*Finding, []byte), name func(*Finding, dedupe.Hash)) *dedupe.Auditor {
	a := &dedupe.Auditor{
		Counter: counter, Repair: c.o.Repair, LeaksOnly: c.o.LeaksOnly, Guard: c.guard,
		TableSize: c.o.TableSize, Wait: c.o.Wait, Dir: c.o.TempDir, Disk: c.o.TempSize,
		From: dedupe.Hash(p.g.From()), To: dedupe.Hash(p.g.Last()),
		Grace: dedupe.DefaultGrace, Settle: dedupe.DefaultSettle,
		Found: func(f dedupe.Finding) {
			out := Finding{Kind: what + " " + f.Fault.String(), Repaired: f.Repaired,
				Detail: fmt.Sprintf("%d references counted, %d found", f.Counted, f.Referenced)}
			switch {
			case f.Gap != nil:
				out.Detail = fmt.Sprintf("hashes from %s: %v", f.Gap.String(), f.Gap.Err)
				p.found(ctx, out)
				return
			case f.Fault == dedupe.Missing || f.Fault == dedupe.Unreadable:
				out.Detail = ""
				holder(&out, f.Holder)
			}
			name(&out, f.Hash)
			p.found(ctx, out)
		},
	}
	if c.o.Offline {
		a.Grace, a.Settle = 0, 0
	}
	return a
}

func (c *check) auditContents(ctx context.Context, p *part) error {
	a := c.auditor(ctx, p, c.contents.Refs(), "content", func(f *Finding, holder []byte) {
		if len(holder) == len(mailkey.Message{}) {
			key := mailkey.Message(holder)
			f.User, f.Mailbox, f.UID = key.User().String(), key.Mailbox().String(), key.UID()
		}
	}, func(f *Finding, h dedupe.Hash) { f.Content = h.String() })
	a.Referrers = c.mail.ContentReferrers(c.done)
	a.Holds = c.mail.HoldsContent
	a.Saved = func(ctx context.Context, last dedupe.Hash, sum dedupe.Audited) error {
		p.note.Sum.Contents.Add(sum)
		return p.save(ctx, last[:], sum.References)
	}
	_, err := a.Audit(ctx)
	return err
}

func (c *check) auditBlobs(ctx context.Context, p *part) error {
	a := c.auditor(ctx, p, c.blobs.Refs(), "blob", func(f *Finding, holder []byte) {
		f.Content = hex.EncodeToString(holder)
		if len(holder) == len(contents.ID{}) {
			p.suspectContent(contents.ID(holder))
		}
	}, func(f *Finding, h dedupe.Hash) { f.Blob = h.String() })
	a.Referrers = c.contents.BlobReferrers(c.done)
	a.Holds = c.contents.HoldsBlob
	a.Saved = func(ctx context.Context, last dedupe.Hash, sum dedupe.Audited) error {
		p.note.Sum.Blobs.Add(sum)
		return p.save(ctx, last[:], sum.References)
	}
	_, err := a.Audit(ctx)
	return err
}

func (c *check) checkFiles(ctx context.Context, p *part) error {
	grace := blobstore.OrphanGrace
	if c.o.Offline {
		grace = 0
	}
	_, err := c.blobs.Check(ctx, blobstore.CheckOptions{
		From: bson.ObjectID(p.g.From()), To: bson.ObjectID(p.g.Last()),
		Grace: grace, Repair: c.o.Repair, Deep: c.o.Deep, Guard: c.guard,
		Saved: func(ctx context.Context, last bson.ObjectID, n int64) error {
			p.note.Sum.Files += n
			return p.save(ctx, last[:], n)
		},
		Found: func(f blobstore.Finding) {
			out := Finding{Kind: f.Fault.String(), File: f.File.Hex(), Detail: f.Detail, Repaired: f.Repaired}
			if f.Hash != (dedupe.Hash{}) {
				out.Blob = f.Hash.String()
				p.suspectBlob(f.Hash)
			}
			if f.Fault == blobstore.Orphans {
				out.Detail = fmt.Sprintf("%d chunks, %d bytes", f.Chunks, f.Bytes)
			}
			p.found(ctx, out)
		},
	})
	if err != nil {
		return err
	}
	return p.finish(ctx, 0)
}
