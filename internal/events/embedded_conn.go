package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// embeddedConn stands between the embedded Redis and a client's connection. It passes on whole,
// well-formed commands that events need, and nothing else: the library behind it was made for tests
// and trusts its clients. A client that sends anything else loses its connection; so does one that
// does not read its answers.
type embeddedConn struct {
	net.Conn
	in      *bufio.Reader
	command []byte // checked, not yet passed on
}

func newEmbeddedConn(nc net.Conn) *embeddedConn {
	return &embeddedConn{Conn: nc, in: bufio.NewReader(nc)}
}

// Read returns octets of checked commands.
func (c *embeddedConn) Read(p []byte) (int, error) {
	if len(c.command) == 0 {
		command, err := readCommand(c.in)
		if err != nil {
			return 0, err
		}
		c.command = command
	}
	n := copy(p, c.command)
	c.command = c.command[n:]
	return n, nil
}

// Write bounds how long a client may leave its answers unread.
func (c *embeddedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(embeddedWriteTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// embeddedCommands are the commands that events need, with the least and the greatest number of
// arguments behind the name.
var embeddedCommands = map[string]struct{ least, most int }{
	"HELLO":       {0, 1},
	"PING":        {0, 1},
	"PSUBSCRIBE":  {1, 1},
	"PUBLISH":     {2, 2},
	"SUBSCRIBE":   {1, subscribeBatch},
	"UNSUBSCRIBE": {0, subscribeBatch},
}

var errCommand = errors.New("events: not a command for the embedded Redis")

// readCommand reads one command in RESP, an array of bulk strings, and returns it as it came.
func readCommand(in *bufio.Reader) ([]byte, error) {
	var out bytes.Buffer
	count, err := readLength(in, &out, '*')
	if err != nil {
		return nil, err
	}
	if count < 1 || count > 1+subscribeBatch {
		return nil, fmt.Errorf("%w: %d strings", errCommand, count)
	}
	for i := range count {
		size, err := readLength(in, &out, '$')
		if err != nil {
			return nil, err
		}
		if size < 0 || out.Len()+size > maxEmbeddedCommand {
			return nil, fmt.Errorf("%w: string of %d octets", errCommand, size)
		}
		start := out.Len()
		if _, err := io.CopyN(&out, in, int64(size)+2); err != nil {
			return nil, err
		}
		text := out.Bytes()[start:]
		if !bytes.HasSuffix(text, []byte("\r\n")) {
			return nil, fmt.Errorf("%w: a string does not end where it says", errCommand)
		}
		if i > 0 {
			continue
		}
		name := strings.ToUpper(string(text[:size]))
		args, known := embeddedCommands[name]
		if !known || count-1 < args.least || count-1 > args.most {
			return nil, fmt.Errorf("%w: %.20q with %d arguments", errCommand, name, count-1)
		}
	}
	return out.Bytes(), nil
}

// readLength reads a line of a mark and a decimal number, and copies it to out.
func readLength(in *bufio.Reader, out *bytes.Buffer, mark byte) (int, error) {
	const longest = len("*1000000\r\n")
	start := out.Len()
	for {
		b, err := in.ReadByte()
		if err != nil {
			if err == io.EOF && out.Len() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		out.WriteByte(b)
		if b == '\n' {
			break
		}
		if out.Len()-start >= longest {
			return 0, fmt.Errorf("%w: line too long", errCommand)
		}
	}
	line := out.Bytes()[start:]
	digits, ended := bytes.CutSuffix(line[1:], []byte("\r\n"))
	if line[0] != mark || !ended || len(digits) == 0 {
		return 0, fmt.Errorf("%w: want a length behind %q", errCommand, mark)
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, fmt.Errorf("%w: want a length behind %q", errCommand, mark)
		}
	}
	return strconv.Atoi(string(digits))
}
