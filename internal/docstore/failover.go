package docstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// testMode is what a server has whose clients may make it fail (EnableTestCommands): fail points,
// and members of a replica set that are all this server, with one data.
type testMode struct {
	points failPoints

	mu      sync.Mutex
	members []string // addresses
	primary int      // index in members; less than 0 for none
	term    byte     // counts elections
	// ending ends the commands of the term when its primary steps down.
	ending context.Context
	stop   context.CancelCauseFunc
}

// errSteppedDown is the cause of the end of commands when the primary steps down.
var errSteppedDown = mongoerr.New(mongoerr.InterruptedDueToReplStateChange,
	"operation was interrupted: the primary stepped down")

// EnableTestCommands lets clients set fail points and make the server fail over, as MongoDB's
// enableTestCommands does, and makes the server say that it has so many members, the first of which
// is the primary. It is for tests, and comes before the first connection.
func (s *Server) EnableTestCommands(members int) {
	t := &testMode{members: []string{embeddedHost}, term: 1}
	for i := 1; i < members; i++ {
		t.members = append(t.members, fmt.Sprintf("embedded%d.gadwall:27017", i))
	}
	t.ending, t.stop = context.WithCancelCause(s.ctx)
	s.tests = t
}

// role tells whether the member by which a client came is the primary, and what the set is like.
// Clients that came by a socket of their own come to the primary, if there is one.
func (t *testMode) role(host string) (isPrimary bool, primary string, members []string, term byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.members, host) {
		return t.primary >= 0, host, []string{host}, t.term
	}
	if t.primary >= 0 {
		primary = t.members[t.primary]
	}
	return primary == host, primary, t.members, t.term
}

// admit refuses commands on a member that is not the primary, and otherwise binds the command to the
// term of the primary.
func (t *testMode) admit(
	ctx context.Context, r *request, cmd command,
) (context.Context, context.CancelFunc, error) {
	if !cmd.writes && cmd.reads == readLocal && r.name != "getMore" {
		return ctx, func() {}, nil
	}
	isPrimary, _, _, _ := t.role(r.conn.host)
	mode, _ := rawdoc.Get(r.body, "$readPreference").DocumentOK()
	preference, _ := mode.Lookup("mode").StringValueOK()
	switch {
	case isPrimary:
		bound, cancel := context.WithCancelCause(ctx)
		t.mu.Lock()
		ending := t.ending
		t.mu.Unlock()
		release := context.AfterFunc(ending, func() { cancel(context.Cause(ending)) })
		return bound, func() { release(); cancel(nil) }, nil
	case cmd.writes || r.inTransaction:
		return ctx, nil, r.withLabels(mongoerr.New(mongoerr.NotWritablePrimary, "not primary"))
	case preference == "" || preference == "primary":
		return ctx, nil, mongoerr.New(mongoerr.NotPrimaryNoSecondaryOk, "not primary and secondaryOk=false")
	}
	return ctx, func() {}, nil
}

// stepDown makes the set one without a primary: what runs is interrupted, and open transactions are
// lost.
func (s *Server) stepDown(ctx context.Context, r *request) (bson.Raw, error) {
	if err := r.onlyArgs(r.name, "force", "secondaryCatchUpPeriodSecs"); err != nil {
		return nil, err
	}
	t := s.tests
	if isPrimary, _, _, _ := t.role(r.conn.host); !isPrimary {
		return nil, mongoerr.New(mongoerr.NotWritablePrimary, "not primary so can't step down")
	}
	t.mu.Lock()
	t.primary = -1
	t.stop(errSteppedDown)
	t.mu.Unlock()
	return okReply(nil), s.sessions.abortOpen(ctx, s.closeCursorsOf)
}

// stepUp makes the member by which the client came the primary.
func (s *Server) stepUp(_ context.Context, r *request) (bson.Raw, error) {
	if err := r.onlyArgs(r.name, "skipDryRun"); err != nil {
		return nil, err
	}
	t := s.tests
	t.mu.Lock()
	defer t.mu.Unlock()
	t.primary = max(0, slices.Index(t.members, r.conn.host))
	t.term++
	t.stop(errSteppedDown)
	t.ending, t.stop = context.WithCancelCause(s.ctx)
	return okReply(nil), nil
}

// onlyArgs refuses all arguments but these.
func (r *request) onlyArgs(names ...string) error {
	return r.args(func(key string, _ bson.RawValue) (bool, error) { return slices.Contains(names, key), nil })
}

// appendSet appends what hello says of the replica set.
func (s *Server) appendSet(dst []byte, r *request) []byte {
	isPrimary, primary, members, term := true, r.conn.host, []string{r.conn.host}, byte(1)
	if s.tests != nil {
		isPrimary, primary, members, term = s.tests.role(r.conn.host)
	}
	writable := "ismaster"
	if r.name == "hello" {
		writable = "isWritablePrimary"
	}
	dst = bsoncore.AppendBooleanElement(dst, writable, isPrimary)
	dst = bsoncore.AppendBooleanElement(dst, "helloOk", true)
	dst = bsoncore.AppendBooleanElement(dst, "secondary", !isPrimary)
	dst = appendStrings(dst, "hosts", members)
	dst = bsoncore.AppendStringElement(dst, "setName", SetName)
	dst = bsoncore.AppendInt32Element(dst, "setVersion", 1)
	if primary != "" {
		dst = bsoncore.AppendStringElement(dst, "primary", primary)
	}
	dst = bsoncore.AppendStringElement(dst, "me", r.conn.host)
	if isPrimary {
		dst = bsoncore.AppendObjectIDElement(dst, "electionId",
			bson.ObjectID{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, term})
	}
	return dst
}
