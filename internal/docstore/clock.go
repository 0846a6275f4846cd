package docstore

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// clock is the logical time of the server, as MongoDB's: seconds in the upper half, a counter in
// the lower one. Each command that may write moves it on when it is done, and each reply tells the
// time. So what was written up to a time is visible to every read that begins at it or later, and a
// read with afterClusterTime has nothing to wait for.
type clock struct{ latest atomic.Uint64 }

// now returns the time of the latest write.
func (c *clock) now() uint64 { return c.latest.Load() }

// tick moves the clock on and returns the new time.
func (c *clock) tick() uint64 {
	wall := uint64(time.Now().Unix())<<32 | 1
	for {
		old := c.latest.Load()
		if next := max(old+1, wall); c.latest.CompareAndSwap(old, next) {
			return next
		}
	}
}

// advance moves the clock on to a time that a client knows from elsewhere.
func (c *clock) advance(t uint64) {
	for {
		old := c.latest.Load()
		if t <= old || c.latest.CompareAndSwap(old, t) {
			return
		}
	}
}

// maxDrift is how far ahead of the server a client's time may be (MongoDB's
// maxAcceptableLogicalClockDriftSecs).
const maxDrift = 365 * 24 * time.Hour

// gossip takes over the time that a client sends with its commands.
func (r *request) gossip(v bson.RawValue) error {
	doc, err := r.docArg("$clusterTime", v)
	if err != nil {
		return err
	}
	t := rawdoc.Get(doc, "clusterTime")
	if t.Type != bson.TypeTimestamp {
		return errWrongType("$clusterTime", "clusterTime", t, "timestamp")
	}
	at := binary.LittleEndian.Uint64(t.Value)
	if int64(at>>32) > time.Now().Add(maxDrift).Unix() {
		return mongoerr.New(mongoerr.ClusterTimeFailsRateLimiter,
			"New cluster time, %d, is too far from this node's wall clock time, %d.", at>>32, time.Now().Unix())
	}
	r.srv.clock.advance(at)
	return nil
}

// checkTime refuses to read at a time that is not yet.
func (r *request) checkTime() error {
	if now := r.srv.clock.now(); r.after > now {
		return mongoerr.New(mongoerr.InvalidOptions, "readConcern afterClusterTime value must not be greater than the "+
			"current clusterTime. Requested clusterTime: Timestamp(%d, %d); current clusterTime: Timestamp(%d, %d)",
			r.after>>32, uint32(r.after), now>>32, uint32(now))
	}
	return nil
}

// times is the end of each reply. Its two timestamps are filled in.
var times, clusterTimeAt, operationTimeAt = func() (tail []byte, cluster, operation int) {
	start, doc := bsoncore.AppendDocumentStart(nil)
	c, doc := bsoncore.AppendDocumentElementStart(doc, "$clusterTime")
	doc = bsoncore.AppendTimestampElement(doc, "clusterTime", 0, 0)
	cluster = len(doc) - 8
	s, doc := bsoncore.AppendDocumentElementStart(doc, "signature")
	doc = bsoncore.AppendBinaryElement(doc, "hash", 0, make([]byte, 20)) // there are no keys
	doc = bsoncore.AppendInt64Element(doc, "keyId", 0)
	doc, _ = bsoncore.AppendDocumentEnd(doc, s)
	doc, _ = bsoncore.AppendDocumentEnd(doc, c)
	doc = bsoncore.AppendTimestampElement(doc, "operationTime", 0, 0)
	operation = len(doc) - 8
	doc, _ = bsoncore.AppendDocumentEnd(doc, start)
	return doc[4:], cluster - 4, operation - 4
}()

// withTimes adds the time to a reply, in its buffer if it fits.
func (s *Server) withTimes(reply bson.Raw, operation uint64) bson.Raw {
	end := len(reply) - 1
	reply = append(reply[:end], times...)
	binary.LittleEndian.PutUint64(reply[end+clusterTimeAt:], s.clock.now())
	binary.LittleEndian.PutUint64(reply[end+operationTimeAt:], operation)
	binary.LittleEndian.PutUint32(reply, uint32(len(reply)))
	return reply
}
