package target

import (
	"context"

	"gadwall/bench/result"
	"gadwall/internal/dovecot"
)

// Dovecot is a server that StartDovecot has started.
type Dovecot struct {
	Target
	*dovecot.Server
}

// StartDovecot runs the Dovecot that is installed, with mdbox, zstd, and every change on the disk
// before it is acknowledged, as Gadwall has it, and with fts-xapian if that is installed. dir must
// exist. mailUser owns the mail if the caller is root; it may be empty.
func StartDovecot(ctx context.Context, dir, mailUser string) (*Dovecot, error) {
	o := dovecot.Options{Dir: dir, Location: dovecot.MDBox, LMTP: true, MailUser: mailUser,
		Extra: dovecot.MDBoxConfiguration + dovecot.ManyConnections}
	server := result.Server{Name: "dovecot", Variant: "mdbox+zstd"}
	if dovecot.XapianInstalled() {
		o.Extra += dovecot.Indexing
		server.Variant += "+xapian"
	}
	var err error
	if server.Version, err = dovecot.Version(ctx); err != nil {
		return nil, err
	}
	started, err := dovecot.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Dovecot{Server: started, Target: Target{
		Server: server, IMAP: started.IMAP, LMTP: started.LMTP, PID: started.PID, DataDir: started.MailDir(),
		UserFormat: "bench%d@example.com", Password: "any",
	}}, nil
}
