// Package contents stores the bytes of messages in content documents, of which a reader can load
// any part.
//
// # Words
//
//   - content: the exact bytes of a message without the lines that a server adds for one recipient.
//     Its ID is their BLAKE3-256. A content never changes. All messages with the same bytes share
//     it, and their references are counted.
//   - segment: consecutive bytes of a content that have one form of storage. The segments of a
//     content cover it without gaps. A segment is inline or a blob, and has a transfer recipe
//     (internal/transfer) that makes its bytes from what is stored.
//   - inline bytes: the stored bytes of the inline segments, one after the other. They are cut into
//     frames of at most FrameSize. Each frame is compressed by itself and has a field of its own,
//     so that a projection reads only the frames that are needed.
//   - segment table: the stored description of frames and segments.
//   - part table: the stored MIME tree (mimestream.Part) with offsets into the content.
//
// # The document
//
//	{_id: ID, refs, magic, quarantined, size, segs: segment table, parts: part table, f: {"0": frame, ...}}
//
// segment table and part table are compact binary, specified in docs/storage-contents.md. Every
// IMAP section is a range of the content by the part table, every range is some segments by the
// segment table, and a segment is some frames of this document or of a blob.
//
// # Writing
//
//	bytes -> Writer -> mimestream.Parser -> structure, small bodies -> frames
//	                                     -> large bodies -> blobstore.Writer
//
// Large bodies become blobs (see limits.go). The Writer decodes base64 and quoted-printable, so
// that the same attachment is one blob in any encoding. It decodes small bodies too, because
// decoded bytes compress better. If encoding the decoded bytes again would not give the same bytes,
// the Writer keeps the body as it came, from the first difference on.
//
// # What always holds
//
//   - Blobs are durable and referenced before the content document is inserted; the insert is the
//     commit. If the content turns out to exist, its references are added first, and then those of
//     the blobs just written are given back.
//   - A crash in between leaves too many references, never too few. If the outcome of the insert is
//     unknown, the blobs' references stay.
//   - The inline frames of a document are at most InlineBudget in sum, and a segment table has at
//     most MaxSegments: a document stays far below 16 MB, whatever the message.
//   - A Writer uses at most 4 MiB, whatever the message.
package contents
