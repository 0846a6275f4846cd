package workload

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// fetch reads the folder.
type fetch struct {
	s *suite
	f *folder
	p *pool

	// first has the first answer to envelope and structure, by message: the later ones must be the
	// same, for all users.
	mu    sync.Mutex
	first map[string][][sha256.Size]byte
}

// wholeFolder are calls of a step whose calls read the whole folder, oneMessage of one whose calls
// read one message.
const wholeFolder, oneMessage = 200, 1000

func openFetch(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.openPool(ctx, f.name)
	if err != nil {
		return nil, err
	}
	r := &fetch{s: s, f: f, p: p, first: make(map[string][][sha256.Size]byte)}
	all := func(name, items string, check func(f *fetched, user int) error) step {
		return step{name: name, calls: s.callsOf(wholeFolder), warm: int64(s.Connections),
			op: func(ctx context.Context, worker int, _ int64) (int64, error) {
				return r.all(ctx, worker, "FETCH 1:* "+items, check)
			}}
	}
	type reader func(c *session, worker int, random *rand.Rand) (octets int64, err error)
	one := func(name string, read reader) step {
		return step{name: name, calls: s.callsOf(oneMessage), warm: int64(s.Connections),
			op: func(ctx context.Context, worker int, call int64) (octets int64, err error) {
				err = p.do(ctx, worker, func(c *session) error {
					octets, err = read(c, worker, rand.New(rand.NewPCG(s.Corpus.Seed, uint64(call))))
					return err
				})
				return octets, err
			}}
	}
	steps := []step{
		all("flags", "(UID FLAGS)", r.flags),
		all("envelope", "(ENVELOPE)", r.envelope),
		all("bodystructure", "(BODYSTRUCTURE)", r.structure),
		all("header", "("+headerItem+")", r.header),
		one("whole", r.whole),
		one("slice", r.slice),
	}
	steps[len(steps)-1].close = p.close
	return steps, nil
}

// all reads the folder and checks that each message is there once, in its order.
func (r *fetch) all(ctx context.Context, worker int, command string,
	check func(f *fetched, user int) error) (octets int64, err error) {
	err = r.p.do(ctx, worker, func(c *session) error {
		seq := 0
		err := fetchEach(c, command, func(f *fetched) error {
			if seq++; f.seq != seq || seq > len(r.f.expected) {
				return wrong("message %d came as number %d", f.seq, seq)
			}
			for _, i := range f.items {
				octets += int64(len(i.name) + len(i.value))
			}
			return check(f, r.s.user(worker))
		})
		if err == nil && seq != len(r.f.expected) {
			err = wrong("%d messages of %d", seq, len(r.f.expected))
		}
		return err
	})
	return octets, err
}

func (r *fetch) flags(f *fetched, user int) error {
	flags, ok := f.get("FLAGS")
	if uid, _ := f.get("UID"); !ok || uid != strconv.Itoa(r.f.uids[user][f.seq-1]) ||
		flagSet(flags) != r.f.expected[f.seq-1].flags {
		return wrong("message %d has UID %q and flags %q", f.seq, uid, flags)
	}
	return nil
}

// same compares a value with the first of its kind.
func (r *fetch) same(name string, seq int, value string) error {
	hash := sha256.Sum256([]byte(value))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first[name] == nil {
		r.first[name] = make([][sha256.Size]byte, len(r.f.expected))
	}
	switch known := &r.first[name][seq-1]; *known {
	case [sha256.Size]byte{}:
		*known = hash
	case hash:
	default:
		return wrong("%s of message %d was another before: %s", name, seq, shown(value))
	}
	return nil
}

func (r *fetch) envelope(f *fetched, _ int) error {
	value, ok := f.get("ENVELOPE")
	if !ok || !strings.Contains(value, r.f.expected[f.seq-1].messageID) {
		return wrong("ENVELOPE of message %d: %s", f.seq, shown(value))
	}
	return r.same("ENVELOPE", f.seq, value)
}

// structure looks for the subtype of the message and for the sizes of its leaves, one after the
// other.
func (r *fetch) structure(f *fetched, _ int) error {
	value, ok := f.get("BODYSTRUCTURE")
	e := &r.f.expected[f.seq-1]
	if !ok || !strings.Contains(strings.ToLower(value), `"`+e.subtype+`"`) {
		return wrong("BODYSTRUCTURE of message %d has no %q: %s", f.seq, e.subtype, shown(value))
	}
	rest := value
	for _, l := range e.leaves {
		if rest, ok = afterSize(rest, l.size); !ok {
			return wrong("BODYSTRUCTURE of message %d lacks part %s of %d octets: %s",
				f.seq, l.section, l.size, shown(value))
		}
	}
	return r.same("BODYSTRUCTURE", f.seq, value)
}

// afterSize cuts a BODYSTRUCTURE after the next transfer encoding that a size follows.
func afterSize(s string, size int64) (rest string, ok bool) {
	encoded := fmt.Sprintf(`" %d`, size)
	for {
		if _, s, ok = strings.Cut(s, encoded); !ok {
			return "", false
		}
		if s != "" && (s[0] == ' ' || s[0] == ')') {
			return s, true
		}
	}
}

func (r *fetch) header(f *fetched, _ int) error {
	value, ok := f.get("BODY[HEADER.FIELDS ")
	if !ok || sha256.Sum256([]byte(value)) != r.f.expected[f.seq-1].fields {
		return wrong("header fields of message %d: %s", f.seq, shown(value))
	}
	return nil
}

func (r *fetch) whole(c *session, worker int, random *rand.Rand) (int64, error) {
	n := random.IntN(len(r.f.expected))
	uid := r.f.uids[r.s.user(worker)][n]
	got, err := fetchOne(c, fmt.Sprintf("UID FETCH %d BODY.PEEK[]", uid), "BODY[]")
	if err != nil {
		return 0, err
	}
	want, err := r.f.spool.read(n)
	if err == nil && got != string(want) {
		err = wrong("message %d: %s", n+1, shown(got))
	}
	return int64(len(got)), err
}

// slice reads from a random place of a random part.
func (r *fetch) slice(c *session, worker int, random *rand.Rand) (int64, error) {
	n := random.IntN(len(r.f.expected))
	part := leaf{section: "1"}
	if leaves := r.f.expected[n].leaves; len(leaves) > 0 {
		part = leaves[random.IntN(len(leaves))]
	}
	from := random.Int64N(part.size + 1)
	command := fmt.Sprintf("UID FETCH %d BODY.PEEK[%s]<%d.%d>", r.f.uids[r.s.user(worker)][n],
		part.section, from, sliceSize)
	got, err := fetchOne(c, command, "BODY["+part.section+"]")
	if err != nil {
		return 0, err
	}
	want, err := r.f.spool.slice(n, part.offset+from, int(min(part.size-from, sliceSize)))
	if err == nil && got != string(want) {
		err = wrong("part %s of message %d from %d: %s", part.section, n+1, from, shown(got))
	}
	return int64(len(got)), err
}
