package mailstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/quota"
)

// Domain is a domain that has users, or for which something is set.
type Domain struct {
	Name string
	// Limits are those of its users who have none of their own; Default is that of the deployment.
	Limits quota.Limits
	// AliasOf is the domain that has its mail; "" if it has its own.
	AliasOf string
	// CatchAll is the name of the user who has *@ the domain; "" for nobody.
	CatchAll string
	// Users is how many users have names of it, at most MaxDomainUsers; with MoreUsers there are more.
	Users     int
	MoreUsers bool
}

type domainDoc struct {
	Name     string `bson:"_id"`
	Bytes    int64  `bson:"bytes"`
	Messages int64  `bson:"messages"`
	AliasOf  string `bson:"alias"`
}

func (d *domainDoc) limits() quota.Limits { return quota.Limits{Bytes: d.Bytes, Messages: d.Messages} }

// loadDomains reads what is set for domains. The process has it in memory: an address costs no query
// for its domain, and a charge none for its limit.
func (s *Store) loadDomains(ctx context.Context) error {
	cursor, err := s.domains.Find(ctx, bson.D{}, options.Find().SetLimit(MaxDomains))
	if err != nil {
		return fmt.Errorf("read domains: %w", err)
	}
	var docs []domainDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return fmt.Errorf("read domains: %w", err)
	}
	table, limits := make(map[string]domainDoc), make(map[string]quota.Limits)
	for _, d := range docs {
		table[d.Name] = d
		if d.limits() != (quota.Limits{}) {
			limits[d.Name] = d.limits()
		}
	}
	s.domainTable.Store(&table)
	s.quota.SetDomains(limits)
	return nil
}

// followDomains reads now and then until ctx ends what other processes have set for domains.
func (s *Store) followDomains(ctx context.Context) {
	for {
		pause := time.NewTimer(domainsEvery/2 + rand.N(domainsEvery/2)) // not all instances at the same time
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		if err := s.loadDomains(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("what is set for domains was not read; what was known holds", "error", err)
		}
	}
}

// aliasOf returns the domain that has the mail of a domain, "" if it has its own.
func (s *Store) aliasOf(domain string) string {
	table := *s.domainTable.Load()
	if len(table) == 0 {
		return ""
	}
	name, err := NormalizeDomain(domain)
	if err != nil {
		return ""
	}
	return table[name].AliasOf
}

// findUserByLogin is findUserByName for a name by which a client logs in, whose domain may be an
// alias.
func (s *Store) findUserByLogin(ctx context.Context, name string) (*userDoc, error) {
	doc, err := s.findUserByName(ctx, name)
	if target := s.aliasOf(domainOf(name)); errors.Is(err, ErrNoSuchUser) && target != "" {
		doc, err = s.findUserByName(ctx, name[:len(name)-len(domainOf(name))]+target)
	}
	return doc, err
}

// UserByLogin returns the user who logs in by this name: the one who has it or, if nobody does and its
// domain is an alias, the one who has it in the other domain. The error is ErrNoSuchUser, also for names
// that cannot exist.
func (s *Store) UserByLogin(ctx context.Context, username string) (*User, error) {
	name, err := NormalizeAddress(username)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchUser, err)
	}
	doc, err := s.findUserByLogin(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.userFrom(doc)
}

// LoginName returns one form of all the names by which a user logs in, whether or not there is such a
// user: normalised, and in the domain for which its domain is an alias. What cannot be a name stays as
// it is.
func (s *Store) LoginName(username string) string {
	name, err := NormalizeAddress(username)
	if err != nil {
		return username
	}
	if target := s.aliasOf(domainOf(name)); target != "" {
		return name[:len(name)-len(domainOf(name))] + target
	}
	return name
}

// Domains returns domains in the order of their names, at most limit (MaxDomainPage) of those after
// the name after. more says that others follow. It takes a query and a count for each of them.
func (s *Store) Domains(ctx context.Context, after string, limit int) (list []Domain, more bool, err error) {
	if limit <= 0 || limit > MaxDomainPage {
		limit = MaxDomainPage
	}
	cursor, err := s.domains.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit+1)))
	if err != nil {
		return nil, false, fmt.Errorf("list domains: %w", err)
	}
	var docs []domainDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, false, fmt.Errorf("list domains: %w", err)
	}
	last := after
	for range limit + 1 {
		if last, err = s.domainWithUsers(ctx, last); err != nil {
			return nil, false, err
		}
		if last == "" {
			break
		}
		if !slices.ContainsFunc(docs, func(d domainDoc) bool { return d.Name == last }) {
			docs = append(docs, domainDoc{Name: last})
		}
	}
	slices.SortFunc(docs, func(a, b domainDoc) int { return cmp.Compare(a.Name, b.Name) })
	if more = len(docs) > limit; more {
		docs = docs[:limit]
	}
	list, err = s.describeDomains(ctx, docs)
	return list, more, err
}

// domainWithUsers returns the first domain after a name that has users, "" if there is none.
func (s *Store) domainWithUsers(ctx context.Context, after string) (string, error) {
	var doc struct {
		Domain string `bson:"dom"`
	}
	err := s.users.FindOne(ctx, bson.D{{Key: userDomain, Value: bson.D{{Key: "$gt", Value: after}}}},
		options.FindOne().SetHint(indexDomain).SetSort(bson.D{{Key: userDomain, Value: 1}, {Key: userName, Value: 1}}).
			SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: userDomain, Value: 1}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list domains: %w", err)
	}
	return doc.Domain, nil
}

// describeDomains adds to documents what others say of the domains.
func (s *Store) describeDomains(ctx context.Context, docs []domainDoc) ([]Domain, error) {
	catchAll, err := s.catchAll(ctx, docs)
	if err != nil {
		return nil, err
	}
	list := make([]Domain, len(docs))
	for i, d := range docs {
		list[i] = Domain{Name: d.Name, Limits: d.limits(), AliasOf: d.AliasOf, CatchAll: catchAll[anyLocal+"@"+d.Name]}
		n, err := s.countUsers(ctx, d.Name)
		if err != nil {
			return nil, err
		}
		list[i].Users, list[i].MoreUsers = min(n, MaxDomainUsers), n > MaxDomainUsers
	}
	return list, nil
}

// countUsers counts the users of a domain, to one more than MaxDomainUsers.
func (s *Store) countUsers(ctx context.Context, domain string) (n int, err error) {
	cursor, err := s.users.Find(ctx, bson.D{{Key: userDomain, Value: domain}},
		options.Find().SetHint(indexDomain).SetLimit(MaxDomainUsers+1).
			SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: userDomain, Value: 1}})) // the index has it
	if err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		n++
	}
	if err := cursor.Err(); err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return n, nil
}

// catchAll returns the names of the users who have the mail of all addresses of these domains, by
// address.
func (s *Store) catchAll(ctx context.Context, domains []domainDoc) (map[string]string, error) {
	var all bson.A
	for _, d := range domains {
		all = append(all, anyLocal+"@"+d.Name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	cursor, err := s.addresses.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: all}}}})
	if err != nil {
		return nil, fmt.Errorf("find addresses: %w", err)
	}
	var docs []struct {
		Address string      `bson:"_id"`
		User    bson.Binary `bson:"user"`
	}
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find addresses: %w", err)
	}
	names := make(map[string]string)
	for _, d := range docs {
		id, err := userIDFrom(d.User)
		if err != nil {
			return nil, err
		}
		user, err := s.UserByID(ctx, id)
		switch {
		case errors.Is(err, ErrNoSuchUser):
		case err != nil:
			return nil, err
		default:
			names[d.Address] = user.Username
		}
	}
	return names, nil
}

// DomainByName returns a domain. The error is ErrNoSuchDomain if it has no users and nothing is set.
func (s *Store) DomainByName(ctx context.Context, name string) (*Domain, error) {
	name, err := NormalizeDomain(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchDomain, err)
	}
	doc := domainDoc{Name: name}
	err = s.domains.FindOne(ctx, bson.D{{Key: "_id", Value: name}}).Decode(&doc)
	exists := err == nil
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("find domain: %w", err)
	}
	list, err := s.describeDomains(ctx, []domainDoc{doc})
	if err != nil {
		return nil, err
	}
	if !exists && list[0].Users == 0 && list[0].CatchAll == "" {
		return nil, ErrNoSuchDomain
	}
	return &list[0], nil
}

// DomainChange is what ChangeDomain changes; nil fields stay.
type DomainChange struct {
	Bytes, Messages *int64  // default limits; quota.Default takes them away
	AliasOf         *string // another domain; "" takes it away
	CatchAll        *string // the name of a user; "" takes it away
}

// ChangeDomain sets something for a domain, which need not exist before: all of it or nothing. Other
// instances know it some seconds later, and a catch-all at once. Errors: ErrInvalidAddress,
// ErrInvalidDomain, quota.ErrInvalidLimit, ErrNoSuchUser, ErrTooMany, ErrUserExists if a user has the
// catch-all's address as name.
func (s *Store) ChangeDomain(ctx context.Context, name string, c DomainChange) error {
	name, err := NormalizeDomain(name)
	if err != nil {
		return err
	}
	var set, unset bson.D
	if c.AliasOf != nil && *c.AliasOf != "" {
		target, err := s.aliasTarget(ctx, name, *c.AliasOf)
		if err != nil {
			return err
		}
		c.AliasOf = &target
	}
	for _, l := range []struct {
		field string
		value *int64
	}{{domainBytes, c.Bytes}, {domainMessages, c.Messages}} {
		switch {
		case l.value == nil:
		case *l.value == quota.Default:
			unset = append(unset, bson.E{Key: l.field, Value: ""})
		default:
			if err := (quota.Limits{Bytes: *l.value}).Check(); err != nil {
				return err
			}
			set = append(set, bson.E{Key: l.field, Value: *l.value})
		}
	}
	switch {
	case c.AliasOf == nil:
	case *c.AliasOf == "":
		unset = append(unset, bson.E{Key: domainAliasOf, Value: ""})
	default:
		set = append(set, bson.E{Key: domainAliasOf, Value: *c.AliasOf})
	}
	var catchAll *User
	if c.CatchAll != nil && *c.CatchAll != "" {
		if catchAll, err = s.UserByName(ctx, *c.CatchAll); err != nil {
			return err
		}
		if catchAll.State == UserDeleted {
			return ErrNoSuchUser
		}
	}
	ctx = database.Causal(ctx)
	defer s.noteAddresses(ctx)
	err = s.transact(ctx, func(ctx context.Context) error {
		if c.CatchAll != nil {
			if err := s.setCatchAll(ctx, name, catchAll); err != nil {
				return err
			}
		}
		return s.updateDomain(ctx, name, set, unset)
	})
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("%w: %s@%s", ErrUserExists, anyLocal, name)
	}
	if err != nil {
		return fmt.Errorf("change domain: %w", err)
	}
	return s.loadDomains(ctx)
}

// aliasTarget returns the normalised target if the domain can be its alias.
func (s *Store) aliasTarget(ctx context.Context, name, target string) (string, error) {
	target, err := NormalizeDomain(target)
	if err != nil {
		return "", err
	}
	// Chains would make loops possible.
	n, err := s.countUpTo(ctx, s.domains, bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "_id", Value: target}, {Key: domainAliasOf, Value: bson.D{{Key: "$exists", Value: true}}}},
		bson.D{{Key: domainAliasOf, Value: name}}}}}, 1)
	switch {
	case err != nil:
		return "", err
	case target == name:
		return "", invalid(ErrInvalidDomain, "a domain is no alias of itself")
	case n > 0:
		return "", invalid(ErrInvalidDomain, "%s is an alias itself, or %s has aliases", target, name)
	}
	return target, nil
}

// updateDomain is a part of the transaction of ChangeDomain.
func (s *Store) updateDomain(ctx context.Context, name string, set, unset bson.D) error {
	var update bson.D
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	if len(set) > 0 {
		if n, err := s.countUpTo(ctx, s.domains, bson.D{}, MaxDomains); err != nil {
			return err
		} else if n == MaxDomains {
			return invalid(ErrTooMany, "%d domains can have settings", MaxDomains)
		}
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	if len(update) == 0 {
		return nil
	}
	byName := bson.D{{Key: "_id", Value: name}}
	if _, err := s.domains.UpdateOne(ctx, byName, update,
		options.UpdateOne().SetUpsert(len(set) > 0)); err != nil {
		return err
	}
	_, err := s.domains.DeleteOne(ctx, append(byName,
		notSet(domainBytes), notSet(domainMessages), notSet(domainAliasOf)))
	return err
}

// setCatchAll is a part of the transaction of ChangeDomain: it gives the address *@ the domain to a user,
// nil for nobody. Another user who had it loses it. It is one write: mail never finds the address without
// an owner, or with two.
func (s *Store) setCatchAll(ctx context.Context, domain string, to *User) error {
	alias := bson.D{{Key: "_id", Value: anyLocal + "@" + domain}, {Key: addressAlias, Value: true}}
	if to == nil {
		_, err := s.addresses.DeleteOne(ctx, alias)
		return err
	}
	// As in AddAlias. The deletion of the one who had it removes what that user has then.
	if _, err := s.touchUser(ctx, to.ID, bson.D{{Key: userTree, Value: int64(1)}}); err != nil {
		return err
	}
	own, err := s.countUpTo(ctx, s.addresses, append(slices.Clone(alias),
		bson.E{Key: addressUser, Value: to.ID.Binary()}), 1)
	if err != nil || own > 0 {
		return err
	}
	if err := s.roomForAlias(ctx, to.ID); err != nil {
		return err
	}
	_, err = s.addresses.UpdateOne(ctx, alias,
		bson.D{{Key: "$set", Value: bson.D{{Key: addressUser, Value: to.ID.Binary()}}}},
		options.UpdateOne().SetUpsert(true))
	return err
}

// ForgetDomain takes away all that is set for a domain; its users stay. The error is ErrNoSuchDomain.
func (s *Store) ForgetDomain(ctx context.Context, name string) error {
	d, err := s.DomainByName(ctx, name)
	if err != nil {
		return err
	}
	none, nobody := quota.Default, ""
	return s.ChangeDomain(ctx, d.Name, DomainChange{Bytes: &none, Messages: &none, AliasOf: &nobody, CatchAll: &nobody})
}
