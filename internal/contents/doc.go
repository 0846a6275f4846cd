// Package contents stores the bytes of messages as documents that can be read in part: the content
// documents.
//
// # Words
//
//   - content: the exact bytes of a message without the lines that are added per recipient. Its ID
//     is their BLAKE3-256. Immutable, shared by all who have the same bytes, reference-counted.
//   - segment: consecutive bytes of a content that are stored in one way. The segments of a content
//     cover it without gaps. A segment is inline or a blob, and has a transfer recipe
//     (internal/transfer) that makes its bytes from what is stored.
//   - inline bytes: what the inline segments store, one after the other. They are cut into frames:
//     pieces of at most FrameSize, compressed on their own, each in a field of its own, so that a
//     projection reads just those needed.
//   - segment table: the stored description of frames and segments.
//   - part table: the stored MIME tree (mimestream.Part) with offsets into the content.
//
// # The document
//
//	{_id: ID, refs, magic, quarantined, size, segs: segment table, parts: part table, f: {"0": frame, ...}}
//
// segment table and part table are compact binary, specified in docs/storage-contents.md. Every IMAP
// section is a range of the content by the part table, every range is some segments by the segment table,
// and a segment is some frames of this document or of a blob.
//
// # Writing
//
//	bytes -> Writer -> mimestream.Parser -> structure, small bodies -> frames
//	                                     -> large bodies -> blobstore.Writer
//
// Large bodies become blobs (see limits.go), base64 and quoted-printable ones decoded, so that the
// same attachment is one blob however it was encoded. Small bodies are decoded, too: what they hold
// compresses better. What does not come back identical is kept as it came, from the point on where
// it differs.
//
// # What always holds
//
//   - Blobs are durable and referenced before the content document is inserted; the insert is the
//     commit. If the content turns out to exist, its references are added first, and then those of
//     the blobs just written are given back.
//   - Whoever stops in between leaves references too many, never too few. Once the insert was sent
//     and its outcome is unknown, the blobs' references stay.
//   - The inline frames of a document are at most InlineBudget in sum, and a segment table has at most
//     MaxSegments: a document stays far below 16 MB, whatever the message.
//   - A Writer uses at most 4 MiB, whatever the message.
package contents
