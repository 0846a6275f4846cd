package imap

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync"

	"gadwall/imap/wire"
)

// mayBeLong lets a client that is not logged in send a long ID, or a long token with AUTHENTICATE.
func (c *conn) mayBeLong(start []byte) bool {
	_, rest, _ := bytes.Cut(start, []byte(" "))
	name, _, _ := bytes.Cut(rest[:min(len(rest), len("AUTHENTICATE "))], []byte(" "))
	if !bytes.EqualFold(name, []byte("ID")) && !bytes.EqualFold(name, []byte("AUTHENTICATE")) {
		return false
	}
	return c.takeLongLine()
}

// takeLongLine reports whether the client may send a long line, until endLongLine.
func (c *conn) takeLongLine() bool {
	if c.countedLine {
		return true
	}
	if c.countedLine = c.srv.longLines.Add(1) <= maxLongLines; !c.countedLine {
		c.srv.longLines.Add(-1)
	}
	return c.countedLine
}

// endLongLine gives back what takeLongLine took.
func (c *conn) endLongLine() {
	if c.countedLine {
		c.srv.longLines.Add(-1)
		c.countedLine = false
	}
}

// handleID answers ID (RFC 2971). It logs and counts how the client
// describes itself, once.
func (c *conn) handleID(_ context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	fields, err := parseID(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if len(fields) > 0 && !c.knowsID {
		id := strings.Join(fields, " ")
		c.log.Info("imap: client", "id", id[:min(len(id), maxIDLogged)])
		c.srv.clients.add(clientName(fields))
		c.clientID = programOf(fields)
		c.session.SetClient(c.clientID)
		c.knowsID = true
	}
	c.enc.Untagged().Raw(`ID ("name" "Gadwall"`)
	if v := c.srv.opts.Version; v != "" {
		c.enc.Raw(` "version" `).String(v)
	}
	c.enc.Byte(')').CRLF()
	return nil
}

// parseID reads NIL or a list of field-value pairs.
func parseID(dec *wire.Decoder) (fields []string, err error) {
	if dec.Peek() != '(' {
		s, ok, err := dec.NString()
		if err == nil && ok {
			return nil, wire.Errorf("Expected NIL or a list, not %q", s)
		}
		return nil, err
	}
	err = dec.List(func() error {
		name, err := dec.String()
		if err != nil {
			return err
		}
		if err := dec.SP(); err != nil {
			return err
		}
		value, _, err := dec.NString()
		if err != nil {
			return err
		}
		if len(name) > maxIDName || len(value) > maxIDValue {
			return wire.Errorf("an ID field has at most %d octets, its value %d", maxIDName, maxIDValue)
		}
		fields = append(fields, name+"="+value)
		if len(fields) > maxIDFields {
			return wire.Errorf("ID has more than %d fields", maxIDFields)
		}
		return nil
	})
	return fields, err
}

// clientName returns the name of the program in the fields of ID, in a form fit for a metric.
func clientName(fields []string) string {
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		if !strings.EqualFold(key, "name") {
			continue
		}
		name := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, value)
		if name = strings.TrimSpace(name); name != "" && len(name) <= maxClientName {
			return name
		}
	}
	return otherClients
}

// programOf returns the name and version of the program in the fields of ID; "" if there is no name.
func programOf(fields []string) string {
	name := clientName(fields)
	if name == otherClients {
		return ""
	}
	for _, f := range fields {
		if key, value, _ := strings.Cut(f, "="); strings.EqualFold(key, "version") && len(value) <= maxClientName {
			return strings.ToValidUTF8(name+" "+value, "?")
		}
	}
	return name
}

// otherClients stands for clients without a name, and for those beyond maxClientNames.
const otherClients = "other"

// clientCounts counts the connections of each client program. Clients choose the names, so
// there are at most maxClientNames of them.
type clientCounts struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (c *clientCounts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.counts[name]; !known && len(c.counts) >= maxClientNames {
		name = otherClients
	}
	if c.counts == nil {
		c.counts = make(map[string]uint64)
	}
	c.counts[name]++
}

// Clients returns how many connections each client program has had, by the name that it told
// with ID.
func (s *Server) Clients() map[string]uint64 {
	s.clients.mu.Lock()
	defer s.clients.mu.Unlock()
	return maps.Clone(s.clients.counts)
}
