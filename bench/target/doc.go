// Package target has what a workload runs against: addresses of a mail server, its users, and, if
// the server is on this machine, its process and its data.
//
//	StartGadwall -> Gadwall -> Target -> package workload
//	StartDovecot -> Dovecot -> Target
//	flags of a command      -> Target
//
// # Words
//
//   - target: a server that is measured. Any server with IMAP and LMTP is one.
//   - usage: the processor time and the memory of the server's processes.
//
// # What always holds
//
//   - A server that is started here listens on loopback, on ports that the system chooses, and stores
//     below the directory that the caller names. No setting of the environment reaches the server,
//     so a measurement never writes into the data of another server.
//   - A target without a process or a directory is measured all the same, from the client's side.
package target
