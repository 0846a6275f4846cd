package imap

import (
	"context"
	"strings"

	"gadwall/imap/wire"
)

// handleID answers ID (RFC 2971). What the client says of itself is logged.
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
	if len(fields) > 0 {
		c.log.Info("imap: client", "id", strings.Join(fields, " "))
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
		if len(name) > 30 || len(value) > 1024 { // RFC 2971 section 3.3
			return wire.Errorf("ID field is too long")
		}
		fields = append(fields, name+"="+value)
		if len(fields) > maxIDFields {
			return wire.Errorf("ID has more than %d fields", maxIDFields)
		}
		return nil
	})
	return fields, err
}
