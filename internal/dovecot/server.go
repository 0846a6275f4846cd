package dovecot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Where Debian installs the server's master process, its LMTP server, and the full-text plugin.
const (
	binary       = "/usr/sbin/dovecot"
	lmtpBinary   = "/usr/lib/dovecot/lmtp"
	xapianPlugin = "/usr/lib/dovecot/modules/lib21_fts_xapian_plugin.so"
)

const (
	// startTimeout is how long the server may take to greet, stopTimeout to end.
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	// greetEvery is how often Start asks whether the server greets.
	greetEvery = 20 * time.Millisecond
)

var cores = runtime.NumCPU()

// Options say what Start starts.
type Options struct {
	// Dir must exist. Its name must be short, since it is part of the paths of sockets, and
	// MailUser must get there.
	Dir      string
	Location string // of mail, such as MDBox; DIR stands for Dir
	Fsync    string // mail_fsync; FsyncAlways if empty
	LMTP     bool
	// Extra are further lines of the configuration. DIR stands for Dir, CORES for the number of
	// processors.
	Extra string
	// MailUser owns the mail when the caller is root; empty is the user with the id 65534 (nobody).
	// Otherwise the caller owns it.
	MailUser string
}

// A Server is a running Dovecot.
type Server struct {
	IMAP, LMTP string // host:port, without TLS; LMTP is empty without Options.LMTP
	// PID is the master process; all others descend from it.
	PID int

	dir   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the master has ended
	err   error         // of the master, once it has ended
}

// ErrMissing is in the chain of the error of Installed.
var ErrMissing = errors.New("no Dovecot is installed")

// Installed returns ErrMissing, with what to install, if Start cannot work.
func Installed(lmtp bool) error {
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w: %w (Debian: apt-get install dovecot-imapd)", ErrMissing, err)
	}
	if _, err := os.Stat(lmtpBinary); lmtp && err != nil {
		return fmt.Errorf("%w: %w (Debian: apt-get install dovecot-lmtpd)", ErrMissing, err)
	}
	return nil
}

// XapianInstalled reports that Indexing works (Debian: dovecot-fts-xapian).
func XapianInstalled() bool {
	_, err := os.Stat(xapianPlugin)
	return err == nil
}

// Version is what the program says of itself, such as "2.3.19.1 (9b53102964)".
func Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	return strings.TrimSpace(string(out)), err
}

// Start runs a server and returns when it greets. It ends with Stop.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := Installed(o.LMTP); err != nil {
		return nil, err
	}
	if o.Fsync == "" {
		o.Fsync = FsyncAlways
	}
	s := &Server{dir: o.Dir, ended: make(chan struct{})}
	if err := s.prepare(o); err != nil {
		return nil, fmt.Errorf("prepare Dovecot: %w", err)
	}
	s.cmd = exec.Command(binary, "-F", "-c", s.file("conf"))
	// In a group of its own, so that Ctrl-C reaches the server only through Stop.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder // complaints about the configuration
	s.cmd.Stderr = &said
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.PID = s.cmd.Process.Pid
	go func() {
		defer close(s.ended)
		s.err = s.cmd.Wait()
	}()
	if err := s.greets(ctx); err != nil {
		err = errors.Join(err, s.Stop())
		return nil, fmt.Errorf("start Dovecot: %w\n%s%s", err, said.String(), s.Log())
	}
	return s, nil
}

// greets waits until the server answers.
func (s *Server) greets(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.greeted(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %w", s.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(greetEvery):
		}
	}
}

func (s *Server) greeted(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.IMAP)
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

// Stop ends the server and waits for it. Children that do not notice, such as one that indexes, are
// killed.
func (s *Server) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
	err := syscall.Kill(-s.PID, syscall.SIGKILL)
	<-s.ended
	if errors.Is(err, syscall.ESRCH) {
		return nil // all have ended
	}
	return err
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// MailDir is the directory that holds the mail of all users.
func (s *Server) MailDir() string { return s.file("mail") }

// Log returns what the server has logged.
func (s *Server) Log() string {
	log, _ := os.ReadFile(s.file("log")) // without one there is nothing to show
	return string(log)
}
