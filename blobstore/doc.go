// Package blobstore stores blobs: large byte sequences, each once, under the BLAKE3-256 of its
// bytes, as compressed GridFS files that can be read from any offset.
//
// # Words
//
//   - blob: the bytes given to a Writer ("decoded" bytes).
//   - frame: FrameSize consecutive decoded bytes (the last frame of a blob is shorter). Frames are
//     stored independently of each other.
//   - stored bytes: what the GridFS file holds. Codec zstd: every frame as a zstd frame, then a
//     seek table: together the zstd seekable format, so that any zstd program decodes the file.
//     Codec raw: the decoded bytes, for blobs that do not compress.
//   - chunk: ChunkSize consecutive stored bytes, a document of blobs.chunks.
//   - sum: the BLAKE3-256 of a decoded frame; head: that of the first one, of blobs that have more.
//
// # Documents
//
//	blobs.files  {_id, length, chunkSize, uploadDate, metadata: {hash, size, refs, magic, codec,
//	              frames, sums, head, quarantined}}
//	blobs.chunks {_id, files_id, n, data}
//
// They are exact GridFS: any client reads the stored bytes. The _id of a file is twelve random
// bytes (as an ObjectID, the smallest type for it): a hash is not known before the upload ends, two
// uploads of the same blob must not meet, and random keys spread evenly over shards. The _id of a
// chunk is an ordinary ObjectID, so chunks show when they were written. A sharded cluster needs the
// shard keys {metadata.hash: 1} and {files_id: 1, n: 1}, on which the unique indexes rest.
//
// # Writing
//
// A blob costs nothing if it is there already. One that fits into a chunk is compressed and written
// only when its hash is known and not found. A larger one is compared, frame by frame, with the
// stored blobs of the same head, and nothing is compressed or written while one of them matches. If
// it ends equal, its reference is all that was written. If it deviates, the frames before are
// copied from the stored blob, and the upload goes on by itself. Stored blobs are relied upon only
// while holding a reference to them.
//
// # What always holds
//
//   - Chunks are durable before the files document is inserted: the insert is the commit. The
//     unique index on metadata.hash lets one of several equal uploads win; the others delete their
//     chunks and take a reference.
//   - A Writer that finished holds one reference. A Writer that failed or was aborted holds none
//     and has deleted its chunks, unless that failed, too: then chunks without a files document, or
//     a reference too many, are left for Check and an audit, which wait for OrphanGrace.
//   - Once the insert of the files document was sent and its outcome is unknown, the chunks stay.
//   - A Writer uses a constant amount of memory, about 0.7 MiB, apart from 36 bytes per frame.
package blobstore
