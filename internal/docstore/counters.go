package docstore

import (
	"maps"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// commandCounters count the commands of each name since the start. The map does not change, so that
// every connection may count at the same time.
type commandCounters map[string]*commandCounter

type commandCounter struct{ total, bytesIn, bytesOut atomic.Int64 }

func newCommandCounters() commandCounters {
	c := make(commandCounters, len(commands))
	for name := range commands {
		c[name] = new(commandCounter)
	}
	return c
}

// add counts a command and its reply; one that the server does not know is not counted.
func (c commandCounters) add(name string, bytesIn, bytesOut int) {
	if n := c[name]; n != nil {
		n.total.Add(1)
		n.bytesIn.Add(int64(bytesIn))
		n.bytesOut.Add(int64(bytesOut))
	}
}

// appendStatus adds what serverStatus tells of work done: the fields network, and metrics with
// commands and queryExecutor, as MongoDB has them.
func (s *Server) appendStatus(dst []byte, m Metrics) []byte {
	number := bsoncore.AppendInt64Element
	network, dst := bsoncore.AppendDocumentElementStart(dst, "network")
	dst = number(dst, "bytesIn", m.BytesIn)
	dst = number(dst, "bytesOut", m.BytesOut)
	dst = number(dst, "numRequests", m.Commands)
	dst, _ = bsoncore.AppendDocumentEnd(dst, network)

	metrics, dst := bsoncore.AppendDocumentElementStart(dst, "metrics")
	all, dst := bsoncore.AppendDocumentElementStart(dst, "commands")
	for _, name := range slices.Sorted(maps.Keys(s.counters)) {
		var one int32
		one, dst = bsoncore.AppendDocumentElementStart(dst, name)
		dst = number(dst, "total", s.counters[name].total.Load())
		dst, _ = bsoncore.AppendDocumentEnd(dst, one)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, all)
	executor, dst := bsoncore.AppendDocumentElementStart(dst, "queryExecutor")
	dst = number(dst, "scanned", m.KeysExamined)
	dst = number(dst, "scannedObjects", m.DocsExamined)
	dst, _ = bsoncore.AppendDocumentEnd(dst, executor)
	dst, _ = bsoncore.AppendDocumentEnd(dst, metrics)
	return dst
}
