package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// Operation codes of the protocol.
const (
	OpReply int32 = 1
	OpQuery int32 = 2004
	OpMsg   int32 = 2013
)

// Flags of OP_MSG. A receiver must refuse a message with any other of the lower 16 bits set.
const (
	FlagChecksum       uint32 = 1 << 0
	FlagMoreToCome     uint32 = 1 << 1
	FlagExhaustAllowed uint32 = 1 << 16

	requiredFlags = FlagChecksum | FlagMoreToCome
)

const headerSize = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ProtocolError says that the peer broke the protocol. The connection cannot go on.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "wire: " + e.Reason }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{Reason: fmt.Sprintf(format, args...)}
}

// A Sequence is a section of kind 1: documents of a command's field of that name, sent beside the
// body.
type Sequence struct {
	Name string
	Docs []bson.Raw
}

// A Message is one request.
type Message struct {
	RequestID int32
	// Legacy is set for OP_QUERY, which wants OP_REPLY in return.
	Legacy bool
	// Namespace is the "db.$cmd" of a legacy query.
	Namespace string
	Flags     uint32
	// Body is the command document.
	Body bson.Raw
	// Sequences are the document sequences, in the order sent.
	Sequences []Sequence

	buf *[]byte
}

// MoreToCome reports that the sender wants no reply.
func (m *Message) MoreToCome() bool { return m.Flags&FlagMoreToCome != 0 }

// Size is how many bytes its documents have.
func (m *Message) Size() int {
	size := len(m.Body)
	for _, s := range m.Sequences {
		for _, d := range s.Docs {
			size += len(d)
		}
	}
	return size
}

// Release gives the message's buffer back. The message must not be used afterwards.
func (m *Message) Release() {
	if m.buf != nil && cap(*m.buf) <= pooledBuffer {
		buffers.Put(m.buf)
	}
	*m = Message{}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// Read reads one message. io.EOF means that the peer closed the connection between two messages.
func Read(r io.Reader) (*Message, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size, err := length(head[:])
	if err != nil {
		return nil, err
	}
	buf, err := readBody(r, size-headerSize)
	if err != nil {
		return nil, err
	}
	m, err := parse(head[:], *buf)
	if err != nil {
		(&Message{buf: buf}).Release()
		return nil, err
	}
	m.buf = buf
	return m, nil
}

// length reads from a header how long its message is, header included.
func length(head []byte) (int, error) {
	size := int32(binary.LittleEndian.Uint32(head))
	if size < headerSize || size > MaxMessageSize {
		return 0, protocolErrorf("message of %d bytes", size)
	}
	if op := int32(binary.LittleEndian.Uint32(head[12:])); op != OpMsg && op != OpQuery {
		return 0, protocolErrorf("unsupported operation code %d", op)
	}
	return int(size), nil
}

// parse reads what follows a header.
func parse(head, b []byte) (*Message, error) {
	m := &Message{RequestID: int32(binary.LittleEndian.Uint32(head[4:]))}
	var err error
	if int32(binary.LittleEndian.Uint32(head[12:])) == OpMsg {
		err = m.parseMsg(head, b)
	} else {
		m.Legacy = true
		err = m.parseQuery(b)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// readBody reads n bytes into a pooled buffer. It grows with what really arrives, so that a
// header alone cannot make the server allocate 48 MB.
func readBody(r io.Reader, n int) (*[]byte, error) {
	const step = 1 << 20
	buf := buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	for len(*buf) < n {
		have := len(*buf)
		want := min(n, max(have*2, step))
		if cap(*buf) < want {
			grown := make([]byte, have, want)
			copy(grown, *buf)
			*buf = grown
		}
		*buf = (*buf)[:want]
		if _, err := io.ReadFull(r, (*buf)[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}

func (m *Message) parseMsg(head, b []byte) error {
	if len(b) < 5 {
		return protocolErrorf("OP_MSG too short")
	}
	m.Flags = binary.LittleEndian.Uint32(b)
	if bad := m.Flags & 0xffff &^ requiredFlags; bad != 0 {
		return protocolErrorf("unknown required flag bits %#x", bad)
	}
	if m.Flags&FlagChecksum != 0 {
		if len(b) < 9 {
			return protocolErrorf("OP_MSG too short for its checksum")
		}
		end := len(b) - 4
		sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, b[:end])
		if sum != binary.LittleEndian.Uint32(b[end:]) {
			return protocolErrorf("checksum does not match")
		}
		b = b[:end]
	}
	b = b[4:]
	for sections := 0; len(b) > 0; sections++ {
		if sections > MaxSections {
			return protocolErrorf("more than %d sections", MaxSections)
		}
		kind := b[0]
		b = b[1:]
		var err error
		switch kind {
		case 0:
			if m.Body != nil {
				return protocolErrorf("two body sections")
			}
			m.Body, b, err = takeDocument(b, MaxCommandSize)
		case 1:
			b, err = m.parseSequence(b)
		default:
			return protocolErrorf("unknown section kind %d", kind)
		}
		if err != nil {
			return err
		}
	}
	if m.Body == nil {
		return protocolErrorf("no body section")
	}
	return nil
}

func (m *Message) parseSequence(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, protocolErrorf("document sequence cut short")
	}
	size := int(int32(binary.LittleEndian.Uint32(b)))
	if size < 5 || size > len(b) {
		return nil, protocolErrorf("document sequence of %d bytes", size)
	}
	rest := b[size:]
	b = b[4:size]
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return nil, protocolErrorf("document sequence without a name")
	}
	seq := Sequence{Name: string(b[:end])}
	for _, other := range m.Sequences {
		if other.Name == seq.Name {
			return nil, protocolErrorf("document sequence %q sent twice", seq.Name)
		}
	}
	b = b[end+1:]
	for len(b) > 0 {
		var doc bson.Raw
		var err error
		// The size of a document to be stored is the command's business, which can answer with a
		// proper error; here it only must lie within the message.
		if doc, b, err = takeDocument(b, MaxMessageSize); err != nil {
			return nil, err
		}
		seq.Docs = append(seq.Docs, doc)
	}
	m.Sequences = append(m.Sequences, seq)
	return rest, nil
}

func (m *Message) parseQuery(b []byte) error {
	if len(b) < 4 {
		return protocolErrorf("OP_QUERY too short")
	}
	b = b[4:] // flags: none of them matters to a command
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return protocolErrorf("OP_QUERY without a namespace")
	}
	m.Namespace = string(b[:end])
	b = b[end+1:]
	if len(b) < 8 {
		return protocolErrorf("OP_QUERY cut short")
	}
	var err error
	m.Body, b, err = takeDocument(b[8:], MaxCommandSize)
	if err != nil {
		return err
	}
	if len(b) > 0 { // returnFieldsSelector
		if _, b, err = takeDocument(b, MaxCommandSize); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		return protocolErrorf("bytes after OP_QUERY")
	}
	return nil
}

// takeDocument splits a checked document off the front of b.
func takeDocument(b []byte, limit int) (doc bson.Raw, rest []byte, err error) {
	if len(b) < 5 {
		return nil, nil, protocolErrorf("document cut short")
	}
	size := int(int32(binary.LittleEndian.Uint32(b)))
	if size < 5 || size > len(b) || size > limit {
		return nil, nil, protocolErrorf("document of %d bytes", size)
	}
	doc = bson.Raw(b[:size:size])
	if err := rawdoc.Validate(doc); err != nil {
		return nil, nil, protocolErrorf("%v", err)
	}
	return doc, b[size:], nil
}

// AppendReply appends the reply to a request: OP_MSG with one body section, or OP_REPLY to a
// legacy request.
func AppendReply(dst []byte, requestID, responseTo int32, legacy bool, body bson.Raw) []byte {
	return append(AppendReplyHeader(dst, requestID, responseTo, legacy, len(body)), body...)
}

// MaxReplyHeader is the most that AppendReplyHeader appends.
const MaxReplyHeader = headerSize + 20

// AppendReplyHeader appends what comes before the body of a reply, which has that size.
func AppendReplyHeader(dst []byte, requestID, responseTo int32, legacy bool, size int) []byte {
	start := len(dst)
	op := OpMsg
	if legacy {
		op = OpReply
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(requestID))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(responseTo))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(op))
	if legacy {
		const awaitCapable = 1 << 3
		dst = binary.LittleEndian.AppendUint32(dst, awaitCapable)
		dst = binary.LittleEndian.AppendUint64(dst, 0) // cursor id
		dst = binary.LittleEndian.AppendUint32(dst, 0) // starting from
		dst = binary.LittleEndian.AppendUint32(dst, 1) // number returned
	} else {
		dst = append(dst, 0, 0, 0, 0, 0) // flags, and section kind 0
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start+size))
	return dst
}
