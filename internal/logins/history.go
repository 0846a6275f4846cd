package logins

import (
	"net/netip"
	"time"
)

// history is what happened at each address. The zero address has what happened on the machine
// itself.
type history map[netip.Addr]*address

// address is what happened at one address, by user.
type address struct {
	failed map[userHash]failures
	known  map[userHash]time.Time // when they logged in last
}

type failures struct {
	count int
	last  time.Time
}

// others has the failures of users beyond maxUsers.
const others userHash = 0

func (f failures) expired(now time.Time) bool { return now.Sub(f.last) > failureMemory }

// at returns the entry of an address, made when it is new.
func (h history) at(addr netip.Addr, now time.Time) *address {
	a := h[addr]
	if a == nil {
		if len(h) >= maxAddresses {
			h.shorten(now)
		}
		a = &address{failed: make(map[userHash]failures), known: make(map[userHash]time.Time)}
		h[addr] = a
	}
	return a
}

// shorten forgets what has expired. If that is too little, there is an attack from everywhere, and
// it is of no use to remember addresses with failures: it forgets some, and of those at which users are
// known only as many as it must.
func (h history) shorten(now time.Time) {
	for addr, a := range h {
		if a.expire(now); len(a.failed) == 0 && len(a.known) == 0 {
			delete(h, addr)
		}
	}
	for _, known := range []bool{false, true} {
		for addr, a := range h {
			if len(h) < maxAddresses/2 {
				return
			}
			if addr.IsValid() && (known || len(a.known) == 0) {
				delete(h, addr)
			}
		}
	}
}

// expire forgets what has expired.
func (a *address) expire(now time.Time) {
	for user, f := range a.failed {
		if f.expired(now) {
			delete(a.failed, user)
		}
	}
	for user, last := range a.known {
		if now.Sub(last) > successMemory {
			delete(a.known, user)
		}
	}
}

// knows reports whether the user has logged in from the address before.
func (h history) knows(addr netip.Addr, user userHash, now time.Time) bool {
	a := h[addr]
	if a == nil {
		return false
	}
	last, ok := a.known[user]
	return ok && now.Sub(last) <= successMemory
}

// failures returns how many failures of a source count, and when the last one was.
func (h history) failures(s source, now time.Time) (n int, last time.Time) {
	a := h[s.addr]
	if a == nil {
		return 0, last
	}
	add := func(f failures) {
		if f.expired(now) {
			return
		}
		n += f.count
		if f.last.After(last) {
			last = f.last
		}
	}
	if s.user != 0 {
		add(a.failed[s.user])
		return n, last
	}
	for _, f := range a.failed {
		add(f)
	}
	return n, last
}

// failure notes a wrong password.
func (h history) failure(addr netip.Addr, user userHash, now time.Time) {
	a := h.at(addr, now)
	if _, ok := a.failed[user]; !ok && len(a.failed) >= limitOf(addr) {
		if a.expire(now); len(a.failed) >= limitOf(addr) {
			user = others
		}
	}
	f := a.failed[user]
	if f.expired(now) {
		f.count = 0
	}
	a.failed[user] = failures{count: f.count + 1, last: now}
}

// success notes a login. It forgets the failures of this user, and of no other.
func (h history) success(addr netip.Addr, user userHash, now time.Time) {
	a := h.at(addr, now)
	delete(a.failed, user)
	if !addr.IsValid() {
		return // on the machine itself, each user is a source anyway
	}
	if _, ok := a.known[user]; !ok && len(a.known) >= maxUsers {
		a.expire(now)
		for old := range a.known { // any: who comes back is known again
			if len(a.known) < maxUsers {
				break
			}
			delete(a.known, old)
		}
	}
	a.known[user] = now
}

// limitOf is how many users have failures at an address.
func limitOf(addr netip.Addr) int {
	if !addr.IsValid() {
		return maxLocalUsers
	}
	return maxUsers
}
