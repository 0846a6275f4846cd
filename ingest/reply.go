package ingest

import (
	"github.com/emersion/go-smtp"

	"gadwall/internal/database"
)

func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

var (
	errTooLarge = reply(552, 5, 3, 4, "Message larger than this server takes")
	errTrouble  = reply(451, 4, 3, 0, "Temporary trouble here, try again later")
	errFull     = reply(452, 4, 3, 1, "No space left here, try again later")
	errAborted  = reply(451, 4, 4, 2, "Connection lost within the message, nothing delivered")
	errGone     = reply(550, 5, 1, 1, "The user is no longer here")
)

// trouble is the answer for trouble of ours.
func trouble(err error) *smtp.SMTPError {
	if database.IsStorageFull(err) {
		return errFull
	}
	return errTrouble
}

// overQuota is the answer for a full mailbox (RFC 3463 section 3.3).
func (s *session) overQuota(address string) error {
	return overQuota(s.srv.opts.RejectOverQuota, "<"+quotePath(address)+"> mailbox full")
}

func overQuota(permanent bool, text string) *smtp.SMTPError {
	if permanent {
		return reply(552, 5, 2, 2, text)
	}
	return reply(452, 4, 2, 2, text)
}
