package target

import (
	"context"
	"errors"

	"gadwall/bench/result"
	"gadwall/internal/dovecot"
)

// Dovecot is a server that StartDovecot has started.
type Dovecot struct {
	Target
	*dovecot.Server
}

// DovecotOptions say how to run a Dovecot.
type DovecotOptions struct {
	// MailUser owns the mail if the caller is root; empty is nobody.
	MailUser string
	// FullText indexes new mail with fts-xapian, which must be installed.
	FullText bool
}

// StartDovecot runs the Dovecot that is installed, with mdbox, zstd, and every change on the disk
// before it is acknowledged, as Gadwall has it. dir must exist.
func StartDovecot(ctx context.Context, dir string, how DovecotOptions) (*Dovecot, error) {
	o := dovecot.Options{Dir: dir, Location: dovecot.MDBox, LMTP: true, MailUser: how.MailUser,
		Extra: dovecot.MDBoxConfiguration + dovecot.ManyConnections}
	server := result.Server{Name: "dovecot", Variant: "mdbox+zstd"}
	if how.FullText {
		if !dovecot.XapianInstalled() {
			return nil, errors.New("no fts-xapian is installed (Debian: apt-get install dovecot-fts-xapian)")
		}
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
