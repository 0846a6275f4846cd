package node

import (
	"context"
	"errors"
	"iter"
	"sync"

	"gadwall/internal/contents"
	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/search/index"
)

// TextIndex is the text index as one process uses it.
type TextIndex struct {
	*index.Index
	Writer   *index.Writer
	Turner   *index.Turner
	Repairer *index.Repairer

	task    *lease.Task
	stop    context.CancelFunc
	running sync.WaitGroup
}

// openIndex opens the text index. The mail store is opened after it, and then startIndex is called.
func (n *Node) openIndex(ctx context.Context, a Access) error {
	x, err := index.Open(ctx, n.Database, a == Looking)
	if err != nil {
		return err
	}
	task := &lease.Task{Name: "text-index", Database: n.Database, Redis: n.Redis, Log: n.log}
	t := &TextIndex{Index: x, Turner: index.NewTurner(x, task, n.log), task: task}
	t.Writer = index.NewWriter(x, n.Contents, func() index.Extractor { return new(search.Extractor) }, t.Turner, n.log)
	n.Index = t
	return nil
}

// Task is the one of blocks and repairs.
func (t *TextIndex) Task() *lease.Task { return t.task }

// startIndex lets a server index mail in the background, until it closes.
func (n *Node) startIndex(a Access) {
	t := n.Index
	t.Repairer = index.NewRepairer(t.Index, mails{n.Mail}, t.Writer, t.Turner)
	if a != Serving {
		return
	}
	t.Turner.SetRepair(t.Repairer.Repair)
	var ctx context.Context
	ctx, t.stop = context.WithCancel(context.Background())
	t.running.Go(func() { t.Writer.Run(ctx) })
	t.running.Go(func() { t.Turner.Run(ctx) })
	n.closers = append(n.closers, func() error {
		t.stop()
		t.running.Wait()
		return nil
	})
}

// add has the Writer index new mails. A process that has no Writer running leaves them to the next
// repair.
func (t *TextIndex) add(list []mailstore.StoredMail) {
	for _, m := range list {
		t.Writer.Add(index.Mail{User: m.User, Number: uint64(m.Number), Content: m.Content, Prefix: m.Prefix})
	}
}

// mails is the mail store as the index sees it.
type mails struct{ *mailstore.Store }

var _ index.Mails = mails{}

// UserIDs implements index.Mails.
func (m mails) UserIDs(ctx context.Context) iter.Seq2[mailkey.UserID, error] {
	return func(yield func(mailkey.UserID, error) bool) {
		for user, err := range m.Users(ctx) {
			var id mailkey.UserID
			if err == nil {
				id = user.ID
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// LastNumber implements index.Mails.
func (m mails) LastNumber(ctx context.Context, user mailkey.UserID) (uint64, bool, error) {
	n, err := m.Store.LastNumber(ctx, user)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return 0, false, nil
	}
	return uint64(n), err == nil, err
}

// Mails implements index.Mails.
func (m mails) Mails(ctx context.Context, user mailkey.UserID) iter.Seq2[index.Mail, error] {
	return func(yield func(index.Mail, error) bool) {
		for msg, err := range m.UserMessages(ctx, user, mailstore.FieldNumber|mailstore.FieldContent) {
			if err != nil {
				yield(index.Mail{}, err)
				return
			}
			if msg.Number == 0 {
				continue
			}
			mail := index.Mail{User: user, Number: uint64(msg.Number), Content: msg.Content, Prefix: msg.Prefix}
			if !yield(mail, nil) {
				return
			}
		}
	}
}

var (
	_ index.Extractor = (*search.Extractor)(nil)
	_ index.Contents  = (*contents.Store)(nil)
	_ search.Index    = (*index.Index)(nil)
)
