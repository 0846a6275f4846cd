// Package deflate compresses and decompresses the two directions of a connection (RFC 1951, as
// RFC 4978 uses it for IMAP). It fits conversations where libraries do not.
//
//   - Reader gives everything that can be decoded of what has arrived, and waits for more only if
//     that is nothing. Readers of libraries wait for the end of a block and a mark that follows it;
//     clients that flush with Z_PARTIAL_FLUSH send no mark, and both sides would wait for ever. Its
//     memory grows with what the peer has sent, up to 64 KiB.
//   - Writer borrows a compressor from a Pool, and gives it back at each Flush, so that connections
//     which say nothing have none. If the Pool has none left, the Writer sends what it has
//     uncompressed, in stored blocks.
package deflate
