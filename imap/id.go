package imap

import (
	"bytes"
	"context"
	"strings"

	"gadwall/imap/wire"
)

// mayBeLong lets a client that is not logged in send a long ID.
func (c *conn) mayBeLong(start []byte) bool {
	_, rest, _ := bytes.Cut(start, []byte(" "))
	if len(rest) < 3 || !bytes.EqualFold(rest[:3], []byte("ID ")) {
		return false
	}
	if c.countedLine = c.srv.longLines.Add(1) <= maxLongLines; !c.countedLine {
		c.srv.longLines.Add(-1)
	}
	return c.countedLine
}

// endLongLine gives back what mayBeLong took.
func (c *conn) endLongLine() {
	if c.countedLine {
		c.srv.longLines.Add(-1)
		c.countedLine = false
	}
}

// handleID answers ID (RFC 2971). It logs how the client describes itself, once.
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
	if id := strings.Join(fields, " "); id != "" && !c.knowsID {
		c.log.Info("imap: client", "id", id[:min(len(id), maxIDLogged)])
		c.knowsID = true
	}
	c.enc.Untagged().Raw(`ID ("name" "Gadwall")`).CRLF()
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
