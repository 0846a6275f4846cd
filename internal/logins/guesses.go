package logins

import "time"

// guesses is what happened to accounts, by user, in checks of clients that are not known where they
// are. It has accounts with failures, and those with checks that run.
type guesses map[userHash]*guessed

// guessed is what happened to one account.
type guessed struct {
	failures
	running int
}

// counted returns how many failures count.
func (a *guessed) counted(now time.Time) int {
	if a.expired(now) {
		return 0
	}
	return a.count
}

// begin notes a check that runs.
func (m guesses) begin(user userHash, now time.Time) {
	a := m[user]
	if a == nil {
		if len(m) >= maxAccounts {
			m.shorten(now)
		}
		a = &guessed{}
		m[user] = a
	}
	a.running++
}

// end notes that a check has ended. A success clears nothing: a client that knows the password is known
// from then on, and others still guess.
func (m guesses) end(user userHash, failed bool, now time.Time) {
	a := m[user]
	a.running--
	if failed {
		a.failures = failures{count: a.counted(now) + 1, last: now}
	}
	if a.running == 0 && a.counted(now) == 0 {
		delete(m, user)
	}
}

// shorten forgets what has expired. If that is too little, it forgets accounts that nobody waits for
// yet, and then others.
func (m guesses) shorten(now time.Time) {
	for _, least := range []int{1, freeFailures, 0} {
		for user, a := range m {
			if least != 1 && len(m) < maxAccounts/2 {
				return
			}
			if a.running == 0 && (least == 0 || a.counted(now) < least) {
				delete(m, user)
			}
		}
	}
}

// isStranger reports whether a check is subject to the delays of its account: the client is not known
// where it is. On the machine itself each user is a source, so that the source's delays are the
// account's. A check that names nobody, as that of a token, has no account.
func (g *Gate) isStranger(w *waiter, now time.Time) bool {
	return w.named && w.addr.IsValid() && !g.history.knows(w.addr, w.user, now)
}

// accountDelays reports whether a check waits for others at its account, and until when; zero says until
// one of those that run is done.
func (g *Gate) accountDelays(w *waiter, now time.Time) (until time.Time, delayed bool) {
	a := g.guesses[w.user]
	if a == nil || !g.isStranger(w, now) {
		return until, false
	}
	n := a.counted(now)
	switch {
	case n+a.running < freeFailures:
		return until, false
	case a.running > 0:
		return until, true
	}
	until = a.last.Add(g.delayAfter(n - freeFailures + 1))
	return until, until.After(now)
}

// delayAfter is the delay after n failures, at least one.
func (g *Gate) delayAfter(n int) time.Duration {
	return min(g.delay<<min(n-1, 20), max(maxDelay, g.delay))
}
