package smarthost

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
)

// Refusal is an answer of the smarthost that is no success.
type Refusal struct {
	Code   int    // 400 to 599
	Status string // enhanced status code (RFC 3463) of the same class
	Text   string // printable, of one line
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Status, r.Text) }

// Temporary reports whether the message may be tried again.
func (r *Refusal) Temporary() bool { return r.Code < 500 }

// ErrBusy reports that no connection became free in time.
var ErrBusy = errors.New("no connection to the smarthost is free")

// ErrUnsupported reports that the smarthost lacks an extension that the message needs.
var ErrUnsupported = errors.New("the smarthost lacks an extension that the message needs")

// Trouble is what keeps messages from the smarthost and says nothing of a message.
type Trouble struct {
	Status string // enhanced status code of the class 4
	Err    error
}

func (t *Trouble) Error() string { return "smarthost: " + t.Err.Error() }
func (t *Trouble) Unwrap() error { return t.Err }

// trouble describes a failure of the connection.
func trouble(status string, err error) *Trouble {
	var t *Trouble
	if errors.As(err, &t) {
		return t
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		status = "4.7.5" // RFC 3463 section 3.8: cryptographic failure
	}
	return &Trouble{status, err}
}

// answer turns an error of the client into a Refusal if the smarthost has answered, else into a
// Trouble.
func answer(err error) error {
	var e *smtp.SMTPError
	if !errors.As(err, &e) {
		return trouble("4.4.2", err)
	}
	if e.Code < 400 || e.Code > 599 {
		return trouble("4.5.0", err) // RFC 3463 section 3.6: another protocol status
	}
	return refusal(e)
}

func refusal(e *smtp.SMTPError) *Refusal {
	r := &Refusal{Code: e.Code, Text: oneLine(e.Message)}
	class := e.Code / 100
	if c := e.EnhancedCode; c[0] == class && c[1] >= 0 && c[1] < 1000 && c[2] >= 0 && c[2] < 1000 {
		r.Status = fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
	} else {
		r.Status = fmt.Sprintf("%d.0.0", class)
	}
	if r.Text == "" {
		r.Text = "refused"
	}
	return r
}

// oneLine makes a text of the smarthost fit for a line of a reply.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	return s[:min(len(s), maxText)]
}
