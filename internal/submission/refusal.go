package submission

import (
	"errors"
	"fmt"

	"gadwall/internal/database"
	"gadwall/internal/smarthost"
)

// Refusal is why a message or a recipient is not taken, as a reply of SMTP.
type Refusal struct {
	Code   int
	Status string // enhanced status code (RFC 3463)
	Text   string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Status, r.Text) }

// Temporary reports whether the client may try again.
func (r *Refusal) Temporary() bool { return r.Code < 500 }

var (
	errTrouble    = &Refusal{451, "4.3.0", "Temporary trouble here, try again later"}
	errFull       = &Refusal{452, "4.3.1", "No space left here, try again later"}
	errQuota      = &Refusal{452, "4.2.2", "No room in your mailbox for the copy of the message"}
	errRate       = &Refusal{450, "4.7.1", "You sent too much within an hour, try again later"}
	errSender     = &Refusal{553, "5.7.1", "That sender address is not yours"}
	errFrom       = &Refusal{550, "5.7.1", "An address in From is not yours"}
	errFromSyntax = &Refusal{550, "5.6.0", "From has no addresses that can be read"}
	errSize       = &Refusal{552, "5.3.4", "Message larger than this server takes"}
	errLacks      = &Refusal{550, "5.6.7", "The smarthost lacks what the message needs: SMTPUTF8 or 8BITMIME"}
	errSmarthost  = &Refusal{451, "4.3.5", "The smarthost is not ready, try again later"}
)

// refusalOf is what the client is told of an error. Only Refusals of the smarthost and of this
// package say what happened.
func refusalOf(err error) *Refusal {
	var own *Refusal
	var theirs *smarthost.Refusal
	var trouble *smarthost.Trouble
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &theirs):
		return passedOn(theirs)
	case errors.Is(err, smarthost.ErrUnsupported):
		return errLacks
	case errors.Is(err, smarthost.ErrBusy):
		return &Refusal{451, "4.3.2", "Too many messages are on their way to the smarthost, try again later"}
	case errors.Is(err, smarthost.ErrSlow):
		return &Refusal{451, "4.4.2", "The message came in slowly while others waited, try again later"}
	case errors.As(err, &trouble):
		return &Refusal{451, trouble.Status, "The smarthost cannot be reached, try again later"}
	case database.IsStorageFull(err):
		return errFull
	}
	return errTrouble
}

// passedOn is the smarthost's answer as the client's. What is about the connection with the smarthost
// says nothing of the client's (RFC 5321 section 4.2.1).
func passedOn(r *smarthost.Refusal) *Refusal {
	switch r.Code {
	case 421:
		return &Refusal{451, r.Status, r.Text}
	case 500, 501, 502, 503, 504, 530, 534, 535, 538, 555:
		return errSmarthost
	}
	return &Refusal{r.Code, r.Status, r.Text}
}
