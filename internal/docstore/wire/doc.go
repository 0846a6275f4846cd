// Package wire reads and writes MongoDB's wire protocol, as far as a server for modern drivers
// needs it: OP_MSG with both section kinds, and OP_QUERY/OP_REPLY for the legacy hello with which
// every driver opens a connection.
//
// Bytes come in from a socket and are hostile. Read checks every length against the message that
// contains it and every BSON document to its last byte (rawdoc.Validate), so that whoever gets a Message may
// use the unchecked accessors of the bson package on it. A message that fails is answered with a
// ProtocolError, after which the connection must be closed: its framing cannot be trusted any more.
//
// A Message borrows the buffer it was read into. Release gives the buffer back; nothing of the
// message may be used afterwards.
package wire
