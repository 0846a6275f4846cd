// Package passhash reads the password hashes that other systems stored, so that their users can
// move without new passwords.
//
// # Words
//
//   - scheme: how a hash was made. A stored hash names it in braces before it, as Dovecot and LDAP
//     directories do ({SSHA}..., {BLF-CRYPT}...), or by the form of crypt(3) ($6$..., $2y$...).
//   - weak: a scheme that is computed so fast that a stolen hash gives the password away.
//
// # How a hash is used
//
//	import -> Parse (refuses what is malformed, or takes too long to verify) -> stored as it is
//	login  -> Parse -> Hash.Matches -> the store hashes the password anew, with argon2id
//
// # What always holds
//
//   - Parse bounds what verifying costs: a stored hash cannot keep a processor busy.
//   - Matches compares in constant time.
package passhash
