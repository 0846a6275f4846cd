package quota

import (
	"context"
	"maps"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// fieldName is the user's name. Its domain says which default limits the user has.
const fieldName = "name"

// maxNames bounds the users whose names the Keeper remembers.
const maxNames = 20_000

// SetDomains sets the default limits of users whose names are of these domains. Default in them
// leaves the choice to the policy.
func (k *Keeper) SetDomains(limits map[string]Limits) {
	limits = maps.Clone(limits)
	k.domains.Store(&limits)
}

// Account returns limits and usage of the user with this name by the user's document.
func (k *Keeper) Account(name string, s State) Account { return k.policyOf(name).Account(s) }

// policyOf returns the policy for the user with this name.
func (k *Keeper) policyOf(name string) Policy {
	p := k.policy
	if domains := k.domains.Load(); domains != nil {
		p.Limits = (*domains)[name[strings.LastIndexByte(name, '@')+1:]].Or(p.Limits)
	}
	return p
}

// assume returns the policy for a user, and the condition that it is the user's: that the user still
// has the name. Without limits of domains there is no condition.
func (k *Keeper) assume(ctx context.Context, user mailkey.UserID) (Policy, bson.D, error) {
	if domains := k.domains.Load(); domains == nil || len(*domains) == 0 {
		return k.policy, nil, nil
	}
	name, ok := k.names.get(user)
	if !ok {
		doc, err := k.read(ctx, user)
		if err != nil {
			return Policy{}, nil, err
		}
		name = doc.Name
	}
	policy, named := k.assumeName(user, name)
	return policy, named, nil
}

func (k *Keeper) assumeName(user mailkey.UserID, name string) (Policy, bson.D) {
	k.names.set(user, name)
	return k.policyOf(name), bson.D{{Key: fieldName, Value: name}}
}

// names is the names that users had a moment ago.
type names struct {
	mu   sync.Mutex
	list map[mailkey.UserID]string // at most maxNames
}

func (n *names) get(user mailkey.UserID) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := n.list[user]
	return name, ok
}

// set remembers a name. If there are too many, any other is forgotten.
func (n *names) set(user mailkey.UserID, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.list == nil {
		n.list = make(map[mailkey.UserID]string)
	}
	if _, known := n.list[user]; !known && len(n.list) >= maxNames {
		for other := range n.list {
			delete(n.list, other)
			break
		}
	}
	n.list[user] = name
}
