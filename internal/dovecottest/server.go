package dovecottest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Where Debian installs the server's master process, and its LMTP server.
const (
	binary     = "/usr/sbin/dovecot"
	lmtpBinary = "/usr/lib/dovecot/lmtp"
)

// startTimeout is how long the server may take to answer, endTimeout to end.
const (
	startTimeout = 20 * time.Second
	endTimeout   = 10 * time.Second
)

// A Server is a running Dovecot.
type Server struct {
	Addr     string // host:port for IMAP without TLS
	User     string // any other name is as good: each has a mailbox of its own
	Password string

	LMTPAddr string // host:port, with the option LMTP

	dir string
	t   testing.TB
}

// An Option changes what Start starts.
type Option func(*setup)

type setup struct {
	lmtp     bool
	location string // mail_location; DIR and %u are replaced
	extra    string // further lines of the configuration
}

// LMTP adds a listener for LMTP, which delivers to any user, and makes the server write mail to the
// disk as it does in production. Without it nothing is synced, since that only takes time.
func LMTP() Option { return func(o *setup) { o.lmtp = true } }

// Quota limits each user to so many units of 1024 octets and so many messages; 0 is no limit.
func Quota(storage, messages int64) Option {
	return func(o *setup) { o.extra += fmt.Sprintf(quotaConfiguration, storage, messages) }
}

// MDBox keeps mail in Dovecot's own format of many messages per file, compressed with zstd: the
// most compact one that it has. singleInstance moves attachments, decoded, to files of their own of
// which equal ones are kept once (mail_attachment_dir).
func MDBox(singleInstance bool) Option {
	return func(o *setup) {
		o.location = "mdbox:DIR/mail/%u"
		o.extra = mdboxConfiguration
		if singleInstance {
			o.extra += attachmentConfiguration
		}
	}
}

// Start runs a Dovecot until the test ends. It skips the test if there is none, and fails it if it
// does not start.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("no Dovecot to compare with: %v (Debian: apt-get install dovecot-imapd)", err)
	}
	s := &Server{User: "user", Password: "any", t: t}
	var err error
	// Not t.TempDir: the path of a unix socket must be short, and the server's users must get
	// there.
	if s.dir, err = os.MkdirTemp("", "dovecot"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	o := setup{location: "maildir:DIR/mail/%u"}
	for _, option := range options {
		option(&o)
	}
	if o.lmtp {
		if _, err := os.Stat(lmtpBinary); err != nil {
			t.Skipf("no Dovecot with LMTP: %v (Debian: apt-get install dovecot-lmtpd)", err)
		}
	}
	if err := s.prepare(o); err != nil {
		t.Fatalf("preparing Dovecot: %v", err)
	}
	if err := s.run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		t.Fatalf("starting Dovecot: %v\n%s", err, log)
	}
	return s
}

// prepare makes the directories and the configuration.
func (s *Server) prepare(o setup) error {
	port, lmtpPort, err := freePorts()
	if err != nil {
		return err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))

	// Dovecot wants three different identities and no root. A test that runs as an ordinary user
	// has one.
	internal, login, uid, gid := "dovecot", "dovenull", 65534, 65534
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return err
		}
		internal, login, uid, gid = me.Username, me.Username, os.Getuid(), os.Getgid()
	}
	group, err := groupOf(internal)
	if err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	for _, sub := range []string{"run", "mail"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(filepath.Join(s.dir, "mail"), uid, gid); err != nil {
		return err
	}
	conf := strings.NewReplacer(
		"LOCATION", strings.ReplaceAll(o.location, "DIR", s.dir), "EXTRA",
		strings.ReplaceAll(o.extra, "DIR", s.dir), "DIR", s.dir, "PORT", strconv.Itoa(port),
		"INTERNAL", internal, "GROUP", group, "LOGIN", login,
		"UID", strconv.Itoa(uid), "GID", strconv.Itoa(gid),
	).Replace(configuration)
	if o.lmtp {
		s.LMTPAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(lmtpPort))
		conf += strings.ReplaceAll(lmtpConfiguration, "PORT", strconv.Itoa(lmtpPort))
	} else {
		conf += "mail_fsync = never\n"
	}
	return os.WriteFile(filepath.Join(s.dir, "conf"), []byte(conf), 0o644)
}

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

const mdboxConfiguration = `
mail_plugins = zlib
plugin {
  zlib_save = zstd
}
`

const attachmentConfiguration = `
mail_attachment_dir = DIR/mail/attachments
mail_attachment_fs = sis posix
mail_attachment_min_size = 4k
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

func groupOf(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

// freePorts are two ports that are free at this moment.
func freePorts() (a, b int, err error) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer second.Close()
	return first.Addr().(*net.TCPAddr).Port, second.Addr().(*net.TCPAddr).Port, nil
}

// run starts the server, waits until it greets, and arranges for its end.
func (s *Server) run() error {
	cmd := exec.Command(binary, "-F", "-c", filepath.Join(s.dir, "conf"))
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(endTimeout):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := s.greeted(ctx)
		if err == nil {
			return nil
		}
		select {
		case exit := <-ended:
			ended <- exit
			return fmt.Errorf("it ended: %w", exit)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) greeted(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// MailDir is the directory that holds the mail of all users.
func (s *Server) MailDir() string { return filepath.Join(s.dir, "mail") }

// Log returns what the server has logged.
func (s *Server) Log() string {
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(log)
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
		write := func(p string) error { return os.WriteFile(p, m, 0o600) }
		if err := s.own(filepath.Join(base, "cur", name), write); err != nil {
			s.t.Fatal(err)
		}
	}
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
