// Package blobstore stores blobs: large byte sequences, each once, under the BLAKE3-256 of its
// bytes, as compressed GridFS files that can be read from any offset.
//
// # Words
//
//   - blob: the bytes given to a Writer ("decoded" bytes).
//   - frame: FrameSize consecutive decoded bytes (the last frame of a blob is shorter). Frames are
//     stored independently of each other.
//   - stored bytes: what the GridFS file holds. With codec zstd these are a zstd frame for every
//     frame, then a seek table: together the zstd seekable format, so that any zstd program decodes
//     the file. With codec raw they are the decoded bytes, for blobs that do not compress.
//   - chunk: ChunkSize consecutive stored bytes, a document of blobs.chunks.
//   - sum: the BLAKE3-256 of a decoded frame.
//   - head: the sum of the first frame of a blob that has several.
//
// # Documents
//
//	blobs.files  {_id, length, chunkSize, uploadDate, metadata: {hash, size, refs, magic, codec,
//	              frames, sums, head, quarantined}}
//	blobs.chunks {_id, files_id, n, data}
//
// They are exact GridFS: any client reads the stored bytes. The _id of a file is twelve random
// bytes, as an ObjectID. It is random because the hash is not known before the upload ends, because
// two uploads of the same blob must not meet, and because random keys spread evenly over shards.
// The _id of a chunk is an ordinary ObjectID, so it shows the time at which the chunk was written.
// A sharded cluster needs the shard keys {metadata.hash: 1} and {files_id: 1, n: 1}, because the
// unique indexes begin with them.
//
// # Writing
//
// A Writer neither compresses nor writes a blob that exists already. If the blob fits into a chunk,
// the Writer compresses and writes it only when it knows the hash and finds no blob of it. It
// compares a larger blob, frame by frame, with the stored blobs of the same head. While one of them
// matches, it compresses and writes nothing. If the stored blob matches to the end, the Writer
// takes a reference to it. If the new blob deviates, the Writer copies the frames before from the
// stored blob and goes on by itself. It relies on a stored blob only while it holds a reference to
// it.
//
// # What always holds
//
//   - Chunks are durable before the files document is inserted: the insert is the commit. The
//     unique index on metadata.hash lets one of several equal uploads win; the others delete their
//     chunks and take a reference.
//   - A Writer that finished holds one reference. A Writer that failed or was aborted holds none
//     and has deleted its chunks. If that fails too, it leaves chunks without a files document for
//     Check, or a reference too many for an audit. Both wait for OrphanGrace.
//   - If the outcome of the insert of the files document is unknown, the chunks stay.
//   - A Writer uses a constant amount of memory, about 0.7 MiB, apart from 36 bytes per frame and
//     from further chunks being written at the same time, whose number is bounded for all Writers
//     of a Store together.
package blobstore
