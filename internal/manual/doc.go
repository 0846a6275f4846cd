// Package manual makes what explains the command line outside of it: the man page, and the
// completion of commands and flags in shells. Both come from the model that kong parses by, so they
// cannot tell anything else than --help does.
//
// A shell completes by asking the program: Script returns what the shell runs, which calls the
// program with CompleteCommand and the words so far, and Complete answers. So no script has to be
// made again when a flag is added.
package manual
