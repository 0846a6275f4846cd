package docstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// A failPoint is MongoDB's failCommand: what goes wrong with commands, and how often.
type failPoint struct {
	commands  []string
	appName   string // of the clients whose commands fail; all if empty
	namespace string // database.collection that the commands are for; all if empty

	block time.Duration // before anything else
	close bool
	code  int32 // 0: no error
	// labels are those of the error, if hasLabels; else those that belong to the code.
	labels       []string
	hasLabels    bool
	concernError bson.Raw // added to the reply of a command that is done

	skip int64
	left int64 // how often it happens yet; less than 0 for always
}

// errCloseConnection ends the connection instead of an answer.
var errCloseConnection = errors.New("a fail point closes the connection")

// failPoints hold the one fail point that there is.
type failPoints struct {
	mu      sync.Mutex
	current *failPoint
	count   int32 // how often it happened
}

// hit returns what is to go wrong with the command, nil for nothing, and counts it.
func (f *failPoints) hit(r *request) *failPoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.current
	if p == nil || !slices.Contains(p.commands, r.name) || p.appName != "" && p.appName != r.conn.appName {
		return nil
	}
	if p.namespace != "" {
		name, _ := rawdoc.Get(r.body, r.name).StringValueOK()
		if r.db+"."+name != p.namespace {
			return nil
		}
	}
	switch {
	case p.skip > 0:
		p.skip--
		return nil
	case p.left == 0:
		return nil
	case p.left > 0:
		p.left--
	}
	f.count++
	return p
}

// before does what goes wrong before the command.
func (p *failPoint) before(ctx context.Context, r *request) error {
	if p.block > 0 {
		timer := time.NewTimer(p.block)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	switch {
	case p.close:
		return errCloseConnection
	case p.code == 0:
		return nil
	}
	err := mongoerr.New(p.code, "Failing command via 'failCommand' failpoint")
	if !p.hasLabels {
		return r.withLabels(err)
	}
	err.Labels = p.labels
	return err
}

// after adds what goes wrong with the write concern to a reply.
func (p *failPoint) after(reply bson.Raw) bson.Raw {
	if len(p.concernError) == 0 {
		return reply
	}
	reply = slices.Clone(reply[:len(reply)-1])
	reply = bsoncore.AppendDocumentElement(reply, "writeConcernError", bsoncore.Document(p.concernError))
	if labels, err := p.concernError.LookupErr("errorLabels"); err == nil {
		reply = bsoncore.AppendArrayElement(reply, "errorLabels", labels.Value)
	}
	reply = append(reply, 0)
	return bsoncore.UpdateLength(reply, 0, int32(len(reply)))
}

// retriable are the codes after which a write or a commit may be sent again (MongoDB's category
// RetriableError).
var retriable = []int32{mongoerr.HostUnreachable, mongoerr.HostNotFound, mongoerr.NetworkTimeout,
	mongoerr.ShutdownInProgress, mongoerr.PrimarySteppedDown, mongoerr.ExceededTimeLimit,
	mongoerr.SocketException, mongoerr.NotWritablePrimary, mongoerr.InterruptedAtShutdown,
	mongoerr.InterruptedDueToReplStateChange, mongoerr.NotPrimaryNoSecondaryOk,
	mongoerr.NotPrimaryOrSecondary}

// conflicting are the codes of a transaction that may run again from its start.
var conflicting = []int32{mongoerr.WriteConflict, mongoerr.SnapshotUnavailable, mongoerr.LockTimeout,
	mongoerr.PreparedTransactionInProgress}

// withLabels returns the error with the labels that a server gives to it in this request.
func (r *request) withLabels(err *mongoerr.Error) *mongoerr.Error {
	marked := *err
	marked.Labels = r.labelsFor(err.Code)
	return &marked
}

func (r *request) labelsFor(code int32) []string {
	ends := commands[r.name].endsTxn
	switch {
	case r.inTransaction && (slices.Contains(conflicting, code) || code == mongoerr.NoSuchTransaction):
		return []string{mongoerr.LabelTransient}
	case r.inTransaction && !ends && slices.Contains(retriable, code):
		return []string{mongoerr.LabelTransient}
	case (ends || r.hasTxnNumber && !r.inTransaction) && slices.Contains(retriable, code):
		return []string{mongoerr.LabelRetryableWrite}
	}
	return nil
}

// configureFailPoint sets or clears the fail point failCommand.
func (s *Server) configureFailPoint(_ context.Context, r *request) (bson.Raw, error) {
	p := &failPoint{left: -1}
	on := false
	err := r.args(func(key string, v bson.RawValue) (known bool, err error) {
		switch key {
		case r.name:
			var name string
			if name, err = r.stringArg(key, v); err == nil && name != "failCommand" {
				err = mongoerr.New(mongoerr.NotImplemented, "there is no fail point '%s'", name)
			}
		case "mode":
			on, err = p.parseMode(r, v)
		case "data":
			err = p.parseData(r, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if on && len(p.commands) == 0 {
		return nil, errMissingField(r.name, "data.failCommands")
	}
	f := &s.tests.points
	f.mu.Lock()
	defer f.mu.Unlock()
	count := f.count
	f.current, f.count = nil, 0
	if on {
		f.current = p
	}
	return okReply(func(dst []byte) []byte { return bsoncore.AppendInt32Element(dst, "count", count) }), nil
}

// parseMode reads how often the fail point happens; on is false for never.
func (p *failPoint) parseMode(r *request, v bson.RawValue) (on bool, err error) {
	if v.Type == bson.TypeString {
		switch mode := string(rawdoc.String(v)); mode {
		case "off":
			return false, nil
		case "alwaysOn":
			return true, nil
		default:
			return false, mongoerr.New(mongoerr.BadValue, "unknown mode: %s", mode)
		}
	}
	doc, err := r.docArg("mode", v)
	if err != nil {
		return false, err
	}
	it := rawdoc.Over(doc)
	for it.Next() {
		n, err := r.notNegative("mode", it.Value())
		if err != nil {
			return false, err
		}
		switch key := string(it.Key()); key {
		case "times":
			p.left = n
		case "skip":
			p.skip = n
		default:
			return false, errUnknownField("mode", key)
		}
	}
	return true, nil
}

func (p *failPoint) parseData(r *request, v bson.RawValue) error {
	doc, err := r.docArg("data", v)
	if err != nil {
		return err
	}
	blocks := false
	it := rawdoc.Over(doc)
	for it.Next() {
		v := it.Value()
		switch key := string(it.Key()); key {
		case "failCommands":
			p.commands, err = r.stringsArg(key, v)
		case "appName":
			p.appName, err = r.stringArg(key, v)
		case "namespace":
			p.namespace, err = r.stringArg(key, v)
		case "closeConnection":
			p.close, err = r.boolArg(key, v)
		case "blockConnection":
			blocks, err = r.boolArg(key, v)
		case "blockTimeMS":
			p.block, err = parseMaxTime(v)
		case "errorCode":
			var n int64
			n, err = r.intArg(key, v)
			p.code = int32(n)
		case "errorLabels":
			p.labels, err = r.stringsArg(key, v)
			p.hasLabels = true
		case "writeConcernError":
			p.concernError, err = r.docArg(key, v)
			p.concernError = slices.Clone(p.concernError)
		case "failInternalCommands":
		default:
			return errUnknownField("data", key)
		}
		if err != nil {
			return err
		}
	}
	if !blocks {
		p.block = 0
	}
	return nil
}

func (r *request) stringsArg(field string, v bson.RawValue) ([]string, error) {
	if v.Type != bson.TypeArray {
		return nil, errWrongType(r.name, field, v, "array")
	}
	var list []string
	it := rawdoc.Over(v.Value)
	for it.Next() {
		s, err := r.stringArg(field, it.Value())
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
