package costs

import (
	"encoding/base64"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"testing"

	"gadwall/ingest"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/smarthost"
	"gadwall/internal/smarthosttest"
	"gadwall/internal/storetest"
	"gadwall/internal/submission"
)

// submitter is a client of submission that is logged in.
type submitter struct {
	t *testing.T
	c *textproto.Conn
}

func newSubmitter(t *testing.T, st *storetest.Store) *submitter {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	host := smarthosttest.New(t, smarthosttest.Options{})
	service, err := submission.New(submission.Options{
		Smarthost: smarthost.New(smarthost.Options{Address: host.Addr, Hostname: "mail.example.com",
			Mode: smarthost.Plain}),
		Hostname: "mail.example.com", MaxMessageSize: 1 << 20, Logger: log,
		Limit: mailstore.Sending{Messages: 100, Recipients: 100}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close(t.Context()) })
	srv, err := ingest.New(ingest.Options{Submission: service, Hostname: "mail.example.com", Logger: log,
		Authenticator: sasl.New(sasl.Options{Accounts: accounts}),
		PlaintextFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", serve(t, srv, nil))
	if err != nil {
		t.Fatal(err)
	}
	s := &submitter{t, textproto.NewConn(conn)}
	t.Cleanup(func() { s.c.Close() })
	s.read(220)
	s.command(250, "EHLO client.example")
	return s
}

func (s *submitter) read(code int) {
	s.t.Helper()
	if _, _, err := s.c.ReadResponse(code); err != nil {
		s.t.Fatal(err)
	}
}

func (s *submitter) command(code int, line string) {
	s.t.Helper()
	if err := s.c.PrintfLine("%s", line); err != nil {
		s.t.Fatal(err)
	}
	s.read(code)
}

func (s *submitter) login() {
	s.t.Helper()
	s.command(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+storetest.Password)))
}

// submit sends a message of the user.
func (s *submitter) submit(id string) {
	s.t.Helper()
	s.command(250, "MAIL FROM:<"+user+">")
	s.command(250, "RCPT TO:<x@example.net>")
	s.command(354, "DATA")
	s.command(250, sentMail(id)+".")
}

// sentMail is a message of the user.
func sentMail(id string) string {
	return "From: " + user + "\r\nTo: x@example.net\r\nMessage-ID: <" + id + ">\r\n" +
		"Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\ntext\r\n"
}
