// Package mailgen makes test mail, the same for the same seed on every machine and at every time.
//
// # Words
//
//   - shape: a kind of message, such as Mixed or Unclosed. Some are good mail, others are mail as
//     bad software sends it: see the list of shapes.
//   - corpus: a stream of mails as an organisation gets them, with threads, common attachments and
//     logos, in realistic proportions. Measurements of size and speed use it.
//
// Message gives a message of a shape chosen by the seed, Of one of a given shape, Mixed one with
// given attachments, NewCorpus a corpus, and Large writes a message of any size without holding it.
//
// Line ends are CRLF, except in the shapes that are about line ends.
package mailgen
