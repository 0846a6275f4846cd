package sessions

import (
	"cmp"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"gadwall/internal/mailkey"
)

// Info describes a session.
type Info struct {
	ID       string         `json:"id"`
	Instance string         `json:"instance"` // host:process
	User     mailkey.UserID `json:"-"`
	Username string         `json:"username"`
	Actor    string         `json:"actor"` // the master user who acts for the user; else empty
	// ActorID is who has logged in: the user, a master user, or nobody if an operator's token did.
	ActorID mailkey.UserID `json:"-" bson:"-"`
	// Credential names what it logged in with, if that can be revoked for itself.
	Credential string `json:"-" bson:"-"`
	// Begun is when the login began: whatever was shown was right at that time or later. The zero value
	// means that the session is as old as its login.
	Begun time.Time `json:"-" bson:"-"`

	Protocol string    `json:"protocol"` // imap, smtp, http
	Remote   string    `json:"remote"`   // the client's address
	By       string    `json:"by"`       // what it logged in with
	TLS      bool      `json:"tls"`
	Client   string    `json:"client"`  // the program, as it calls itself
	Mailbox  string    `json:"mailbox"` // that is open
	Since    time.Time `json:"since"`
	Active   time.Time `json:"active"` // the latest command
}

// Registry is the sessions of this instance. It is safe for concurrent use. A nil Registry has none.
type Registry struct {
	mu    sync.Mutex
	open  map[string]*Session
	ended []ended // lately, the oldest first
}

// ended is a target whose sessions were told to end. Logins that had begun by then may have shown what
// was right before.
type ended struct {
	target Target
	at     time.Time
	reason string
}

// NewRegistry returns a Registry without sessions.
func NewRegistry() *Registry { return &Registry{open: make(map[string]*Session)} }

// Session is an open session. A nil Session is in no Registry.
type Session struct {
	registry *Registry
	kick     func(reason string)

	mu   sync.Mutex
	info Info
}

// idLength is the length of a session's id: random, so that nobody ends another one by a guess.
const idLength = 16

// Open adds a session of now. kick is called, from any goroutine and perhaps several times, when it is
// to end: during Open already, if sessions like it have ended since its login began. The caller closes
// the session.
func (r *Registry) Open(info Info, kick func(reason string)) *Session {
	if r == nil {
		return nil
	}
	info.ID = rand.Text()[:idLength]
	info.Since = time.Now().UTC()
	info.Active = info.Since
	s := &Session{registry: r, kick: kick, info: info}
	if late := r.add(s); late != nil {
		kick(late.reason)
	}
	return s
}

// add adds a session, and returns why it is to end at once, if it is.
func (r *Registry) add(s *Session) *ended {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[s.info.ID] = s
	if s.info.Begun.IsZero() {
		return nil
	}
	for i := range r.ended {
		if e := &r.ended[i]; s.info.Begun.Before(e.at) && e.target.has(&s.info) {
			return e
		}
	}
	return nil
}

// Close takes the session out of its Registry.
func (s *Session) Close() {
	if s == nil {
		return
	}
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	delete(s.registry.open, s.info.ID)
}

// Touch notes a command.
func (s *Session) Touch() { s.change(func(i *Info) { i.Active = time.Now().UTC() }) }

// SetClient notes how the client calls itself.
func (s *Session) SetClient(name string) { s.change(func(i *Info) { i.Client = name }) }

// SetMailbox notes which mailbox is open; "" is none.
func (s *Session) SetMailbox(name string) { s.change(func(i *Info) { i.Mailbox = name }) }

func (s *Session) change(f func(*Info)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.info)
}

func (s *Session) describe() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// chosen returns the sessions of a target.
func (r *Registry) chosen(t Target) []*Session {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chosenLocked(t)
}

func (r *Registry) chosenLocked(t Target) []*Session {
	var list []*Session
	for _, s := range r.open {
		if t.has(&s.info) { // what names a session does not change
			list = append(list, s)
		}
	}
	return list
}

// list returns the sessions of a target, the oldest first.
func (r *Registry) list(t Target) []Info {
	var list []Info
	for _, s := range r.chosen(t) {
		list = append(list, s.describe())
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// end tells the sessions of a target to end, and returns how many these are. Sessions whose logins have
// begun end when they open.
func (r *Registry) end(t Target, reason string) int {
	if r == nil {
		return 0
	}
	now := time.Now()
	r.mu.Lock()
	list := r.chosenLocked(t)
	if t.ID == "" {
		r.rememberLocked(ended{t, now, reason})
	}
	r.mu.Unlock()
	for _, s := range list {
		s.kick(reason)
	}
	return len(list)
}

// rememberLocked notes a target for logins that are under way. Of a user with too many, all logins under
// way end, and past maxEnded those of everybody: whose they are is not worth more memory.
func (r *Registry) rememberLocked(e ended) {
	user := e.target.User
	if user != nil && *user == (mailkey.UserID{}) { // a credential of whomever
		user = nil
	}
	ofUser := func(old ended) bool {
		return user != nil && old.target.User != nil && *old.target.User == *user
	}
	count := 0
	r.ended = slices.DeleteFunc(r.ended, func(old ended) bool {
		if ofUser(old) {
			count++
		}
		return e.at.Sub(old.at) > loginTakes
	})
	if count >= maxEndedOfUser {
		r.ended = slices.DeleteFunc(r.ended, ofUser)
		e.target = Target{User: user}
	}
	if len(r.ended) == maxEnded {
		r.ended, e.target = r.ended[:0], Target{}
	}
	r.ended = append(r.ended, e)
}
