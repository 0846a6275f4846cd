package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

type deliverCmd struct {
	To   []string `required:"" sep:"none" placeholder:"ADDRESS" help:"Recipient; may be repeated."`
	From string   `placeholder:"ADDRESS" help:"Envelope sender; by default the null sender <>."`
	LMTP string   `name:"lmtp" default:"127.0.0.1:2424" placeholder:"ADDR" help:"LMTP server: host:port or unix:/path."`

	Files []string `arg:"" name:"file" help:"Messages, - for standard input. Lines that end with LF are sent with CRLF."`
}

// Run delivers each file in a transaction of its own and prints a line for each
// recipient. It exits with 75 if something failed that may work later, with 1
// if something failed for good.
func (c *deliverCmd) Run(std streams) error {
	for _, address := range append([]string{c.From}, c.To...) {
		if strings.ContainsAny(address, "\r\n<>") {
			return usageError{fmt.Errorf("%q is not an address", address)}
		}
	}
	client, err := dialLMTP(c.LMTP)
	if err != nil {
		fmt.Fprintln(std.err, "gadwall:", err)
		return exitError(exitTemp)
	}
	defer client.close()
	failed, later := false, false
	for _, name := range c.Files {
		results, err := c.deliver(client, name, std)
		for _, r := range results {
			fmt.Fprintf(std.out, "%s: <%s>: %v\n", name, r.recipient, r.reply)
			failed = failed || r.reply.code >= 500
			later = later || r.reply.code >= 400 && r.reply.code < 500
		}
		if err == nil {
			continue
		}
		fmt.Fprintf(std.err, "gadwall: %s: %v\n", name, err)
		var open *os.PathError
		if errors.As(err, &open) {
			failed = true // the next file may be there
			continue
		}
		return exitError(exitTemp) // the connection is of no use any more
	}
	switch {
	case later:
		return exitError(exitTemp)
	case failed:
		return exitError(exitFailure)
	}
	return nil
}

func (c *deliverCmd) deliver(client *lmtpClient, name string, std streams) ([]result, error) {
	in := std.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if fi, err := f.Stat(); err != nil {
			return nil, err
		} else if fi.IsDir() {
			return nil, &os.PathError{Op: "deliver", Path: name, Err: errors.New("is a directory")}
		}
		in = f
	}
	return client.deliver(c.From, c.To, in)
}

// lineSender writes a message as LMTP wants it: CRLF line ends, dots stuffed
// (RFC 5321 section 4.5.2), the end marked.
//
// Whether a message needs its line ends converted is decided by its first line.
// If that ends with CRLF, the message is in the form of the wire already and is
// passed on octet for octet, whatever else is in it; otherwise every LF that has no CR before it
// becomes CRLF.
type lineSender struct {
	w       io.Writer
	out     []byte
	decided bool
	convert bool
	last    byte // the last octet written; LF at the start of a line
	prev    byte // the one before
}

func newLineSender(w io.Writer) *lineSender { return &lineSender{w: w, prev: '\r', last: '\n'} }

func (s *lineSender) Write(p []byte) (int, error) {
	s.out = s.out[:0]
	for _, c := range p {
		if c == '\n' {
			if !s.decided {
				s.decided, s.convert = true, s.last != '\r'
			}
			if s.convert && s.last != '\r' {
				s.put('\r')
			}
		} else if c == '.' && s.prev == '\r' && s.last == '\n' {
			s.out = append(s.out, '.')
		}
		s.put(c)
	}
	if _, err := s.w.Write(s.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *lineSender) put(c byte) {
	s.out = append(s.out, c)
	s.prev, s.last = s.last, c
}

// end completes the last line, if it must be, and marks the end of the message.
func (s *lineSender) end() error {
	tail := ".\r\n"
	if s.prev != '\r' || s.last != '\n' {
		tail = "\r\n" + tail
	}
	_, err := io.WriteString(s.w, tail)
	return err
}
