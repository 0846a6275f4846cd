package ingest

import (
	"strconv"

	"gadwall/internal/database"
	"gadwall/internal/mailpath"
)

// reply is a reply of one line (RFC 5321 section 4.2).
type reply struct {
	code   int
	status string // enhanced status code (RFC 2034, RFC 3463); empty where none belongs
	text   string
}

// appendTo appends the reply as the client gets it.
func (r reply) appendTo(b []byte) []byte {
	b = strconv.AppendInt(b, int64(r.code), 10)
	b = append(b, ' ')
	if r.status != "" {
		b = append(append(b, r.status...), ' ')
	}
	return append(append(b, r.text...), "\r\n"...)
}

// failed tells whether the reply refuses something.
func (r reply) failed() bool { return r.code >= 400 }

// temporary tells whether the client may try again.
func (r reply) temporary() bool { return r.code >= 400 && r.code < 500 }

// about returns the reply with the address that it is about.
func (r reply) about(address string) reply {
	r.text = "<" + mailpath.Quote(address) + "> " + r.text
	return r
}

// mistake tells whether the client sent what this server does not understand, so that it is likely
// to go on like that. Commands in the wrong order are no mistake: a client that pipelines sends
// DATA although every recipient is refused.
func (r reply) mistake() bool {
	switch r.code {
	case 500, 501, 502, 504, 535, 555:
		return true
	}
	return false
}

var (
	replyOK          = reply{250, "2.0.0", "OK"}
	replyBye         = reply{221, "2.0.0", "Bye"}
	replyNoHello     = reply{503, "5.5.1", "Introduce yourself first"}
	replyNoMail      = reply{503, "5.5.1", "MAIL first"}
	replyNoRecipient = reply{503, "5.5.1", "No valid recipients"}
	replyInBody      = reply{503, "5.5.1", "The message has begun with BDAT"}
	replyUnknown     = reply{500, "5.5.1", "Unknown command"}
	replyNoArgument  = reply{501, "5.5.4", "The command takes no argument"}
	replyTooLong     = reply{500, "5.5.2", "Line too long"}
	replyControl     = reply{500, "5.5.2", "Control characters in a command"}
	replyBadChunk    = reply{501, "5.5.4", "Syntax: BDAT size [LAST]"}
	replyMistakes    = reply{421, "4.7.0", "Too many errors"}
	replyIdlers      = reply{421, "4.7.0", "Too many commands without a message"}
	replyHarvest     = reply{421, "4.7.0", "Too many unknown recipients"}
	replyFullHouse   = reply{421, "4.3.2", "Too many connections, try again later"}
	replyAddressFull = reply{421, "4.7.0", "Too many connections from your address, try again later"}
	replyKicked      = reply{421, "4.7.0", "The session was ended by the server"}
	replyIdle        = reply{421, "4.4.2", "Idle for too long"}
	replySlow        = reply{421, "4.4.2", "The message takes too long"}
	replyPanic       = reply{421, "4.3.0", "Temporary trouble here, try again later"}

	replyTooLarge    = reply{552, "5.3.4", "Message larger than this server takes"}
	replyTrouble     = reply{451, "4.3.0", "Temporary trouble here, try again later"}
	replyFull        = reply{452, "4.3.1", "No space left here, try again later"}
	replyUnknownUser = reply{550, "5.1.1", "no such user here"}
	replyGone        = reply{550, "5.1.1", "The user is no longer here"}
)

// trouble is the answer for trouble of ours.
func trouble(err error) reply {
	if database.IsStorageFull(err) {
		return replyFull
	}
	return replyTrouble
}

// overQuota is the answer for a full mailbox (RFC 3463 section 3.3).
func (s *Server) overQuota() reply {
	if s.opts.RejectOverQuota {
		return reply{552, "5.2.2", "mailbox full"}
	}
	return reply{452, "4.2.2", "mailbox full"}
}
