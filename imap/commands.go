package imap

import (
	"context"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
)

// handler runs a command: it parses its arguments up to CRLF, acts, and writes
// untagged responses. See the package comment for what its error means.
type handler func(c *conn, ctx context.Context, tag string, dec *wire.Decoder) error

// syncMode says what of other sessions' changes is told before the tagged
// answer of a command.
type syncMode uint8

const (
	syncAll       syncMode = iota // everything there is an event about
	syncNoExpunge                 // the same without EXPUNGE (RFC 3501 section 7.4.1)
	syncForced                    // everything; asks the database even without an event
	syncNone                      // nothing
)

// states in which a command is allowed.
type states uint8

const (
	inNotAuth states = 1 << iota
	inAuth
	inSelected
	inAny     = inNotAuth | inAuth | inSelected
	inSession = inAuth | inSelected
)

type command struct {
	states states
	sync   syncMode
	run    handler
}

// commands are looked up by upper-case name; those after UID are "UID X".
// The map is filled by init, for the handlers refer to it through capabilities.
var commands = map[string]command{
	"CAPABILITY":   {inAny, syncAll, (*conn).handleCapability},
	"NOOP":         {inAny, syncForced, (*conn).handleNoop},
	"LOGOUT":       {inAny, syncNone, (*conn).handleLogout},
	"ID":           {inAny, syncAll, (*conn).handleID},
	"STARTTLS":     {inNotAuth, syncNone, (*conn).handleStartTLS},
	"AUTHENTICATE": {inNotAuth, syncNone, (*conn).handleAuthenticate},
	"LOGIN":        {inNotAuth, syncNone, (*conn).handleLogin},

	"ENABLE":      {inSession, syncAll, (*conn).handleEnable},
	"SELECT":      {inSession, syncNone, selectHandler(false)},
	"EXAMINE":     {inSession, syncNone, selectHandler(true)},
	"CREATE":      {inSession, syncAll, (*conn).handleCreate},
	"DELETE":      {inSession, syncAll, (*conn).handleDelete},
	"RENAME":      {inSession, syncAll, (*conn).handleRename},
	"SUBSCRIBE":   {inSession, syncAll, subscribeHandler(true)},
	"UNSUBSCRIBE": {inSession, syncAll, subscribeHandler(false)},
	"LIST":        {inSession, syncAll, (*conn).handleList},
	"LSUB":        {inSession, syncAll, (*conn).handleLsub},
	"NAMESPACE":   {inSession, syncAll, (*conn).handleNamespace},
	"STATUS":      {inSession, syncAll, (*conn).handleStatus},
	"APPEND":      {inSession, syncAll, (*conn).handleAppend},
	"IDLE":        {inSession, syncAll, (*conn).handleIdle},

	"GETQUOTA":     {inSession, syncAll, (*conn).handleGetQuota},
	"GETQUOTAROOT": {inSession, syncAll, (*conn).handleGetQuotaRoot},
	"SETQUOTA":     {inSession, syncAll, (*conn).handleSetQuota},

	"CHECK":    {inSelected, syncForced, (*conn).handleNoop},
	"CLOSE":    {inSelected, syncNone, (*conn).handleClose},
	"UNSELECT": {inSelected, syncNone, (*conn).handleUnselect},
	"EXPUNGE":  {inSelected, syncAll, expungeHandler(false)},
	"FETCH":    {inSelected, syncNoExpunge, numbered((*conn).handleFetch, false)},
	"SEARCH":   {inSelected, syncNoExpunge, numbered((*conn).handleSearch, false)},
	"STORE":    {inSelected, syncNoExpunge, numbered((*conn).handleStore, false)},
	"COPY":     {inSelected, syncAll, copyHandler(false, false)},
	"MOVE":     {inSelected, syncAll, copyHandler(false, true)},

	"UID EXPUNGE": {inSelected, syncAll, expungeHandler(true)},
	"UID FETCH":   {inSelected, syncAll, numbered((*conn).handleFetch, true)},
	"UID SEARCH":  {inSelected, syncAll, numbered((*conn).handleSearch, true)},
	"UID STORE":   {inSelected, syncAll, numbered((*conn).handleStore, true)},
	"UID COPY":    {inSelected, syncAll, copyHandler(true, false)},
	"UID MOVE":    {inSelected, syncAll, copyHandler(true, true)},
}

// numbered adapts handlers of commands that exist with and without UID.
func numbered(run func(*conn, context.Context, string, bool, *wire.Decoder) error, uid bool) handler {
	return func(c *conn, ctx context.Context, tag string, dec *wire.Decoder) error {
		return run(c, ctx, tag, uid, dec)
	}
}

// parseName reads the name of the command and looks it up.
func (c *conn) parseName() (string, command, error) {
	none := command{sync: syncNone}
	if err := c.dec.SP(); err != nil {
		return "", none, err
	}
	name, err := c.dec.Keyword()
	if err != nil {
		return "", none, err
	}
	if name == "UID" {
		if err := c.dec.SP(); err != nil {
			return name, none, err
		}
		sub, err := c.dec.Keyword()
		if err != nil {
			return name, none, err
		}
		name += " " + sub
	}
	cmd, ok := commands[name]
	if !ok {
		return "", none, wire.Errorf("Unknown command")
	}
	if cmd.states&c.inState() == 0 {
		return name, none, wire.Errorf("not allowed in this state")
	}
	return name, cmd, nil
}

func (c *conn) inState() states {
	switch c.state {
	case imap.ConnStateAuthenticated:
		return inAuth
	case imap.ConnStateSelected:
		return inSelected
	}
	return inNotAuth
}

// noArguments reads the end of a command that has none.
func noArguments(dec *wire.Decoder) error { return dec.CRLF() }

// handleNoop answers NOOP and CHECK: what there is to tell is told by sync.
func (c *conn) handleNoop(_ context.Context, _ string, dec *wire.Decoder) error {
	return noArguments(dec)
}

func (c *conn) handleLogout(_ context.Context, _ string, dec *wire.Decoder) error {
	if err := noArguments(dec); err != nil {
		return err
	}
	c.bye("", "Logging out")
	c.state = imap.ConnStateLogout
	return nil
}

func (c *conn) handleCapability(_ context.Context, _ string, dec *wire.Decoder) error {
	if err := noArguments(dec); err != nil {
		return err
	}
	c.enc.Untagged().Raw("CAPABILITY ").Raw(c.capabilities()).CRLF()
	return nil
}

// handleID answers ID (RFC 2971). What the client says of itself is logged.
func (c *conn) handleID(_ context.Context, _ string, dec *wire.Decoder) error {
	if err := dec.SP(); err != nil {
		return err
	}
	fields, err := parseID(dec)
	if err != nil {
		return err
	}
	if err := dec.CRLF(); err != nil {
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

// handleNamespace answers NAMESPACE (RFC 2342): one personal namespace.
func (c *conn) handleNamespace(_ context.Context, _ string, dec *wire.Decoder) error {
	if err := noArguments(dec); err != nil {
		return err
	}
	c.enc.Untagged().Raw(`NAMESPACE (("" "/")) NIL NIL`).CRLF()
	return nil
}

// handleEnable answers ENABLE (RFC 5161). What is unknown is ignored.
func (c *conn) handleEnable(_ context.Context, _ string, dec *wire.Decoder) error {
	enabled := ""
	for first := true; first || !dec.AtEnd(); first = false {
		if err := dec.SP(); err != nil {
			return err
		}
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		if name == "CONDSTORE" && !strings.Contains(enabled, name) {
			enabled += " " + name
		}
	}
	if err := dec.CRLF(); err != nil {
		return err
	}
	if enabled != "" {
		c.enableCondstore()
	}
	c.enc.Untagged().Raw("ENABLED").Raw(enabled).CRLF()
	return nil
}
