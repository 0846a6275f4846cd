package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// The namespaces of RFC 2342 beside the user's own, which has no prefix. A mailbox of another user is
// called OthersPrefix, the name of the user, a separator, and the path that it has there; one of the
// public user PublicPrefix and the path.
const (
	OthersPrefix = "Other Users/"
	PublicPrefix = "Shared/"
)

// identities are what access control lists call a user.
type identities struct {
	list    []mailstore.Identifier
	grouped bool
	read    time.Time
}

func identitiesOf(user *mailstore.User) *identities {
	list := []mailstore.Identifier{mailstore.IdentifierOf(user.ID), mailstore.Anyone}
	for _, g := range user.Groups {
		list = append(list, mailstore.GroupIdentifier(g))
	}
	return &identities{list: list, grouped: len(user.Groups) > 0, read: time.Now()}
}

// Sharing reports whether there are namespaces of other users, and a public one.
func (a *Account) Sharing() (others, public bool) {
	return a.shared.sharing, a.shared.sharing && a.shared.publicUser != ""
}

// Foreign reports whether a name is in a namespace of other users. No mailbox of the user can have
// it.
func (a *Account) Foreign(name string) bool {
	others, public := a.Sharing()
	return others && within(name, OthersPrefix) || public && within(name, PublicPrefix)
}

// within reports whether a name is below the prefix, or its top.
func within(name, prefix string) bool {
	return strings.HasPrefix(name, prefix) || name == strings.TrimSuffix(prefix, mailstore.Separator)
}

// at returns the account to which a name of the actor's leads, and the path there. The error is
// mailstore.ErrNoSuchMailbox if it leads nowhere.
func (a *Account) at(ctx context.Context, name string) (*Account, string, error) {
	if a.visitor != nil || !a.Foreign(name) {
		return a, name, nil
	}
	owner, path := a.shared.publicUser, strings.TrimPrefix(name, PublicPrefix)
	if within(name, OthersPrefix) {
		owner, path, _ = strings.Cut(strings.TrimPrefix(name, OthersPrefix), mailstore.Separator)
	}
	if path == "" || path == name {
		return nil, "", mailstore.ErrNoSuchMailbox
	}
	user, err := a.store.UserByName(a.chain(ctx), owner)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return nil, "", mailstore.ErrNoSuchMailbox
	}
	if err != nil {
		return nil, "", err
	}
	visited, err := a.visit(ctx, user)
	if err != nil {
		return nil, "", err
	}
	if !strings.HasPrefix(name, visited.prefix) { // the public user has one name
		return nil, "", mailstore.ErrNoSuchMailbox
	}
	return visited, path, nil
}

// visit returns the account by which the actor uses the mail of another user.
func (a *Account) visit(ctx context.Context, owner *mailstore.User) (*Account, error) {
	if owner.ID == a.user || owner.State == mailstore.UserDeleted {
		return nil, mailstore.ErrNoSuchMailbox
	}
	if err := a.recall(ctx); err != nil {
		return nil, err
	}
	v := a.shared.For(a.actor, owner, 0)
	v.visitor, v.clock, v.prefix = a, a.clock, a.shared.prefixOf(owner)
	return v, nil
}

// prefixOf is what others' names for the mailboxes of a user begin with.
func (s *Accounts) prefixOf(owner *mailstore.User) string {
	if owner.Username == s.publicUser {
		return PublicPrefix
	}
	return OthersPrefix + owner.Username + mailstore.Separator
}

// recall looks which groups the actor is in. That it is in none is known for a moment: what others
// share costs those who are in no group, the most, hardly a query.
func (a *Account) recall(ctx context.Context) error {
	if was := a.identities.Load(); !was.grouped && time.Since(was.read) < a.shared.groupsKept {
		return nil
	}
	user, err := a.store.UserByID(a.chain(ctx), a.user)
	if err != nil {
		return err
	}
	a.identities.Store(identitiesOf(user))
	return nil
}

// rightsOn are the actor's rights on a mailbox of the user.
func (a *Account) rightsOn(box *mailstore.Mailbox) Rights {
	if a.visitor == nil {
		return a.rights
	}
	return rightsBy(box.ACL, a.visitor.identities.Load().list)
}

// rightsBy are the rights that an access control list gives to a user with these identities: all that
// an entry gives and none takes (RFC 4314 section 2).
func rightsBy(acl []mailstore.ACLEntry, list []mailstore.Identifier) (r Rights) {
	var taken Rights
	for _, e := range acl {
		switch {
		case !slices.Contains(list, e.Identifier):
		case e.Negative:
			taken |= Rights(e.Rights)
		default:
			r |= Rights(e.Rights)
		}
	}
	return r &^ taken & AllRights
}

// named is the mailbox as the actor is to see it.
func (a *Account) named(box *mailstore.Mailbox) *mailstore.Mailbox {
	if a.visitor == nil {
		return box
	}
	shown := *box
	// Its use is that of its owner, and so is its subscription.
	shown.Path, shown.SpecialUse, shown.Subscribed = a.prefix+box.Path, "", false
	return &shown
}

// Owner returns the user whose mailbox a name of the actor's leads to. The error is
// mailstore.ErrNoSuchMailbox if it leads nowhere.
func (a *Account) Owner(ctx context.Context, name string) (mailkey.UserID, error) {
	to, _, err := a.at(ctx, name)
	if err != nil {
		return mailkey.UserID{}, err
	}
	return to.user, nil
}

// EventsOf subscribes to what happens to the mail of a user that Owner returned. The caller closes
// the subscription. For wake see events.Bus.SubscribeWaking.
func (a *Account) EventsOf(user mailkey.UserID, wake func()) *events.Subscription {
	return a.shared.bus.SubscribeWaking(user, wake)
}

// Listed is a mailbox that a list has, with the actor's rights on it.
type Listed struct {
	*mailstore.Mailbox
	Rights Rights
}

// Own returns the mailboxes of the user in byte order of their paths, without those that others'
// names hide.
func (a *Account) Own(ctx context.Context) ([]Listed, error) {
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	return a.listed(boxes), nil
}

// OwnByNumber is Own for those mailboxes with one of the numbers. It is one query.
func (a *Account) OwnByNumber(ctx context.Context, numbers []uint32) ([]Listed, error) {
	if !a.rights.Has(Lookup) {
		return nil, nil
	}
	boxes, err := a.store.MailboxesByNumber(a.chain(ctx), a.user, numbers)
	if err != nil {
		return nil, err
	}
	return a.listed(boxes), nil
}

// listed are the mailboxes of the user that no names of others' mailboxes hide.
func (a *Account) listed(boxes []*mailstore.Mailbox) []Listed {
	list := make([]Listed, 0, len(boxes))
	for _, box := range boxes {
		if !a.Foreign(box.Path) {
			list = append(list, Listed{box, a.rightsOn(box)})
		}
	}
	return list
}

// Others returns the mailboxes of other users that the actor may look up, by their names.
func (a *Account) Others(ctx context.Context) ([]Listed, error) {
	if !a.shared.sharing || a.visitor != nil {
		return nil, nil
	}
	if err := a.recall(ctx); err != nil {
		return nil, err
	}
	ids := a.identities.Load().list
	boxes, err := a.store.SharedWith(a.chain(ctx), ids)
	if err != nil || len(boxes) == 0 {
		return nil, err
	}
	var owners []mailkey.UserID
	for _, box := range boxes {
		if user := box.Key.User(); user != a.user && !slices.Contains(owners, user) {
			owners = append(owners, user)
		}
	}
	users, err := a.store.UsersByID(a.chain(ctx), owners)
	if err != nil {
		return nil, err
	}
	var list []Listed
	for _, box := range boxes {
		owner := users[box.Key.User()]
		r := rightsBy(box.ACL, ids)
		if owner == nil || owner.State == mailstore.UserDeleted || !r.Has(Lookup) {
			continue
		}
		v := &Account{visitor: a, prefix: a.shared.prefixOf(owner)}
		list = append(list, Listed{v.named(box), r})
	}
	slices.SortFunc(list, func(x, y Listed) int { return strings.Compare(x.Path, y.Path) })
	return list, nil
}
