package docstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/wire"
)

// A command is a row of the table of what the server can do.
type command struct {
	run func(*Server, context.Context, *request) (bson.Raw, error)
	// legacy commands may come by OP_QUERY.
	legacy bool
	// retryable commands may carry a transaction number outside a transaction.
	retryable bool
	// catalog commands change the catalogue.
	catalog bool
	// inTxn commands may run in a transaction.
	inTxn bool
	// endsTxn commands commit or abort one.
	endsTxn bool
	// adminOnly commands run on the database admin.
	adminOnly bool
	// writes reports that the command takes a write concern.
	writes bool
	// reads says which read concerns it takes.
	reads readSupport
	// direct commands wait for nothing that their context does not stop.
	direct bool
	// test commands exist if EnableTestCommands was called.
	test bool
}

var commands map[string]command

func init() { // the table refers to functions that look into it
	commands = map[string]command{
		"hello":     {run: (*Server).hello, legacy: true},
		"isMaster":  {run: (*Server).hello, legacy: true},
		"ismaster":  {run: (*Server).hello, legacy: true},
		"ping":      {run: (*Server).ping, direct: true},
		"buildInfo": {run: (*Server).buildInfo},
		"buildinfo": {run: (*Server).buildInfo},

		"connectionStatus": {run: (*Server).connectionStatus},
		"serverStatus":     {run: (*Server).serverStatus},

		"insert":        {run: (*Server).insert, retryable: true, inTxn: true, writes: true},
		"update":        {run: (*Server).update, retryable: true, inTxn: true, writes: true},
		"delete":        {run: (*Server).delete, retryable: true, inTxn: true, writes: true},
		"findAndModify": {run: (*Server).findAndModify, retryable: true, inTxn: true, writes: true},
		"findandmodify": {run: (*Server).findAndModify, retryable: true, inTxn: true, writes: true},

		"find":        {run: (*Server).find, inTxn: true, direct: true, reads: readAnyLevel},
		"getMore":     {run: (*Server).getMore, inTxn: true, direct: true},
		"killCursors": {run: (*Server).killCursors, inTxn: true},
		"count":       {run: (*Server).count, direct: true, reads: readNoSnap},
		"aggregate":   {run: (*Server).aggregate, inTxn: true, direct: true, reads: readAnyLevel},
		"explain":     {run: (*Server).explain, reads: readNoSnap},

		"commitTransaction": {run: (*Server).commitTransaction, inTxn: true, endsTxn: true,
			writes: true, adminOnly: true},
		"abortTransaction": {run: (*Server).abortTransaction, inTxn: true, endsTxn: true,
			writes: true, adminOnly: true},
		"endSessions": {run: (*Server).endSessions},

		"create":          {run: (*Server).create, writes: true, catalog: true},
		"createIndexes":   {run: (*Server).createIndexes, writes: true, catalog: true},
		"dropIndexes":     {run: (*Server).dropIndexes, writes: true, catalog: true},
		"listIndexes":     {run: (*Server).listIndexes},
		"listCollections": {run: (*Server).listCollections},
		"listDatabases":   {run: (*Server).listDatabases, adminOnly: true},
		"drop":            {run: (*Server).drop, writes: true, catalog: true},
		"dropDatabase":    {run: (*Server).dropDatabase, writes: true, catalog: true},
		"validate":        {run: (*Server).validate},
		BackupCommand:     {run: (*Server).backup},

		"configureFailPoint": {run: (*Server).configureFailPoint, adminOnly: true, test: true},
		"replSetStepDown":    {run: (*Server).stepDown, adminOnly: true, test: true},
		"replSetStepUp":      {run: (*Server).stepUp, adminOnly: true, test: true},
	}
}

// handle runs one request and returns its reply.
func (s *Server) handle(ctx context.Context, c *conn, m *wire.Message) (reply bson.Raw) {
	var r *request
	defer func() {
		if r != nil {
			s.counters.add(r.name, m.Size(), len(reply))
		}
	}()
	err := s.contain("a request", func() (err error) {
		r, err = parseRequest(s, c, m)
		return err
	})
	now := s.clock.now() // before the command looks at anything
	var fail *failPoint
	if err == nil && s.tests != nil {
		if fail = s.tests.points.hit(r); fail != nil {
			err = fail.before(ctx, r)
		}
	}
	if err == errCloseConnection {
		return nil
	}
	if err == nil {
		reply, err = s.dispatch(ctx, r, m.Legacy)
	}
	if r != nil && commands[r.name].writes && (!r.inTransaction || commands[r.name].endsTxn) {
		now = s.clock.tick()
	}
	if err == nil {
		reply = r.withConcernError(reply)
		if fail != nil {
			reply = fail.after(reply)
		}
		return s.withTimes(reply, now)
	}
	e := wireError(err, r != nil && r.inTransaction)
	if e.Code == mongoerr.InternalError && r != nil {
		s.log.Error("command failed", "command", r.name, "db", r.db, "error", err.Error())
	}
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, 256))
	dst = appendError(dst, err, e)
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return s.withTimes(dst, now)
}

// run runs a command. A panic costs that command only.
func (s *Server) run(ctx context.Context, cmd command, r *request) (reply bson.Raw, err error) {
	err = s.contain(r.name, func() (err error) {
		reply, err = cmd.run(s, ctx, r)
		return err
	})
	if errors.Is(err, context.Canceled) && context.Cause(ctx) == errSteppedDown {
		err = r.withLabels(errSteppedDown)
	}
	return reply, err
}

// contain runs f, and turns a panic into an error. What f has locked or opened, it lets go of by
// deferred calls.
func (s *Server) contain(what string, f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case engine.FatalError:
			panic(p)
		default:
			s.log.Error("a command panicked", "command", what, "error", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = mongoerr.New(mongoerr.InternalError, "the command panicked: %v", p)
		}
	}()
	return f()
}

func (s *Server) dispatch(ctx context.Context, r *request, legacy bool) (bson.Raw, error) {
	cmd, ok := commands[r.name]
	switch {
	case !ok || cmd.test && s.tests == nil:
		return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", r.name)
	case legacy && !cmd.legacy:
		return nil, mongoerr.New(mongoerr.UnsupportedOpQueryCommand,
			"Unsupported OP_QUERY command: %s. The client driver may require an upgrade.", r.name)
	case cmd.adminOnly && r.db != "admin":
		return nil, mongoerr.New(mongoerr.Unauthorized, "%s may only be run against the admin database.", r.name)
	case r.inTransaction && !cmd.inTxn:
		return nil, mongoerr.New(mongoerr.NotSupportedInTransaction,
			"Cannot run '%s' in a multi-document transaction.", r.name)
	case r.hasTxnNumber && !r.inTransaction && !cmd.retryable:
		return nil, mongoerr.New(mongoerr.NotARetryableWriteCommand,
			"txnNumber may only be provided for multi-document transactions and retryable write "+
				"commands. autocommit:false was not provided, and %s is not a retryable write command.", r.name)
	case r.startTxn && (cmd.endsTxn || r.name == "killCursors"):
		return nil, mongoerr.New(mongoerr.NotSupportedInTransaction,
			"Cannot run '%s' as the first operation in a multi-document transaction.", r.name)
	}
	if err := r.checkConcerns(cmd); err != nil {
		return nil, err
	}
	if err := r.checkTime(); err != nil {
		return nil, err
	}
	if err := s.spaceFor(cmd); err != nil {
		return nil, err
	}
	ctx, cancel := r.context(ctx)
	defer cancel()
	if s.tests != nil {
		var release context.CancelFunc
		var err error
		if ctx, release, err = s.tests.admit(ctx, r, cmd); err != nil {
			return nil, err
		}
		defer release()
	}
	s.commands.Add(1)
	if !r.hasLsid {
		return s.run(ctx, cmd, r)
	}
	session := s.sessions.get(r.lsid)
	if !r.hasTxnNumber {
		return s.run(ctx, cmd, r)
	}
	if err := session.lock(ctx); err != nil {
		return nil, err
	}
	defer session.unlock()
	if session.unit != nil && r.txnNumber > session.number {
		s.closeCursorsOf(session.unit) // begin aborts what the client has left open
	}
	if err := s.sessions.begin(session, r); err != nil {
		return nil, err
	}
	r.session = session
	reply, err := s.run(ctx, cmd, r)
	if err != nil && r.inTransaction {
		// As in MongoDB, a statement that fails ends its transaction.
		r.failTransaction()
	}
	return reply, err
}

// spaceFor refuses commands while something waits for space. Retryable writes that were done before
// still get their results unless these are not durable; whether there is space for new ones, or for
// a change of the catalogue, is seen when there is something to write.
func (s *Server) spaceFor(cmd command) error {
	if (cmd.catalog || cmd.retryable) && s.eng.Stalled() {
		return s.eng.CheckSpace()
	}
	return nil
}

// failTransaction aborts the transaction of the request.
func (r *request) failTransaction() {
	if u := r.session.unit; u != nil {
		r.srv.closeCursorsOf(u)
		r.session.abort()
	}
}

func (s *Server) closeCursorsOf(u *engine.Unit) {
	s.cursors.kill(func(c *cursor) bool { return c.unit == u })
}

func (s *Server) commitTransaction(ctx context.Context, r *request) (bson.Raw, error) {
	if err := r.transactionEnd(); err != nil {
		return nil, err
	}
	if r.session.state == txnCommitted {
		if !s.eng.AwaitSpace(unsettledWait, ctx.Done()) {
			return nil, mongoerr.New(mongoerr.OutOfDiskSpace,
				"the disk of the database is full: the transaction is not durable").With(mongoerr.LabelUnknownCommit)
		}
		// The first commit may have been satisfied with less durability than this one asks for.
		return okReply(nil), s.eng.Sync(r.durable)
	}
	s.closeCursorsOf(r.session.unit)
	err := r.session.commit(r.durable)
	var unsettled *engine.UnsettledError
	switch {
	case err == nil:
		return okReply(nil), nil
	case errors.As(err, &unsettled):
		err = unsettled.Err.With(mongoerr.LabelUnknownCommit)
	}
	s.log.Error("commit failed", "error", err)
	return nil, err
}

func (s *Server) abortTransaction(_ context.Context, r *request) (bson.Raw, error) {
	if err := r.transactionEnd(); err != nil {
		return nil, err
	}
	r.failTransaction()
	return okReply(nil), nil
}

// transactionEnd checks the arguments of commitTransaction and abortTransaction.
func (r *request) transactionEnd() error {
	if !r.inTransaction {
		return mongoerr.New(mongoerr.CommandFailed, "%s must be run within a transaction", r.name)
	}
	return r.args(func(key string, _ bson.RawValue) (bool, error) {
		return key == r.name || key == "recoveryToken", nil
	})
}

func (s *Server) endSessions(ctx context.Context, r *request) (bson.Raw, error) {
	var ids []sessionID
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		if key != r.name {
			return false, nil
		}
		docs, err := r.docsArg(key, v)
		if err != nil {
			return true, err
		}
		for _, d := range docs {
			id, err := parseSessionID(r.name, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d})
			if err != nil {
				return true, err
			}
			ids = append(ids, id)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	ended := make(map[sessionID]bool, len(ids))
	for _, id := range ids {
		ended[id] = true
	}
	s.cursors.kill(func(c *cursor) bool { return c.hasLsid && ended[c.lsid] })
	var errs []error
	for _, id := range ids {
		errs = append(errs, s.sessions.end(ctx, id))
	}
	return okReply(nil), errors.Join(errs...)
}
