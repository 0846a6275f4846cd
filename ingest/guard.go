package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// guard stands between the socket and go-smtp and frames what comes in.
//
// go-smtp 0.25.1 by itself would take a connection that ends within the last chunk of BDAT for a
// complete message, misses the end of a body after "CR CR LF", applies the
// limit for command lines to the lines of messages, reads a chunk as commands when it
// does not like the BDAT command before it, and has a single deadline for a
// whole body. The guard therefore gives it one command line at a time, keeps the
// dot-terminated body for the session (go-smtp sees an empty one), counts the
// octets of chunks, and does STARTTLS below itself, so that it stays above TLS.
//
// Read is called by one goroutine at a time: the connection's, or, while a body
// is transferred, the one that go-smtp runs the session's Data in.
type guard struct {
	srv           *Server
	local, remote net.Addr
	raw           net.Conn // the TCP or TLS connection
	in            *bufio.Reader
	tls           bool

	mode     mode
	line     []byte // mode command: rest of a line go-smtp has not read yet
	chunk    int64  // mode chunk: octets left
	body     bodyDecoder
	bodyEnd  time.Time // when the transfer of the body must be over
	closing  bool      // answer what is under way, then end the connection
	refused  int       // lines the guard itself refused
	verb     string    // of the command go-smtp is working on
	session  *session  // nil before the first greeting
	helo     string    // argument of the last greeting; empty before, and after STARTTLS
	extended bool      // greeted with EHLO or LHLO

	sending  sync.Mutex // held while replies are written; taken before mu
	mu       sync.Mutex // guards what follows; never held during I/O
	out      []byte     // replies not sent yet
	swallow  bool       // drop the next reply: its command was ours
	waiting  bool       // blocked waiting for a command
	draining bool       // the server is shutting down
	inErr    error      // the socket's first read error; there is no second attempt
	outErr   error      // likewise for writing
}

type mode uint8

const (
	modeCommand mode = iota
	modeData         // go-smtp has answered 354
	modeChunk        // go-smtp has read a BDAT command
)

// errShutdown ends a connection that waits for a command while the server stops.
var errShutdown = errors.New("shutting down")

func newGuard(srv *Server, raw net.Conn) *guard {
	g := &guard{srv: srv, raw: raw, local: raw.LocalAddr(), remote: raw.RemoteAddr()}
	g.in = bufio.NewReaderSize(rawReader{g}, readBuffer)
	return g
}

// rawReader reads from the socket after sending the replies that wait, so that
// replies to pipelined commands leave together (RFC 2920 section 3.2) and no client waits for one
// that we hold back.
type rawReader struct{ g *guard }

func (r rawReader) Read(p []byte) (int, error) {
	g := r.g
	deadline := time.Now().Add(commandTimeout)
	flushed := g.flush()
	g.mu.Lock()
	if g.inErr == nil {
		g.inErr = flushed
	}
	if g.inErr != nil {
		g.mu.Unlock()
		return 0, g.inErr
	}
	if g.mode == modeCommand {
		if g.draining {
			g.inErr = errShutdown
			g.mu.Unlock()
			return 0, errShutdown
		}
		g.waiting = true
	} else if deadline.After(g.bodyEnd) {
		deadline = g.bodyEnd
	}
	g.raw.SetReadDeadline(deadline)
	g.mu.Unlock()

	n, err := g.raw.Read(p)

	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = false
	if err != nil && g.draining && g.mode == modeCommand {
		err = errShutdown
	}
	g.inErr = err
	return n, err
}

// drain makes the connection end as soon as no body is being transferred.
func (g *guard) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	if g.waiting {
		g.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// Read gives go-smtp what it may see: command lines, chunks, and for a body sent
// with DATA only its end.
func (g *guard) Read(p []byte) (int, error) {
	switch g.mode {
	case modeData:
		// The session has read the body, unless it failed in a way that
		// nobody foresaw.
		if _, err := io.Copy(io.Discard, dataReader{g}); err != nil {
			return 0, err
		}
		g.mode = modeCommand
		g.line = append(g.line[:0], ".\r\n"...)
	case modeChunk:
		return g.readChunk(p)
	}
	for len(g.line) == 0 {
		if err := g.readCommand(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.line)
	g.line = g.line[n:]
	if len(g.line) == 0 && g.chunk > 0 {
		g.mode = modeChunk
	}
	return n, nil
}

func (g *guard) readChunk(p []byte) (int, error) {
	if int64(len(p)) > g.chunk {
		p = p[:g.chunk]
	}
	n, err := g.in.Read(p)
	if g.chunk -= int64(n); g.chunk == 0 {
		g.mode = modeCommand
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // go-smtp would take EOF for the end of the chunk
	}
	if err != nil {
		g.awaitBody()
	}
	return n, err
}

// awaitBody waits until the goroutine that go-smtp starts for the first chunk
// has reached the session. Otherwise, if that chunk was empty or cut off, go-smtp
// could end the transaction first, and the goroutine would find no session, or the
// next transaction.
func (g *guard) awaitBody() {
	if g.verb == "BDAT" && g.session != nil {
		g.session.awaitBody()
	}
}

// readCommand reads one line; afterwards g.line is what go-smtp shall see of it,
// if anything.
func (g *guard) readCommand() error {
	g.awaitBody()
	if g.closing {
		return io.EOF
	}
	line, err := g.in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull || err == nil && len(line) > maxCommandLine:
		return g.overlong(line, err)
	case err == errShutdown:
		return g.hangUp("421 4.3.2 " + g.srv.opts.Hostname + " is shutting down, try again")
	case isTimeout(err):
		return g.hangUp("421 4.4.2 Idle for too long")
	case err != nil:
		// Also EOF within a line: an unfinished command is not executed.
		return io.EOF
	}
	text := strings.TrimRight(string(line), "\r\n")
	verb, arg := splitCommand(text)
	control := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	if verb == "BDAT" {
		if control {
			arg = "" // not a valid one
		}
		return g.startChunk(line, arg)
	}
	if control {
		return g.refuse("500 5.5.2 Control characters in a command")
	}
	switch verb {
	case "HELO", "EHLO", "LHLO":
		name, _, _ := strings.Cut(arg, " ")
		if len(name) > maxHelo {
			return g.refuse("501 5.5.2 Name too long")
		}
		g.helo, g.extended = name, verb != "HELO"
	case "STARTTLS":
		if g.srv.opts.TLSConfig != nil && !g.tls {
			return g.startTLS()
		}
	}
	g.verb = verb
	g.line = append(g.line[:0], line...)
	return nil
}

// splitCommand finds the verb as go-smtp does: four letters, then a space or
// nothing; or STARTTLS.
func splitCommand(text string) (verb, arg string) {
	upper := strings.ToUpper(text)
	switch {
	case strings.HasPrefix(upper, "STARTTLS"):
		return "STARTTLS", ""
	case len(text) == 4:
		return upper, ""
	case len(text) > 4 && text[4] == ' ':
		return strings.ToUpper(text[:4]), strings.TrimSpace(text[5:])
	case strings.HasPrefix(upper, "BDAT"):
		return "BDAT", "?" // whatever follows would not be commands
	}
	return "", ""
}

// startChunk handles BDAT size [LAST] (RFC 3030 section 2).
func (g *guard) startChunk(line []byte, arg string) error {
	g.verb = "BDAT"
	g.line = append(g.line[:0], line...)
	args := strings.Fields(arg)
	valid := len(args) == 1 || len(args) == 2 && strings.EqualFold(args[1], "LAST")
	var size uint64
	if valid {
		var err error
		size, err = strconv.ParseUint(args[0], 10, 32) // go-smtp's limit too
		valid = err == nil
	}
	if !valid {
		// How much of what follows is the chunk, nobody knows.
		g.line = append(g.line[:0], "BDAT ?\r\n"...)
		g.verb = ""
		g.closing = true
		return nil
	}
	g.chunk = int64(size)
	g.bodyEnd = time.Now().Add(bodyTimeout)
	return nil
}

// overlong answers a line beyond the limit, of which start is the beginning, and
// reads to its end.
func (g *guard) overlong(start []byte, err error) error {
	if len(start) >= 4 && strings.EqualFold(string(start[:4]), "BDAT") {
		return g.hangUp("500 5.5.2 Line too long") // a chunk may follow
	}
	for n := readBuffer; err == bufio.ErrBufferFull; n += readBuffer {
		if n > maxOverlongLine {
			return g.hangUp("500 5.5.2 Line too long")
		}
		_, err = g.in.ReadSlice('\n')
	}
	if err != nil {
		return io.EOF
	}
	return g.refuse("500 5.5.2 Line too long")
}

// refuse answers in place of go-smtp, which has answered everything before.
func (g *guard) refuse(reply string) error {
	if g.refused++; g.refused > maxErrors {
		return g.hangUp("421 4.7.0 Too many errors")
	}
	g.reply(reply)
	return nil
}

// hangUp sends a last reply and ends the connection; go-smtp adds nothing to EOF.
func (g *guard) hangUp(reply string) error {
	g.reply(reply)
	g.closing = true
	return io.EOF
}

func (g *guard) reply(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out = append(append(g.out, line...), "\r\n"...)
}

// Write takes go-smtp's replies, each line with a Write of its own.
func (g *guard) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("354 ")) && g.verb == "DATA" {
		g.mode = modeData
		g.body = bodyDecoder{}
		g.bodyEnd = time.Now().Add(bodyTimeout)
	}
	g.mu.Lock()
	if g.swallow {
		g.swallow = false
		g.mu.Unlock()
		return len(p), nil
	}
	g.out = append(g.out, g.capability(p)...)
	full := len(g.out) >= writeBuffer
	g.mu.Unlock()
	if full {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// capability adds to the line "SIZE" of a greeting what go-smtp does not know:
// the limit, which it would enforce in its own way, and STARTTLS.
func (g *guard) capability(line []byte) []byte {
	if !bytes.HasPrefix(line, []byte("250")) || !bytes.Equal(bytes.TrimRight(line[3:], "\r\n"), []byte("-SIZE")) || !g.extended {
		return line
	}
	added := "250-SIZE " + strconv.FormatInt(g.srv.opts.MaxMessageSize, 10) + "\r\n"
	if g.srv.opts.TLSConfig != nil && !g.tls {
		added += "250-STARTTLS\r\n"
	}
	return []byte(added)
}

// flush sends the waiting replies. A client that reads nothing blocks it for
// writeTimeout, so g.mu is not held meanwhile.
func (g *guard) flush() error {
	g.sending.Lock()
	defer g.sending.Unlock()
	g.mu.Lock()
	out, raw, err := g.out, g.raw, g.outErr
	g.out = nil
	g.mu.Unlock()
	if len(out) == 0 || err != nil {
		return err
	}
	raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err = raw.Write(out)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outErr = err
	if g.out == nil {
		g.out = out[:0] // for the next replies
	}
	return err
}

// Close sends what is left and closes the socket.
func (g *guard) Close() error {
	_ = g.flush() // the client may be gone
	g.srv.forget(g)
	return g.cut()
}

// cut closes the socket under whoever uses it.
func (g *guard) cut() error {
	g.mu.Lock()
	raw := g.raw
	g.mu.Unlock()
	return raw.Close()
}

func (g *guard) LocalAddr() net.Addr  { return g.local }
func (g *guard) RemoteAddr() net.Addr { return g.remote }

// Deadlines are the guard's own business.
func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

var _ net.Conn = (*guard)(nil)

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
