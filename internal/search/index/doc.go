// Package index is the text index: it tells which mails cannot hold a text. It is a filter and
// never the truth. A search reads and compares every mail that the index does not rule out.
//
// # Words
//
//   - number: that of a mail within its user (mailstore.Number). The index knows mails by their
//     numbers. So copies, moves and renames cost it nothing, and one pass serves all mailboxes.
//   - gram: four consecutive characters of a text as package casemap maps it, or two of Hangul,
//     kana or Han. A gram is hashed to one of bitCount bits. A header field that searches name
//     (Field) has the grams of its text once more, with other hashes.
//   - row: the bits of one mail.
//   - block: the rows of up to blockRows mails of one user, turned by 90 degrees: a column for each
//     bit says which of the mails have it.
//   - group: groupBits columns that follow each other, in one document.
//   - needle: the bits of a text that is looked for. A mail without one of them cannot hold it.
//
// # Collections
//
//	searchrows     {_id: user | number, v, b: row}
//	searchblocks   {_id: user | block id, v, n, m: numbers}
//	searchcolumns  {_id: user | group | block id, b: columns}
//	searchstates   {_id: user, u: number up to which Repair has compared, v}
//
// All keys begin with the user, which is the shard key, and have a fixed size. A block id is random.
// Columns are ordered by group, so that one range of keys has a group of all blocks of a user.
//
// # Flow
//
//	delivery, acknowledged -> Writer.Add (bounded) -> contents in batches -> Grams -> rows
//	rows of a user, once there are turnRows -> Turner, under a lease -> a small block
//	small blocks, once there are mergeBlocks -> Turner, with the next rows -> a large block
//	every hour -> Repairer, under the same lease -> mails without rows, and what is of no use
//	search -> Query -> Index.Exclude: the user's blocks, the columns of its bits, the rows
//	       -> Excluded: numbers that the search need not read
//
// # Decisions
//
//   - Needles of two and three letters have no gram of theirs: searches read the mails. A mail of the
//     bench corpus without files has 3,200 different sequences of three characters, most of them in
//     identifiers of its header. In 4,096 bits they take 410 octets more a mail, a third of the
//     index, and still leave 54 % of all mails; in 8,192 bits 720 octets and 37 %. Two characters of
//     Hangul, kana or Han are a gram. So words of two characters are found by the index.
//   - Rows are read and compared here, though $bitsAllSet with a projection is cheaper: of 511 rows
//     (turnRows at most), 0.5 ms and 20 KB instead of 2.2 ms and 0.8 MB, with one command either way
//     (BenchmarkRows). But the database tests bits without their check sum, and a row that is cut off
//     has clear bits at its end: mails would be excluded that hold the text. Also rows of few bits,
//     which are those of short mails, could not be compressed.
//   - A row of many bits stays plain until it is turned. Small blocks become a large one eight at a
//     time. So a mail is written three times, and a search reads seven small blocks at most. Merging
//     each time that two blocks have the same size took twice the processor time (BenchmarkTurner).
//
// # What always holds
//
//   - A mail is excluded only by a row or a block that names its number, has its check sum and was
//     made by the present rules. What is missing, damaged, half made or of another version excludes
//     nothing. So an answer is the same whatever the state of the index.
//   - A number stands for the same texts for ever. So no row or block is ever out of date. What
//     remains of a deleted mail excludes a number that no mailbox has.
//   - The document in searchblocks is the commit of a block: it is written after the columns. The
//     rows go after that. Whatever is interrupted leaves rows beside a block, or columns without
//     one. The Turner removes both later.
//   - A Turner that removes damage also removes the user's document in searchstates. So the next Repair
//     finds the mails that are left without index.
//   - Two instances that turn the same rows make two blocks that agree.
//   - Memory is bounded by limits.go: the queue of the Writer, its batches, a block that is made.
package index
