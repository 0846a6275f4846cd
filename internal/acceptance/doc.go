// Package acceptance holds tests only: they build the gadwall binary, run it as an operator would
// and talk to it as mail programs do (LMTP, IMAP, HTTP, mbsync, offlineimap, mutt, curl, imaplib),
// kill it and measure it. What a package promises by itself is tested beside that package; here
// stands what only the whole can promise:
//
//   - mail comes back byte for byte, and as Dovecot would answer;
//   - whatever was acknowledged survives kill -9;
//   - memory stays bounded however large the message;
//   - an attachment that arrives many times is stored once.
//
// Each test has a server of its own, with its own data directory and ports. The tools it needs are
// Debian packages, installed by .ci/run; a test without its tool skips and says which one it was.
package acceptance
