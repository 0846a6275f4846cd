// Package dovecot runs a private Dovecot, the mail server that Debian installs, for tests and for
// measurements that compare Gadwall with it.
//
//	Options -> configuration file -> Start -> Server: addresses, process, mail -> Stop
//
// # What always holds
//
//   - The server listens on loopback, on spare ports, and keeps everything below the
//     directory that the caller names. It reads no configuration of the machine.
//   - Any user may log in with any password, and gets mail under any domain.
//   - No process of the server that touches mail runs as root.
package dovecot
