package dovecottest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gadwall/internal/dovecot"
)

// A Server is a running Dovecot.
type Server struct {
	Addr     string // host:port for IMAP without TLS
	User     string // any other name is as good: each has a mailbox of its own
	Password string

	LMTPAddr string // host:port, with the option LMTP

	*dovecot.Server
	t testing.TB
}

// An Option changes what Start starts.
type Option func(*dovecot.Options)

// LMTP adds a listener for LMTP, which delivers to any user, and makes the server write mail to the
// disk as it does in production. Without it nothing is synced, since that only takes time.
func LMTP() Option {
	return func(o *dovecot.Options) { o.LMTP, o.Fsync = true, "optimized" }
}

// Quota limits each user to so many units of 1024 octets and so many messages; 0 is no limit.
func Quota(storage, messages int64) Option {
	return func(o *dovecot.Options) { o.Extra += fmt.Sprintf(quotaConfiguration, storage, messages) }
}

// Metadata makes the server keep annotations (RFC 5464).
func Metadata() Option {
	return func(o *dovecot.Options) { o.Extra += metadataConfiguration }
}

// LikeGadwall makes the server name mailboxes as Gadwall does: with "/" between the levels, and each
// user has the same mailboxes in the beginning. It does not wait after failed logins.
func LikeGadwall() Option {
	return func(o *dovecot.Options) {
		o.Location = dovecot.SDBox
		o.Extra += namesConfiguration
	}
}

// Sharing lets users share mailboxes (RFC 4314), which other users see under "Other Users/NAME/". It
// belongs to LikeGadwall.
func Sharing() Option {
	return func(o *dovecot.Options) { o.Extra += sharingConfiguration }
}

// MDBox keeps mail in Dovecot's own format of many messages per file, compressed with zstd: the
// most compact one that it has. singleInstance moves attachments, decoded, to files of their own of
// which equal ones are kept once (mail_attachment_dir).
func MDBox(singleInstance bool) Option {
	return func(o *dovecot.Options) {
		o.Location = dovecot.MDBox
		o.Extra += dovecot.MDBoxConfiguration
		if singleInstance {
			o.Extra += attachmentConfiguration
		}
	}
}

const quotaConfiguration = `
protocol imap {
  mail_plugins = $mail_plugins quota imap_quota
}
plugin {
  quota = count:User quota
  quota_rule = *:storage=%dK:messages=%d
  quota_grace = 0
  quota_vsizes = yes
}
`

const namesConfiguration = `
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Archive {
    auto = subscribe
    special_use = \Archive
  }
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox INBOX {
    auto = subscribe
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
}
`

const sharingConfiguration = `
mail_plugins = $mail_plugins acl
protocol imap {
  mail_plugins = $mail_plugins imap_acl
}
namespace others {
  type = shared
  separator = /
  prefix = Other Users/%%u/
  location = sdbox:DIR/mail/%%u
  subscriptions = no
  list = children
}
plugin {
  acl = vfile
  acl_anyone = allow
  acl_shared_dict = file:DIR/mail/shared-mailboxes
}
`

const metadataConfiguration = `
mail_attribute_dict = file:%h/dovecot-attributes
protocol imap {
  imap_metadata = yes
}
`

const attachmentConfiguration = `
mail_attachment_dir = DIR/mail/attachments
mail_attachment_fs = sis posix
mail_attachment_min_size = 4k
`

// Start runs a Dovecot until the test ends. It skips the test if there is none, and fails it if it
// does not start.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	o := dovecot.Options{Location: dovecot.Maildir, Fsync: dovecot.FsyncNever}
	for _, option := range options {
		option(&o)
	}
	if err := dovecot.Installed(o.LMTP); err != nil {
		t.Skipf("no Dovecot to compare with: %v", err)
	}
	var err error
	// Not t.TempDir: the path of a unix socket must be short, and the server's users must get
	// there.
	if o.Dir, err = os.MkdirTemp("", "dovecot"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(o.Dir) })
	started, err := dovecot.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &Server{Addr: started.IMAP, LMTPAddr: started.LMTP, User: "user", Password: "any",
		Server: started, t: t}
}

// MaildirAppend puts messages into the user's INBOX as files, byte for byte, in the order given:
// unlike APPEND that keeps every octet, bare LF and NUL too. Call it before the first session looks
// at the mailbox.
func (s *Server) MaildirAppend(user string, messages ...[]byte) {
	s.t.Helper()
	base := filepath.Join(s.MailDir(), user)
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		if err := s.own(filepath.Join(base, sub), func(p string) error { return os.MkdirAll(p, 0o700) }); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, m := range messages {
		name := fmt.Sprintf("%d.M%06dP1.test,S=%d:2,", 1_500_000_000+i, i, len(m))
		write := func(p string) error {
			if err := os.WriteFile(p, m, 0o600); err != nil {
				return err
			}
			return os.Chtimes(p, time.Time{}, Arrival(i))
		}
		if err := s.own(filepath.Join(base, "cur", name), write); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Arrival is the internal date of message i of those that MaildirAppend appended at once. They are
// not in the order of the messages.
func Arrival(i int) time.Time {
	const spread = 30 * 24 * 60 * 60
	return time.Unix(1_500_000_000+int64(i)*1_000_003%spread, 0).UTC()
}

// own makes a file and gives it to the server's mail user.
func (s *Server) own(path string, create func(string) error) error {
	if err := create(path); err != nil {
		return err
	}
	info, err := os.Stat(s.MailDir())
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
