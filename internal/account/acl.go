package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// anything are the rights of which one is enough for MYRIGHTS (RFC 4314 section 4).
const anything = Lookup | Read | Insert | CreateMailbox | DeleteMailbox | Administer

// Grant is an entry of an access control list in the words of RFC 4314 section 2.
type Grant struct {
	// Identifier is the name of a user, "anyone", or "$" and the name of a group; with a "-" before
	// it, the rights are taken away.
	Identifier string
	Rights     Rights
}

// AnyoneIdentifier is the identifier of all users.
const AnyoneIdentifier = "anyone"

// Errors of identifiers. They may come wrapped in a mailstore.InvalidError.
var (
	// ErrInvalidIdentifier is the error of a text that no identifier can be.
	ErrInvalidIdentifier = errors.New("not an identifier")
	// ErrUnknownIdentifier: there is no such user.
	ErrUnknownIdentifier = errors.New("no such user")
	// ErrForced: the rights of the identifier are what they are.
	ErrForced = errors.New("rights that cannot be changed")
)

// MyRights returns the actor's rights on a mailbox. It needs one of those that RFC 4314 section 4
// names. Errors: mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) MyRights(ctx context.Context, path string) (Rights, error) {
	to, box, err := a.find(ctx, path, 0)
	if err != nil {
		return 0, err
	}
	r := to.rightsOn(box)
	if r&anything == 0 {
		return 0, mailstore.ErrNoSuchMailbox
	}
	return r, nil
}

// ACL returns the access control list of a mailbox, the owner first. It needs Administer. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) ACL(ctx context.Context, path string) ([]Grant, error) {
	to, box, err := a.find(ctx, path, Administer)
	if err != nil {
		return nil, err
	}
	return to.grants(ctx, box.ACL)
}

// grants names the identifiers of entries. Users who are gone are left out.
func (a *Account) grants(ctx context.Context, entries []mailstore.ACLEntry) ([]Grant, error) {
	list := []Grant{{a.name, AllRights}}
	var ids []mailkey.UserID
	for _, e := range entries {
		if user, ok := e.Identifier.User(); ok && !slices.Contains(ids, user) {
			ids = append(ids, user)
		}
	}
	users, err := a.store.UsersByID(a.chain(ctx), ids)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		g := Grant{AnyoneIdentifier, Rights(e.Rights)}
		if id, ok := e.Identifier.User(); ok {
			user := users[id]
			if user == nil {
				continue
			}
			g.Identifier = user.Username
		} else if group, ok := e.Identifier.Group(); ok {
			g.Identifier = "$" + group
		}
		if e.Negative {
			g.Identifier = "-" + g.Identifier
		}
		list = append(list, g)
	}
	return list, nil
}

// CheckIdentifier returns ErrInvalidIdentifier for a text that no identifier can be.
func CheckIdentifier(text string) error {
	bare := strings.TrimPrefix(text, "-")
	if bare == "" || bare == "$" || len(text) > MaxIdentifier || !utf8.ValidString(text) ||
		strings.ContainsFunc(text, unicode.IsControl) {
		return ErrInvalidIdentifier
	}
	return nil
}

// identify returns the entry for an identifier, without rights.
func (a *Account) identify(ctx context.Context, text string) (e mailstore.ACLEntry, err error) {
	if err := CheckIdentifier(text); err != nil {
		return e, err
	}
	bare, negative := strings.CutPrefix(text, "-")
	e.Negative = negative
	group, grouped := strings.CutPrefix(bare, "$")
	switch {
	case strings.EqualFold(bare, AnyoneIdentifier):
		e.Identifier = mailstore.Anyone
		return e, nil
	case grouped:
		if group, err = mailstore.NormalizeGroup(group); err != nil {
			return e, ErrInvalidIdentifier
		}
		e.Identifier = mailstore.GroupIdentifier(group)
		return e, nil
	}
	user, err := a.store.UserByName(a.chain(ctx), bare)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return e, &mailstore.InvalidError{Err: ErrUnknownIdentifier, Reason: bare}
	}
	if err != nil {
		return e, err
	}
	if user.ID == a.user {
		return e, &mailstore.InvalidError{Err: ErrForced, Reason: "the owner has all rights"}
	}
	e.Identifier = mailstore.IdentifierOf(user.ID)
	return e, nil
}

// RightsChange says how SetACL combines rights with those that an entry has.
type RightsChange uint8

const (
	ReplaceRights RightsChange = iota
	AddRights
	RemoveRights
)

// SetACL changes the rights of an identifier on a mailbox (RFC 4314 section 3.1). An entry without
// rights goes. It needs Administer. Errors: mailstore.ErrNoSuchMailbox, ErrNoRight,
// ErrInvalidIdentifier, ErrUnknownIdentifier, ErrForced, mailstore.ErrTooMany.
func (a *Account) SetACL(
	ctx context.Context, path, identifier string, how RightsChange, rights Rights,
) error {
	return a.changeACL(ctx, path, identifier, func(old Rights) Rights {
		switch how {
		case AddRights:
			return old | rights
		case RemoveRights:
			return old &^ rights
		}
		return rights
	})
}

// DeleteACL removes the entry of an identifier (RFC 4314 section 3.2). It needs Administer. Errors
// are those of SetACL.
func (a *Account) DeleteACL(ctx context.Context, path, identifier string) error {
	return a.changeACL(ctx, path, identifier, func(Rights) Rights { return 0 })
}

func (a *Account) changeACL(
	ctx context.Context, path, identifier string, change func(old Rights) Rights,
) error {
	to, box, err := a.find(ctx, path, Administer)
	if err != nil {
		return err
	}
	entry, err := to.identify(ctx, identifier)
	if err != nil {
		return err
	}
	_, err = to.store.ChangeACL(to.chain(ctx), box.Key, func(list []mailstore.ACLEntry) ([]mailstore.ACLEntry, error) {
		same := func(e mailstore.ACLEntry) bool {
			return e.Identifier == entry.Identifier && e.Negative == entry.Negative
		}
		var old Rights
		i := slices.IndexFunc(list, same)
		if i >= 0 {
			old = Rights(list[i].Rights)
		}
		entry.Rights = int32(change(old))
		switch {
		case Rights(entry.Rights)&^old != 0 && !to.mayGrant(&entry):
			return nil, errNoAnyone
		case entry.Rights == 0:
			return slices.DeleteFunc(list, same), nil
		case i >= 0:
			list[i] = entry
			return list, nil
		}
		return append(list, entry), nil
	})
	return err
}

var errNoAnyone = &mailstore.InvalidError{Err: ErrForced, Reason: "users cannot share with all users here"}

// mayGrant reports whether the entry may get rights.
func (a *Account) mayGrant(e *mailstore.ACLEntry) bool {
	return e.Identifier != mailstore.Anyone || e.Negative || !a.shared.noAnyone || a.name == a.shared.publicUser
}

// Grantable returns which rights an identifier always has on a mailbox, and which it can be given
// (RFC 4314 section 3.4). It needs Administer. Errors are those of SetACL.
func (a *Account) Grantable(ctx context.Context, path, identifier string) (always, possible Rights, err error) {
	to, _, err := a.find(ctx, path, Administer)
	if err != nil {
		return 0, 0, err
	}
	entry, err := to.identify(ctx, identifier)
	switch {
	case errors.Is(err, ErrForced):
		return AllRights, 0, nil
	case err != nil:
		return 0, 0, err
	case !to.mayGrant(&entry):
		return 0, 0, nil
	}
	return 0, AllRights, nil
}

// ReplaceACL makes these grants the access control list of a mailbox. That of the owner is left out.
// It needs Administer. Errors are those of SetACL.
func (a *Account) ReplaceACL(ctx context.Context, path string, grants []Grant) error {
	to, box, err := a.find(ctx, path, Administer)
	if err != nil {
		return err
	}
	var list []mailstore.ACLEntry
	for _, g := range grants {
		if g.Identifier == to.name || g.Rights == 0 {
			continue
		}
		entry, err := to.identify(ctx, g.Identifier)
		if err != nil {
			return err
		}
		entry.Rights = int32(g.Rights)
		if !to.mayGrant(&entry) {
			return errNoAnyone
		}
		if slices.ContainsFunc(list, func(e mailstore.ACLEntry) bool {
			return e.Identifier == entry.Identifier && e.Negative == entry.Negative
		}) {
			return &mailstore.InvalidError{Err: ErrInvalidIdentifier, Reason: g.Identifier + " is there twice"}
		}
		list = append(list, entry)
	}
	_, err = to.store.ChangeACL(to.chain(ctx), box.Key,
		func([]mailstore.ACLEntry) ([]mailstore.ACLEntry, error) { return list, nil })
	return err
}

// QuotaOf returns the limits and the usage of the user whose mailbox the name leads to, and the name
// of that user if it is another than the actor's. In the mail of others it needs Read. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) QuotaOf(ctx context.Context, path string) (owner string, l quota.Limits, u quota.Usage, err error) {
	to, _, err := a.at(ctx, path)
	if err == nil && to.visitor != nil {
		_, _, err = a.find(ctx, path, Read)
		owner = to.name
	}
	if err != nil {
		return "", l, u, err
	}
	l, u, err = to.Quota(ctx)
	return owner, l, u, err
}

// QuotaOfUser is QuotaOf for the name of a user of whom the actor may read a mailbox.
func (a *Account) QuotaOfUser(ctx context.Context, name string) (l quota.Limits, u quota.Usage, err error) {
	others, err := a.Others(ctx)
	if err != nil {
		return l, u, err
	}
	for _, box := range others {
		if box.Rights.Has(Read) && strings.HasPrefix(box.Path, a.shared.prefixOf(&mailstore.User{Username: name})) {
			return a.store.Quota(a.chain(ctx), box.Key.User())
		}
	}
	return l, u, mailstore.ErrNoSuchUser
}
