// Package faultnet is a network between a MongoDB client and its server that fails
// as a test decides, command by command. It imports nothing of the project, so that
// the tests of every package can use it.
//
//	driver -> Network.DialContext -> conn.Write -> Decide -> server
//	                                     Read  <-         <-
//
// The driver writes each command at once, in one OP_MSG message, and the network
// decides about it there: it passes, it never arrives, its answer is lost, or it is
// answered by an error that nobody tries again after.
package faultnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Verdict is what becomes of a command.
type Verdict int

const (
	// Pass: nothing happens to it.
	Pass Verdict = iota
	// LoseRequest: the server does not get it, and the connection breaks.
	LoseRequest
	// LoseClient: the server gets it and sees that the client is gone.
	LoseClient
	// LoseAnswer: the server does it, and the connection breaks before the client has the answer.
	LoseAnswer
	// LosePartner: as LoseAnswer, and the whole network goes down.
	LosePartner
	// Refuse: the server does not get it; the client gets an error. A commit that is refused is an
	// abort, to which a server comes by itself when its client is gone.
	Refuse
	// DoAndRefuse: the server does it, and the client gets an error.
	DoAndRefuse
	// Hang: the server does not get it, and the client waits for an answer that never comes.
	Hang
)

// Command is one command on its way to the server.
type Command struct {
	Name    string
	message []byte
}

// InSession reports whether an application sent the command. The driver's own commands, about the
// state of servers, have no session.
func (c Command) InSession() bool { return bytes.Contains(c.message, []byte("\x03lsid\x00")) }

// ErrDown is the error of a network that is down or breaks a connection.
var ErrDown = errors.New("faultnet: the network is down")

// slowError is a timeout: the driver takes it for a slow network, and does not look for another
// server before it tries again.
type slowError struct{}

func (slowError) Error() string   { return "faultnet: lost" }
func (slowError) Timeout() bool   { return true }
func (slowError) Temporary() bool { return true }

var _ net.Error = slowError{}

// RefusedCode is the code of the error that refused commands are answered with.
const RefusedCode = 13 // Unauthorized: no driver tries again

// Network is a dialer. Its fields are set before it is used.
type Network struct {
	Dialer options.ContextDialer
	// Decide is called for each command; nil passes all. Several connections may call it at once.
	Decide func(Command) Verdict
	// Slow lets LoseRequest and LoseAnswer look like a slow network: the client's wait times out,
	// at once, and the connection stays open.
	Slow bool

	mu    sync.Mutex
	down  bool
	conns map[*conn]struct{}
}

var _ options.ContextDialer = (*Network)(nil)

// Use puts a network between the client of opts and its server.
func Use(opts *options.ClientOptions, decide func(Command) Verdict) *Network {
	n := &Network{Dialer: opts.Dialer, Decide: decide}
	if n.Dialer == nil {
		n.Dialer = &net.Dialer{}
	}
	opts.SetDialer(n)
	return n
}

// DialContext implements options.ContextDialer.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, ErrDown
	}
	nc, err := n.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, network: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		n.conns = make(map[*conn]struct{})
	}
	n.conns[c] = struct{}{}
	return c, nil
}

// SetDown takes the network down, which breaks all connections, or up.
func (n *Network) SetDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	if down {
		for c := range n.conns {
			c.Conn.Close()
		}
		clear(n.conns)
	}
}

// conn is one connection over a Network.
type conn struct {
	net.Conn
	network *Network
	broken  bool
	slow    bool   // the next answer is lost
	answer  []byte // that the client gets before anything from the server
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.answer) > 0 {
		n := copy(p, c.answer)
		c.answer = c.answer[n:]
		return n, nil
	}
	if c.broken {
		return 0, ErrDown
	}
	if c.slow {
		c.slow = false
		// The answer says that the server has done it.
		if _, err := c.Conn.Read(make([]byte, 1)); err != nil {
			return 0, err
		}
		return 0, slowError{}
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *conn) Write(message []byte) (int, error) {
	verdict := Pass
	if decide := c.network.Decide; decide != nil {
		verdict = decide(Command{Name: commandName(message), message: message})
	}
	switch verdict {
	case Hang:
		return len(message), nil
	case LoseRequest:
		if c.network.Slow {
			return 0, slowError{}
		}
		c.Close()
		return 0, ErrDown
	case LoseClient:
		n, err := c.Conn.Write(message)
		c.broken = true
		c.Close()
		return n, err
	case LoseAnswer, LosePartner:
		if c.network.Slow && verdict == LoseAnswer {
			c.slow = true
			break
		}
		if err := c.roundTrip(message); err != nil {
			return 0, err
		}
		c.broken = true
		c.Close()
		if verdict == LosePartner {
			c.network.SetDown(true)
		}
		return len(message), nil
	case Refuse:
		if commandName(message) == commit {
			abort, err := abortInstead(message)
			if err == nil {
				err = c.roundTrip(abort)
			}
			if err != nil {
				return 0, err
			}
		}
		return len(message), c.refuse(message)
	case DoAndRefuse:
		if err := c.roundTrip(message); err != nil {
			return 0, err
		}
		return len(message), c.refuse(message)
	}
	return c.Conn.Write(message)
}

// roundTrip sends a message and reads the whole answer: then the server has done it.
func (c *conn) roundTrip(message []byte) error {
	if _, err := c.Conn.Write(message); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.Conn, int64(binary.LittleEndian.Uint32(size[:]))-int64(len(size)))
	return err
}

// The parts of an OP_MSG message with one section, as in MongoDB's wire protocol.
const (
	opMsg      = 2013
	bodyAt     = 16 + 4 + 1 // header, flags, kind of section
	nameAt     = bodyAt + 4 + 1
	requestID  = 4
	responseTo = 8
	opCode     = 12

	commit = "commitTransaction"
)

// commandName is the name of the command in a message, empty if it is none.
func commandName(message []byte) string {
	if len(message) < nameAt || binary.LittleEndian.Uint32(message[opCode:]) != opMsg {
		return ""
	}
	name, _, found := bytes.Cut(message[nameAt:], []byte{0})
	if !found {
		return ""
	}
	return string(name)
}

// abortInstead makes an abort of a commit.
func abortInstead(message []byte) ([]byte, error) {
	var body bson.D
	if err := bson.Unmarshal(message[bodyAt:], &body); err != nil {
		return nil, err
	}
	body[0].Key = "abortTransaction"
	return newMessage(message[:bodyAt], body)
}

// refuse leaves an error for the client to read.
func (c *conn) refuse(message []byte) error {
	head := make([]byte, bodyAt)
	copy(head[responseTo:], message[requestID:requestID+4])
	binary.LittleEndian.PutUint32(head[opCode:], opMsg)
	answer, err := newMessage(head, bson.D{
		{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(RefusedCode)},
		{Key: "errmsg", Value: "refused by the test"},
	})
	c.answer = answer
	return err
}

// newMessage joins the head of a message and a body.
func newMessage(head []byte, body bson.D) ([]byte, error) {
	doc, err := bson.Marshal(body)
	if err != nil {
		return nil, err
	}
	message := append(bytes.Clone(head), doc...)
	binary.LittleEndian.PutUint32(message, uint32(len(message)))
	return message, nil
}
