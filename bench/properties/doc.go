// Package properties tells what mail is like: how large messages are, how many parts they have, and
// which classes of bytes. A text shows that as histograms.
//
//	messages -> Properties.Add -> Properties.WriteText
//
// # Words
//
//   - leaf: a part with a body of its own (package mimestream).
//   - class: a sort of bytes of a message (bench.Class).
//   - duplicate: the decoded body of an attachment that an earlier message had already.
package properties
