// Package acceptance has tests only. They build the gadwall binary, run it as an operator would,
// talk to it as mail programs do (LMTP, IMAP, HTTP, mbsync, offlineimap, mutt, curl, imaplib), kill
// it and measure it. The tests of a package's own promises are beside that package. These tests are
// about promises that only the whole can keep:
//
//   - mail comes back byte for byte, and as Dovecot would answer;
//   - every acknowledged change survives kill -9;
//   - memory stays bounded however large the message;
//   - an attachment that arrives many times is stored once.
//
// Each test has a server of its own, with its own data directory and ports. The tools that the
// tests need are Debian packages, which .ci/run installs. A test without its tool skips and names
// the tool.
package acceptance
