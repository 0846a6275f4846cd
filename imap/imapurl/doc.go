// Package imapurl reads IMAP URLs (RFC 5092) of messages and their parts, as clients name them in
// CATENATE.
//
// # Words
//
//   - absolute URL: it names the server, "imap://ada@mail.example.com/INBOX/;UID=20".
//   - absolute path: the same without the server, "/INBOX/;UID=20".
//   - relative path: what follows the base, ";UID=20". The base is the selected mailbox.
//
// # How a URL flows
//
//	text, Base -> scheme and server -> path, joined to the base -> mailbox, UID, section, partial
//
// # What always holds
//
//   - Parse is pure: it knows no server and no mailbox. Its caller compares Host and User, and looks
//     the mailbox up.
//   - Names are decoded once. They are UTF-8 without control characters.
//   - What the grammar of RFC 5092 section 11 does not have is an error, and so are URLs of
//     mailboxes, searches and URLAUTH.
package imapurl
