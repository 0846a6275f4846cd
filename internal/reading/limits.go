package reading

const (
	// maxText bounds the octets of all text bodies of a message, maxHTML those of all HTML bodies
	// before they are made safe. What is beyond is left out, and Message.Truncated says so.
	maxText = 1 << 20
	maxHTML = 2 << 20
	// maxAttachments bounds the attachments that are listed; further ones set Truncated.
	maxAttachments = 200
	// maxPartHeader bounds the octets of a part's header in which its name is looked for.
	maxPartHeader = 16 << 10
)
