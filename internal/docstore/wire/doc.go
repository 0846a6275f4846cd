// Package wire reads and writes MongoDB's wire protocol, as far as a server for modern drivers
// needs it: OP_MSG with both section kinds, and OP_QUERY/OP_REPLY for the legacy hello with which
// every driver opens a connection.
//
// Bytes come in from a socket and are hostile. Read checks every length against the message that
// contains it and every BSON document to its last byte (rawdoc.Validate). So the unchecked
// accessors of the bson package are safe on a Message. For a message that fails, Read returns a
// ProtocolError, after which the server must close the connection: its framing cannot be trusted
// any more.
package wire
