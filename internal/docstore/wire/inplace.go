package wire

import (
	"encoding/binary"

	"gadwall/internal/docstore/rawdoc"
)

// Split splits the first message off b. It returns no message if b does not hold all of it.
func Split(b []byte) (message, rest []byte, err error) {
	size, err := Need(b)
	if err != nil || len(b) < size {
		return nil, b, err
	}
	return b[:size:size], b[size:], nil
}

// Need is how many bytes the message that begins with b has, or its header as long as b is shorter.
func Need(b []byte) (int, error) {
	if len(b) < headerSize {
		return headerSize, nil
	}
	return length(b)
}

// Parse reads a message that lies in memory, one of Split. The Message refers to it.
func Parse(message []byte) (*Message, error) {
	return parse(message[:headerSize], message[headerSize:])
}

// Peek finds the name of the command in a message of Split, and whether its body has the field. It
// checks nothing. The name is empty if the message does not begin with a body.
func Peek(message []byte, field string) (name []byte, has bool) {
	const body = headerSize + 4 + 1 // flags, section kind
	op := int32(binary.LittleEndian.Uint32(message[12:]))
	if op != OpMsg || len(message) < body || message[body-1] != 0 {
		return nil, false
	}
	it := rawdoc.Over(message[body:])
	for it.Next() {
		if name == nil {
			name = it.Key()
		}
		if string(it.Key()) == field {
			return name, true
		}
	}
	return name, false
}
