// Package envelope describes a parsed message for IMAP: it turns the part tree of mimestream into
// the wire forms of ENVELOPE, BODYSTRUCTURE and BODY (RFC 3501 section 7.4.2, RFC 9051 section
// 7.5.2) and into the normalised fields that lists, SEARCH, SORT and THREAD work on.
//
// # Words
//
//   - wire form: what follows the item's name in a FETCH response: {n} CRLF and n octets for a
//     literal, no line end after it. The elements of it are those of package wire.
//   - fields: Fields, decoded to UTF-8.
//
// # What always holds
//
//   - Any tree gives a valid wire form. What is broken in the message is left out or NIL.
//   - A wire form that is stored does not exceed MaxWire octets. One that would is not stored:
//     WriteEnvelope and WriteBodyStructure make it of the content, in the memory of one header block,
//     whatever its size. No address, name, disposition or encoding is left out.
//   - The same message gives the same octets, stored or made of the content.
//
// Where the standards leave a choice, the answer is the one that Dovecot gives. The deliberate
// differences are listed beside the test that compares the two.
package envelope
