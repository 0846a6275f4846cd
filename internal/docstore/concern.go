package docstore

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// readSupport says which read concerns a command takes outside of transactions.
type readSupport int

const (
	readLocal    readSupport = iota // local only
	readNoSnap                      // all but snapshot
	readAnyLevel                    // all
)

// maxMembers is how many members a replica set may have; no write concern can ask for more.
const maxMembers = 50

// checkConcerns refuses a read or write concern that the command, or the transaction it is part of,
// does not take.
func (r *request) checkConcerns(cmd command) error {
	switch {
	case r.hasWriteConcern && !cmd.writes:
		return mongoerr.New(mongoerr.InvalidOptions, "Command does not support writeConcern")
	case r.inTransaction && r.hasWriteConcern && !cmd.endsTxn:
		return mongoerr.New(mongoerr.InvalidOptions, "writeConcern is not allowed within a multi-statement transaction")
	case r.readLevel == "" && !r.hasReadConcern:
		return nil
	case r.inTransaction && !r.startTxn:
		return mongoerr.New(mongoerr.InvalidOptions,
			"Only the first command in a transaction may specify a readConcern")
	}
	level := r.readLevel
	if level == "" {
		level = "local"
	}
	if r.inTransaction {
		if level == "available" || level == "linearizable" {
			return mongoerr.New(mongoerr.InvalidOptions,
				"The readConcern level must be either 'local' (default), 'majority' or "+
					"'snapshot' in order to run in a transaction")
		}
		return nil
	}
	if level != "local" && cmd.reads == readLocal || level == "snapshot" && cmd.reads != readAnyLevel {
		return mongoerr.New(mongoerr.InvalidOptions, "read concern %s not supported", level)
	}
	return nil
}

// parseReadConcern reads a read concern. There is one node, and all its reads see only committed
// writes. So the levels differ only in which commands take them.
func (r *request) parseReadConcern(v bson.RawValue) error {
	if v.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(mongoerr.FailedToParse, "readConcern field should be an object")
	}
	it := rawdoc.Over(v.Value)
	for it.Next() {
		r.hasReadConcern = true
		switch key := string(it.Key()); key {
		case "level":
			level, err := r.stringArg("readConcern.level", it.Value())
			if err != nil {
				return err
			}
			switch level {
			case "local", "available", "majority", "linearizable", "snapshot":
				r.readLevel = level
			default:
				return mongoerr.New(mongoerr.FailedToParse,
					"readConcern.level must be either 'local', 'majority', 'linearizable', "+
						"'available', or 'snapshot'")
			}
		case "afterClusterTime":
			if it.Type() != bson.TypeTimestamp {
				return errWrongType("readConcern", key, it.Value(), "timestamp")
			}
			if r.after = binary.LittleEndian.Uint64(it.Value().Value); r.after == 0 {
				return mongoerr.New(mongoerr.InvalidOptions, "afterClusterTime cannot be a null timestamp")
			}
		case "atClusterTime":
			return mongoerr.New(mongoerr.InvalidOptions, "readConcern.atClusterTime is not supported")
		default:
			return mongoerr.New(mongoerr.InvalidOptions, "Unrecognized option in readConcern: %s", key)
		}
	}
	if r.after > 0 && (r.readLevel == "available" || r.readLevel == "linearizable") {
		return mongoerr.New(mongoerr.InvalidOptions,
			"afterClusterTime field can be set only if level is equal to majority, local, or snapshot")
	}
	return nil
}

// parseWriteConcern reads a write concern. One that this node alone cannot satisfy is no error of
// the command: the write is made, and its reply tells of it.
func (r *request) parseWriteConcern(v bson.RawValue) error {
	doc, err := r.docArg("writeConcern", v)
	if err != nil {
		return err
	}
	journal, hasJournal, fsync, majority := false, false, false, true
	it := rawdoc.Over(doc)
	for it.Next() {
		r.hasWriteConcern = true
		switch key := string(it.Key()); key {
		case "w":
			if majority, err = r.parseW(it.Value()); err != nil {
				return err
			}
		case "j":
			if journal, err = r.boolArg("writeConcern.j", it.Value()); err != nil {
				return err
			}
			hasJournal = true
		case "fsync":
			if fsync, err = r.boolArg("writeConcern.fsync", it.Value()); err != nil {
				return err
			}
		case "wtimeout", "provenance":
		default:
			return errUnknownField("writeConcern", key)
		}
	}
	if journal && fsync {
		return mongoerr.New(mongoerr.FailedToParse, "fsync and j options cannot be used together")
	}
	// As on a replica set: majority implies the journal, and w:1 leaves it to j.
	r.durable = majority || journal || !hasJournal
	return nil
}

// parseW reads how many nodes a write concern asks for.
func (r *request) parseW(v bson.RawValue) (majority bool, err error) {
	if v.Type == bson.TypeString {
		w := string(rawdoc.String(v))
		if w != "majority" {
			r.concernError = mongoerr.New(mongoerr.UnknownReplWriteConcern,
				"No write concern mode named '%s' found in replica set configuration", w)
		}
		return true, nil
	}
	n, ok := rawdoc.Integer(v)
	switch {
	case !rawdoc.IsNumber(v):
		return false, mongoerr.New(mongoerr.FailedToParse,
			"w has to be a number, string, or object; found: %s", rawdoc.TypeName(v.Type))
	case !ok || n < 0 || n > maxMembers:
		return false, mongoerr.New(mongoerr.FailedToParse,
			"w has to be a non-negative number and not greater than %d; found: %s", maxMembers, v)
	case n > 1:
		r.concernError = mongoerr.New(mongoerr.UnsatisfiableWriteConcern, "Not enough data-bearing nodes")
	}
	return n > 1, nil
}

// withConcernError adds to the reply that the write concern could not be satisfied.
func (r *request) withConcernError(reply bson.Raw) bson.Raw {
	e := r.concernError
	if e == nil {
		return reply
	}
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(reply)+256))
	dst = append(dst, reply[4:len(reply)-1]...)
	w, dst := bsoncore.AppendDocumentElementStart(dst, "writeConcernError")
	dst = bsoncore.AppendInt32Element(dst, "code", e.Code)
	dst = bsoncore.AppendStringElement(dst, "codeName", e.CodeName)
	dst = bsoncore.AppendStringElement(dst, "errmsg", e.Message)
	dst, _ = bsoncore.AppendDocumentEnd(dst, w)
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}
