// Package mailkey has the names of users, mailboxes and messages: a user's id,
// and the keys that begin with it. Every layer from the database up to the
// events names things by them; they import nothing of the project.
//
//	user id      8 random bytes
//	mailbox key  user id | mailbox number (4)              12 bytes
//	message key  user id | mailbox number (4) | UID (4)    16 bytes
//
// Numbers are big endian, so the order of bytes is the order of users, within
// a user of mailboxes, and within a mailbox of UIDs: each of them is one range
// of keys.
package mailkey
