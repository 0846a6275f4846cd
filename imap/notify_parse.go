package imap

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
)

// notifyEvents is a set of events (RFC 5465 section 5).
type notifyEvents uint8

const (
	eventMessageNew notifyEvents = 1 << iota
	eventMessageExpunge
	eventFlagChange
	eventMailboxName
	eventSubscription
	eventMailboxMetadata
	eventServerMetadata

	messageEvents  = eventMessageNew | eventMessageExpunge | eventFlagChange
	metadataEvents = eventMailboxMetadata | eventServerMetadata
)

// has reports whether one of the events is in the set.
func (e notifyEvents) has(events notifyEvents) bool { return e&events != 0 }

// eventName is what clients call an event.
type eventName struct {
	name  string
	event notifyEvents
}

// eventNames are the events that the server supports, in the order in which BADEVENT lists them.
var eventNames = []eventName{
	{"MessageNew", eventMessageNew}, {"MessageExpunge", eventMessageExpunge}, {"FlagChange", eventFlagChange},
	{"MailboxName", eventMailboxName}, {"SubscriptionChange", eventSubscription},
	{"MailboxMetadataChange", eventMailboxMetadata}, {"ServerMetadataChange", eventServerMetadata},
}

// eventAnnotationChange is a message event that no extension of this server has a use for.
const eventAnnotationChange = "ANNOTATIONCHANGE"

// errBadEvent refuses an event that the server does not support (RFC 5465 section 3.1).
var errBadEvent = func() error {
	var names []string
	for _, e := range eventNames {
		names = append(names, e.name)
	}
	code := "BADEVENT (" + strings.Join(names, " ") + ")"
	return refuse(imap.ResponseCode(code), "An event is not supported")
}()

// notifyRequest is what one NOTIFY asks for. Without groups and events in the selected mailbox it
// is NOTIFY NONE.
type notifyRequest struct {
	status   bool // tell the status of all mailboxes first
	selected selectedEvents
	groups   []eventGroup
}

// selectedEvents are the events of the selected mailbox, whichever that is: all message events but
// perhaps flag changes, or none, since RFC 5465 section 5 wants the first two together.
type selectedEvents struct {
	events  notifyEvents
	delayed bool          // SELECTED-DELAYED: messages go only while a command allows it
	fetch   *fetchRequest // of new messages; nil: nothing
}

// eventGroup says of which mailboxes to tell which events. Those of a group without any are told
// nothing that a later group says.
type eventGroup struct {
	mailboxes searchSource
	events    notifyEvents
}

// parseNotify reads the arguments of NOTIFY (RFC 5465 section 8).
func parseNotify(dec *wire.Decoder) (*notifyRequest, error) {
	if err := dec.SP(); err != nil {
		return nil, err
	}
	word, err := dec.Keyword()
	if err != nil {
		return nil, err
	}
	req := &notifyRequest{}
	switch word {
	case "NONE":
		return req, dec.CRLF()
	case "SET":
	default:
		return nil, wire.Errorf("expected SET or NONE")
	}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	if dec.Peek() != '(' {
		if word, err = dec.Keyword(); err != nil {
			return nil, err
		}
		if req.status = word == "STATUS"; !req.status {
			return nil, wire.Errorf("expected STATUS or a group of events")
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
	p := notifyParser{dec: dec, req: req}
	for {
		if err := p.group(); err != nil {
			return nil, err
		}
		if dec.AtEnd() {
			break
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
	if err := dec.CRLF(); err != nil {
		return nil, err
	}
	if p.unsupported {
		return nil, errBadEvent
	}
	return req, nil
}

// notifyParser reads groups of events.
type notifyParser struct {
	dec         *wire.Decoder
	req         *notifyRequest
	groups      int
	names       int
	selected    bool // there was a group for the selected mailbox
	unsupported bool // there was an event that is not supported
}

// group reads one group: (mailboxes events).
func (p *notifyParser) group() error {
	if p.groups++; p.groups > maxNotifyGroups {
		return wire.Limit("more than %d groups of events", maxNotifyGroups)
	}
	if err := p.dec.Expect('('); err != nil {
		return err
	}
	if err := p.dec.Enter(); err != nil {
		return err
	}
	defer p.dec.Leave()
	kind, err := p.dec.Keyword()
	if err != nil {
		return err
	}
	group := eventGroup{mailboxes: searchSource{kind: kind}}
	selected := false
	switch kind {
	case "SELECTED", "SELECTED-DELAYED":
		if p.selected {
			return wire.Errorf("the selected mailbox is there twice") // RFC 5465 section 6.1
		}
		p.selected, selected = true, true
		p.req.selected.delayed = kind == "SELECTED-DELAYED"
	case "INBOXES", "PERSONAL", "SUBSCRIBED":
	case "SUBTREE", "MAILBOXES":
		if group.mailboxes.names, err = p.mailboxes(); err != nil {
			return err
		}
	default:
		return wire.Errorf("unknown mailboxes %s", clip(kind))
	}
	if err := p.dec.SP(); err != nil {
		return err
	}
	events, err := p.events(selected)
	if err != nil {
		return err
	}
	if selected {
		p.req.selected.events = events
	} else {
		group.events = events
		p.req.groups = append(p.req.groups, group)
	}
	return p.dec.Expect(')')
}

// mailboxes reads " name" or " (name ...)", without names that no mailbox can have: the server
// ignores names without a mailbox (RFC 5465 section 3.1).
func (p *notifyParser) mailboxes() (names mailboxNames, err error) {
	if err := p.dec.SP(); err != nil {
		return nil, err
	}
	names = make(mailboxNames)
	read := func() error {
		if p.names++; p.names > maxNotifyNames {
			return wire.Limit("more than %d names of mailboxes", maxNotifyNames)
		}
		name, err := p.dec.Mailbox()
		if errors.Is(err, wire.ErrMailboxName) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err = mailstore.NormalizePath(strings.TrimSuffix(name, separator))
		if err == nil {
			names.add(name)
		}
		return nil
	}
	if p.dec.Peek() != '(' {
		err = read()
		return names, err
	}
	before := p.names
	if err := p.dec.List(read); err != nil {
		return nil, err
	}
	if p.names == before {
		return nil, wire.Errorf("no mailbox names")
	}
	return names, nil
}

// events reads "NONE" or "(event ...)".
func (p *notifyParser) events(selected bool) (events notifyEvents, err error) {
	if p.dec.Peek() != '(' {
		word, err := p.dec.Keyword()
		if err == nil && word != "NONE" {
			err = wire.Errorf("expected NONE or a list of events")
		}
		return 0, err
	}
	n, annotations := 0, false
	err = p.dec.List(func() error {
		n++
		name, err := p.dec.Keyword()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(eventNames, func(e eventName) bool { return strings.EqualFold(e.name, name) })
		if i < 0 {
			p.unsupported = true
			annotations = annotations || name == eventAnnotationChange
			return nil
		}
		event := eventNames[i].event
		if selected && !messageEvents.has(event) {
			return wire.Errorf("%s is no event of the selected mailbox", name) // RFC 5465 section 6.1
		}
		events |= event
		if event == eventMessageNew && p.dec.AcceptText(" (") {
			return p.attributes(selected)
		}
		return nil
	})
	if err == nil && n == 0 {
		err = wire.Errorf("no events")
	}
	// RFC 5465 section 5: those two together, and with all other message events.
	both := events&messageEvents&^eventFlagChange == eventMessageNew|eventMessageExpunge
	if err == nil && (annotations || events.has(messageEvents)) && !both {
		err = wire.Errorf("MessageNew and MessageExpunge belong together, and to other events of messages")
	}
	return events, err
}

// attributes reads what to fetch of new messages, behind the parenthesis.
func (p *notifyParser) attributes(selected bool) error {
	if !selected {
		return wire.Errorf("attributes are of new messages of the selected mailbox alone")
	}
	req, err := parseAttributes(p.dec)
	p.req.selected.fetch = req
	return err
}

// parseAttributes reads "fetch-att ...)": a list whose parenthesis was read (RFC 5465 section 8).
func parseAttributes(dec *wire.Decoder) (*fetchRequest, error) {
	if err := dec.Enter(); err != nil {
		return nil, err
	}
	defer dec.Leave()
	req := &fetchRequest{}
	for n := 1; ; n++ {
		if n > maxFetchItems {
			return nil, wire.Limit("more than %d attributes", maxFetchItems)
		}
		if err := req.parseItem(dec, false); err != nil {
			return nil, err
		}
		if dec.Accept(')') {
			return req, nil
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
}
