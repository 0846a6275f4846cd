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

// ErrDrain says that a refused literal is too long to be thrown away: the
// connection must be closed.
var ErrDrain = errors.New("imap: refused data is too long to skip")

// ErrLiteralSize says that a literal's writer gave another number of bytes
// than announced: the connection must be closed.
var ErrLiteralSize = errors.New("imap: literal has another size than announced")

// Errorf makes a SyntaxError without a code (BAD).
func Errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Text: fmt.Sprintf(format, args...)}
}

func tooBig(format string, args ...any) *SyntaxError {
	return &SyntaxError{Code: "TOOBIG", Text: fmt.Sprintf(format, args...)}
}
