package dovecot

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"gadwall/internal/listen"
)

// Values of Options.Fsync. Dovecot's own default is "optimized", which syncs deliveries, but no
// changes of flags.
const (
	FsyncNever  = "never"
	FsyncAlways = "always"
)

// MDBox is a location of mail: Dovecot's own format of many messages per file, compressed with zstd
// by MDBoxConfiguration. It is the most compact one that Dovecot has.
const MDBox = "mdbox:DIR/mail/%u"

// MDBoxConfiguration belongs to MDBox.
const MDBoxConfiguration = `
mail_plugins = $mail_plugins zlib
plugin {
  zlib_save = zstd
}
`

// Maildir is a location of mail: one file for each message.
const Maildir = "maildir:DIR/mail/%u"

// SDBox is a location of mail: Dovecot's own format of one file for each message. It forbids fewer
// names of mailboxes than Maildir.
const SDBox = "sdbox:DIR/mail/%u"

// ManyConnections makes room for more connections than Debian's configuration has, and lets one
// process take many logins: the documentation's high-performance mode.
const ManyConnections = `
mail_max_userip_connections = 0
default_client_limit = 20000
default_process_limit = 10000
default_vsz_limit = 1G
service imap-login {
  service_count = 0
  process_min_avail = CORES
  client_limit = 10000
}
service imap {
  process_limit = 10000
}
`

// Indexing makes full-text indexes of new mail with fts-xapian, if XapianInstalled.
const Indexing = `
mail_plugins = $mail_plugins fts fts_xapian
plugin {
  fts = xapian
  fts_xapian = partial=3 full=20
  fts_autoindex = yes
  fts_enforced = yes
}
service indexer-worker {
  process_limit = CORES
}
`

const configuration = `
base_dir = DIR/run
state_dir = DIR/run
log_path = DIR/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
default_internal_user = INTERNAL
default_internal_group = GROUP
default_login_user = LOGIN
first_valid_uid = 0
mail_fsync = FSYNC
mail_location = LOCATION
EXTRA
service imap-login {
  chroot =
  process_min_avail = 0
  inet_listener imap {
    port = PORT
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=UID gid=GID home=DIR/mail/%u.home
}
`

// Any domain is as good as none: users are known by their local part.
const lmtpConfiguration = `
protocols = imap lmtp
auth_username_format = %n
lmtp_save_to_detail_mailbox = no
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = PORT
  }
}
protocol lmtp {
  auth_username_format = %n
}
`

// identities are those that the server runs with. It wants three different ones and no root; a
// caller that is an ordinary user has one.
type identities struct {
	internal, group, login string
	uid, gid               string
}

func identify(mailUser string) (id identities, err error) {
	id = identities{internal: "dovecot", login: "dovenull", uid: "65534", gid: "65534"}
	var of *user.User
	switch {
	case os.Getuid() != 0:
		if of, err = user.Current(); err != nil {
			return id, err
		}
		id.internal, id.login = of.Username, of.Username
	case mailUser != "":
		if of, err = user.Lookup(mailUser); err != nil {
			return id, err
		}
	}
	if of != nil {
		id.uid, id.gid = of.Uid, of.Gid
	}
	internal, err := user.Lookup(id.internal)
	if err != nil {
		return id, err
	}
	group, err := user.LookupGroupId(internal.Gid)
	if err != nil {
		return id, err
	}
	id.group = group.Name
	return id, nil
}

// prepare makes the directories and the configuration.
func (s *Server) prepare(o Options) error {
	var err error
	if s.IMAP, err = listen.SpareAddr(); err != nil {
		return err
	}
	id, err := identify(o.MailUser)
	if err != nil {
		return err
	}
	if err := os.Chmod(o.Dir, 0o755); err != nil {
		return err
	}
	for _, sub := range []string{"run", "mail"} {
		if err := os.Mkdir(filepath.Join(o.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	uid, err := strconv.Atoi(id.uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(id.gid)
	if err != nil {
		return err
	}
	if err := os.Chown(s.MailDir(), uid, gid); err != nil {
		return err
	}
	conf := configuration
	if o.LMTP {
		if s.LMTP, err = listen.SpareAddr(); err != nil {
			return err
		}
		conf += strings.ReplaceAll(lmtpConfiguration, "PORT", port(s.LMTP))
	}
	// A replacer does not look at what it has put in, so the caller's parts go first.
	conf = strings.NewReplacer("LOCATION", o.Location, "EXTRA", o.Extra).Replace(conf)
	conf = strings.NewReplacer(
		"DIR", o.Dir, "PORT", port(s.IMAP), "FSYNC", o.Fsync, "CORES", strconv.Itoa(cores),
		"INTERNAL", id.internal, "GROUP", id.group, "LOGIN", id.login, "UID", id.uid, "GID", id.gid,
	).Replace(conf)
	return os.WriteFile(s.file("conf"), []byte(conf), 0o644)
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
