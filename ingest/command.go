package ingest

import "strings"

// command is one line of a client, taken apart.
type command struct {
	verb string // in capitals
	arg  string // without white space around it
}

// parseCommand takes a line apart (RFC 5321 section 4.1.1). A line that begins with BDAT always is
// that command, so that its chunk is never read as commands.
func parseCommand(line string) command {
	text := strings.TrimRight(line, "\r\n")
	if len(text) >= 4 && strings.EqualFold(text[:4], "BDAT") {
		rest := text[4:]
		if rest != "" && rest[0] != ' ' {
			rest = "?" // no argument that BDAT has
		}
		return command{"BDAT", strings.TrimSpace(rest)}
	}
	verb, arg, _ := strings.Cut(text, " ")
	return command{strings.ToUpper(verb), strings.Trim(arg, " \t")}
}

// hasControl tells whether a line has control characters other than its end.
func hasControl(line string) bool {
	return strings.ContainsFunc(strings.TrimRight(line, "\r\n"), func(r rune) bool {
		return r < ' ' && r != '\t' || r == 0x7f
	})
}

// handler executes a command and replies to it. An error ends the connection.
type handler func(c *conn, arg string) error

// verb is how a server handles a command.
type verb struct {
	run     handler
	noArg   bool // an argument is an error
	message bool // does something for a message
	outside bool // allowed before the greeting
}

// verbs are the commands of both protocols. What belongs to one of them says so itself.
var verbs = map[string]verb{
	"HELO":     {run: (*conn).helo, outside: true},
	"EHLO":     {run: (*conn).ehlo, outside: true},
	"LHLO":     {run: (*conn).lhlo, outside: true},
	"STARTTLS": {run: (*conn).startTLS, noArg: true, outside: true},
	"AUTH":     {run: (*conn).auth},
	"MAIL":     {run: (*conn).mail, message: true},
	"RCPT":     {run: (*conn).rcpt, message: true},
	"DATA":     {run: (*conn).data, noArg: true, message: true},
	"BDAT":     {run: (*conn).bdat, outside: true, message: true}, // its chunk is always read
	"RSET":     {run: (*conn).rset, noArg: true, outside: true},
	"NOOP":     {run: (*conn).noop, outside: true},
	"VRFY":     {run: (*conn).vrfy, outside: true},
	"EXPN":     {run: (*conn).expn, outside: true},
	"HELP":     {run: (*conn).help, outside: true},
	"QUIT":     {run: (*conn).quit, noArg: true, outside: true},
}

// httpVerbs begin requests of web browsers, which can be made to send mail commands in the body of
// a request. A connection that begins like that ends.
var httpVerbs = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "OPTIONS": true,
	"CONNECT": true, "PATCH": true, "TRACE": true,
}

// execute handles one command line.
func (c *conn) execute(line string) error {
	cmd := parseCommand(line)
	if hasControl(line) {
		if cmd.verb != "BDAT" {
			return c.reply(replyControl)
		}
		cmd.arg = "?"
	}
	v, known := verbs[cmd.verb]
	switch {
	case httpVerbs[cmd.verb]:
		return c.cutOff(reply{421, "4.7.0", "This is a mail server"}, refusedMistakes)
	case !known:
		return c.reply(replyUnknown)
	case v.noArg && cmd.arg != "":
		return c.reply(replyNoArgument)
	case !v.outside && c.hello == "":
		return c.reply(replyNoHello)
	case !v.message && c.tooIdle():
		return c.cutOff(replyIdlers, refusedIdle)
	}
	c.session.Touch()
	return v.run(c, cmd.arg)
}

// tooIdle counts a command that does nothing for a message, and tells whether there were too many.
func (c *conn) tooIdle() bool {
	c.idle++
	return c.idle > maxIdleCommands && !c.origin.trusted
}

// rset forgets the transaction (RFC 5321 section 4.1.1.5).
func (c *conn) rset(string) error {
	c.reset()
	return c.reply(replyOK)
}

// noop answers NOOP, with or without an argument (RFC 5321 section 4.1.1.9).
func (c *conn) noop(string) error { return c.reply(replyOK) }

// vrfy tells nobody who has a mailbox here (RFC 5321 sections 3.5.3 and 7.3).
func (c *conn) vrfy(arg string) error {
	if arg == "" {
		return c.reply(reply{501, "5.5.4", "Syntax: VRFY address"})
	}
	return c.reply(reply{252, "2.5.0", "Cannot verify the address, RCPT will tell"})
}

func (c *conn) expn(string) error { return c.reply(reply{502, "5.5.1", "EXPN is not offered"}) }

// help answers HELP (RFC 5321 section 4.1.1.8).
func (c *conn) help(string) error {
	return c.reply(reply{214, "2.0.0", "See RFC 5321, or RFC 2033 for LMTP"})
}

// quit ends the connection (RFC 5321 section 4.1.1.10).
func (c *conn) quit(string) error {
	if err := c.reply(replyBye); err != nil {
		return err
	}
	return errQuit
}
