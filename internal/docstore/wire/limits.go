package wire

// Limits of what is read. They are those of MongoDB, and hello announces them.
const (
	// MaxMessageSize bounds one message, header included, in bytes. A longer one closes the
	// connection.
	MaxMessageSize = 48_000_000
	// MaxDocumentSize bounds one stored document, in bytes.
	MaxDocumentSize = 16 << 20
	// MaxCommandSize bounds the body document of a command: a stored document and some room for the
	// command around it.
	MaxCommandSize = MaxDocumentSize + 16<<10
	// MaxSections bounds the document sequences of one message. No command has more than two.
	MaxSections = 8

	// pooledBuffer is the largest buffer kept for the next message. It holds a GridFS chunk of the
	// default size with its command; the rare larger ones go back to the runtime.
	pooledBuffer = 512 << 10
)
