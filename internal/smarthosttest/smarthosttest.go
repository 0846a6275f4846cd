// Package smarthosttest has a smarthost for tests, which takes mail and keeps the octets as they came
// over the wire, and which fails as it is told.
package smarthosttest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Drop is an answer that closes the connection, and Hang one that never comes.
const (
	Drop = "drop"
	Hang = "hang"
)

// Options of a Server. The zero value takes everything, in clear.
type Options struct {
	// Answer returns the answer to a command, or to the end of a message, which is "."; "" is the
	// usual one.
	Answer func(command string) string
	// Keywords are those of EHLO; nil are the usual ones.
	Keywords []string
	// TLS offers STARTTLS, or with Implicit speaks TLS from the first octet.
	TLS      *tls.Config
	Implicit bool
}

// Message is one that the server took.
type Message struct {
	Mail string   // the command
	Rcpt []string // those that it took
	Text string   // with dots undone
}

// Server is a smarthost.
type Server struct {
	Addr string

	opts     Options
	listener net.Listener
	done     chan struct{}
	open     sync.WaitGroup

	mu       sync.Mutex
	messages []Message
	commands []string
	conns    map[net.Conn]bool
	accepted int
}

var usual = []string{"PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES",
	"AUTH PLAIN LOGIN"}

// New starts a Server, which ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Keywords == nil {
		o.Keywords = usual
	}
	s := &Server{Addr: l.Addr().String(), opts: o, listener: l, done: make(chan struct{}),
		conns: make(map[net.Conn]bool)}
	s.open.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *Server) close() {
	close(s.done)
	s.listener.Close()
	s.Cut()
	s.open.Wait()
}

// Cut closes all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Messages returns what the server took so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Commands returns all commands so far.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Accepted counts the connections so far.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.accepted++
		s.mu.Unlock()
		s.open.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.conns, c)
			}()
			s.serve(c)
		})
	}
}

// serve is one connection; any error ends it.
func (s *Server) serve(c net.Conn) {
	if s.opts.Implicit {
		c = tls.Server(c, s.opts.TLS)
	}
	r := bufio.NewReader(c)
	var m Message
	if !s.answer(c, "CONNECT", "220 smarthost ESMTP") {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		usual := "250 2.0.0 OK"
		switch verb {
		case "EHLO":
			usual = s.ehlo(c)
		case "STARTTLS":
			if s.answer(c, line, "220 2.0.0 go on") {
				c = tls.Server(c, s.opts.TLS)
				r = bufio.NewReader(c)
				continue
			}
			return
		case "AUTH":
			usual = "235 2.7.0 OK"
		case "MAIL":
			m = Message{Mail: line}
		case "DATA":
			usual = "354 go on"
		case "QUIT":
			usual = "221 2.0.0 bye"
		}
		said := s.opts.said(line)
		if said != "" {
			usual = said
		}
		if !s.answer(c, "", usual) {
			return
		}
		switch {
		case verb == "RCPT" && usual[0] == '2':
			m.Rcpt = append(m.Rcpt, line)
		case verb == "DATA" && usual[0] == '3':
			if m.Text, err = body(r); err != nil {
				return
			}
			answer := s.opts.said(".")
			if answer == "" {
				answer = "250 2.0.0 Ok: queued as 4Xy2Fj"
			}
			if answer[0] == '2' {
				s.mu.Lock()
				s.messages = append(s.messages, m)
				s.mu.Unlock()
			}
			if !s.answer(c, "", answer) {
				return
			}
		case verb == "QUIT":
			return
		}
	}
}

func (o *Options) said(command string) string {
	if o.Answer == nil {
		return ""
	}
	return o.Answer(command)
}

// answer writes an answer; that to a command can be another one. It reports whether the connection
// goes on.
func (s *Server) answer(c net.Conn, command, usual string) bool {
	if command != "" {
		if said := s.opts.said(command); said != "" {
			usual = said
		}
	}
	switch usual {
	case Drop:
		return false
	case Hang:
		<-s.done
		return false
	}
	_, err := io.WriteString(c, usual+"\r\n")
	return err == nil
}

func (s *Server) ehlo(c net.Conn) string {
	keywords := s.opts.Keywords
	if _, encrypted := c.(*tls.Conn); s.opts.TLS != nil && !encrypted {
		keywords = append([]string{"STARTTLS"}, keywords...)
	}
	lines := append([]string{"smarthost"}, keywords...)
	var b strings.Builder
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("250" + sep + line)
	}
	return b.String()
}

// body reads a message to its end, and undoes the dots (RFC 5321 section 4.5.2).
func body(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// Certificate returns the TLS configuration of a server that is called localhost, and those of
// clients that trust it, or do not.
func Certificate(t testing.TB) (server, trusting, strict *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		Subject:   pkix.Name{CommonName: "localhost"},
		KeyUsage:  x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost"}, &tls.Config{ServerName: "localhost"}
}
