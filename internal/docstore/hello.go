package docstore

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/wire"
)

// SetName is the name of the replica set of one member that the server says it is.
const SetName = "gadwall"

const (
	// maxWireVersion is that of MongoDB 7.0, whose commands are the model.
	maxWireVersion = 21
	version        = "7.0.0"
)

// hello answers hello and its old name isMaster. There is no topologyVersion, so drivers ask from
// time to time instead of holding a connection open for news.
func (s *Server) hello(_ context.Context, r *request) (bson.Raw, error) {
	// The client's other fields (compression, speculativeAuthenticate, ...) need no answer.
	if name, ok := r.body.Lookup("client", "application", "name").StringValueOK(); ok {
		r.conn.appName = name
	}
	return okReply(func(dst []byte) []byte {
		dst = s.appendSet(dst, r)
		dst = bsoncore.AppendInt32Element(dst, "maxBsonObjectSize", wire.MaxDocumentSize)
		dst = bsoncore.AppendInt32Element(dst, "maxMessageSizeBytes", wire.MaxMessageSize)
		dst = bsoncore.AppendInt32Element(dst, "maxWriteBatchSize", maxWriteBatch)
		dst = bsoncore.AppendDateTimeElement(dst, "localTime", time.Now().UnixMilli())
		dst = bsoncore.AppendInt32Element(dst, "logicalSessionTimeoutMinutes", int32(sessionTimeout/time.Minute))
		dst = bsoncore.AppendInt32Element(dst, "connectionId", r.conn.id)
		dst = bsoncore.AppendInt32Element(dst, "minWireVersion", 0)
		dst = bsoncore.AppendInt32Element(dst, "maxWireVersion", maxWireVersion)
		return bsoncore.AppendBooleanElement(dst, "readOnly", false)
	}), nil
}

func (s *Server) ping(_ context.Context, r *request) (bson.Raw, error) {
	return okReply(nil), r.noArgs()
}

// noArgs refuses every argument but the generic ones.
func (r *request) noArgs() error {
	return r.args(func(key string, _ bson.RawValue) (bool, error) { return key == r.name, nil })
}

func (s *Server) buildInfo(_ context.Context, r *request) (bson.Raw, error) {
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "version", version)
		i, dst := bsoncore.AppendArrayElementStart(dst, "versionArray")
		for k, n := range []int32{7, 0, 0, 0} {
			dst = bsoncore.AppendInt32Element(dst, string(rune('0'+k)), n)
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		i, dst = bsoncore.AppendArrayElementStart(dst, "modules")
		dst = bsoncore.AppendStringElement(dst, "0", "gadwall-docstore")
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		return bsoncore.AppendInt32Element(dst, "maxBsonObjectSize", wire.MaxDocumentSize)
	}), r.noArgs()
}

func (s *Server) connectionStatus(_ context.Context, r *request) (bson.Raw, error) {
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		return key == r.name || key == "showPrivileges", nil
	})
	return okReply(func(dst []byte) []byte {
		i, dst := bsoncore.AppendDocumentElementStart(dst, "authInfo")
		for _, field := range []string{"authenticatedUsers", "authenticatedUserRoles"} {
			dst = bsoncore.AppendArrayElement(dst, field, bsoncore.NewArrayBuilder().Build())
		}
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		return dst
	}), err
}

func (s *Server) serverStatus(_ context.Context, r *request) (bson.Raw, error) {
	m := s.Metrics()
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "version", version)
		dst = bsoncore.AppendStringElement(dst, "process", "gadwall-docstore")
		dst = bsoncore.AppendDoubleElement(dst, "uptime", time.Since(s.started).Seconds())
		i, dst := bsoncore.AppendDocumentElementStart(dst, "connections")
		dst = bsoncore.AppendInt64Element(dst, "current", int64(m.Connections))
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		i, dst = bsoncore.AppendDocumentElementStart(dst, "storageEngine")
		dst = bsoncore.AppendStringElement(dst, "name", "pebble")
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		return s.appendStatus(dst, m)
	}), nil
}
