// Package census takes stock of what is stored: how much mail came in, what it takes, what was saved and
// by what, and who has the most of it.
//
// # Words
//
//   - census: the figures of one such look at everything. It says when it was taken.
//   - received: the octets of all messages, as clients see them.
//   - decoded, once, stored: the same without transfer encodings where the storage undoes them; then with
//     each content and each attachment counted once; then compressed.
//
// # Cost
//
// Nobody looks at everything because somebody asks. Latest answers with the census that the database has,
// which costs one document. If that is old, a census begins in the background, in one instance, under a
// lease. The next may begin when the last is 20 times as old as it took, and a minute at least. So
// a census takes at most a twentieth of the time, and none if nobody asks.
//
// A census reads the counters of all mailboxes (mailstore.Survey), the database's own figures of each
// collection, and of contents a sample chosen at random. The figures by class are those of the sample,
// in proportion to all contents.
//
// # Document
//
//	state {_id: "census", taken, took, ...}   what Census has
package census
