package wire

import (
	"errors"
	"fmt"
)

// SyntaxError says that a command is not IMAP or passes a limit. The
// connection answers it and goes on after [Decoder.Resync].
type SyntaxError struct {
	// Code is a response code (without brackets) or empty. With a code the
	// answer is NO, without one BAD.
	Code string
	// Text says what is wrong, fit for the client.
	Text string
}

// Error implements error.
func (e *SyntaxError) Error() string { return "imap syntax: " + e.Text }

// ErrMailboxName says that a mailbox name is not in modified UTF-7
// (RFC 3501 section 5.1.3). The name was read to its end: the command can be parsed on.
var ErrMailboxName = &SyntaxError{
	Code: "CANNOT", Text: "mailbox name is not modified UTF-7 (RFC 3501 section 5.1.3)",
}

// ErrDrain says that a refused literal is too long to be thrown away: the
// connection must be closed.
var ErrDrain = errors.New("imap: refused data is too long to skip")

// ErrLiteralSize says that a literal's writer gave another number of bytes
// than announced: the connection must be closed.
var ErrLiteralSize = errors.New("imap: literal has another size than announced")

// ErrQuiet is what the reader of a Decoder may return, without bytes, when Start has waited for some
// time and nothing of the command has come. It is temporary: the next read waits on.
var ErrQuiet error = quiet{}

type quiet struct{}

func (quiet) Error() string   { return "imap: no command has come yet" }
func (quiet) Temporary() bool { return true }

// Errorf makes a SyntaxError without a code (BAD).
func Errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Text: fmt.Sprintf(format, args...)}
}

// Limit makes a SyntaxError for what is too much (NO [LIMIT]).
func Limit(format string, args ...any) *SyntaxError {
	return &SyntaxError{Code: "LIMIT", Text: fmt.Sprintf(format, args...)}
}

func tooBig(format string, args ...any) *SyntaxError {
	return &SyntaxError{Code: "TOOBIG", Text: fmt.Sprintf(format, args...)}
}
