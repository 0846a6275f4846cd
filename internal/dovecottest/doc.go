// Package dovecottest runs a private Dovecot for a test, so that Gadwall's answers can be compared
// with those of a server whose answers many clients know.
//
// Start gives a server of its own to the calling test, in a temporary directory, on an unprivileged
// port of the loopback; it ends with the test. Any user may log in with any password. Where Dovecot
// is not installed, the test is skipped.
//
// Session is a small IMAP client that shows what came over the wire, literals included, since that
// is what is to be compared; Parse turns the value of a FETCH item into a tree of strings, numbers
// and lists.
package dovecottest
