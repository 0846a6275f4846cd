package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/passhash"
	"gadwall/quota"
)

// passwordVariable may hold the password for user add and passwd.
const passwordVariable = "GADWALL_PASSWORD"

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Create a user."`
	List   userListCmd   `cmd:"" help:"List users."`
	Show   userShowCmd   `cmd:"" help:"Show what is known of a user, as JSON."`
	Set    userSetCmd    `cmd:"" help:"Change a user's name for people, metadata or limits."`
	Passwd userPasswdCmd `cmd:"" help:"Set a user's password."`
	Rename userRenameCmd `cmd:"" help:"Give a user another name."`

	Expire userExpireCmd `cmd:"" help:"Say after how many days messages of a mailbox go."`

	Alias       aliasCmd       `cmd:"" help:"Further addresses of a user."`
	AppPassword appPasswordCmd `cmd:"" help:"Passwords for one application each."`

	Authlog userAuthlogCmd `cmd:"" help:"List a user's logins and failed logins."`

	Groups   userGroupsCmd   `cmd:"" help:"Say which groups a user is in, for mailboxes that are shared with groups."`
	Suspend  userSuspendCmd  `cmd:"" help:"Keep a user from logging in. Mail still comes in."`
	Resume   userResumeCmd   `cmd:"" help:"Undo suspend."`
	Delete   userDeleteCmd   `cmd:"" help:"Delete a user and all of its mail, at once or some time later."`
	Undelete userUndeleteCmd `cmd:"" help:"Bring back a user whose time to be deleted has not come."`
}

type userAddCmd struct {
	storageSettings
	Username      string              `arg:"" help:"Mail address of the new user."`
	PasswordStdin bool                `help:"Read the password from standard input instead of asking for it (or set GADWALL_PASSWORD)."`
	Hashed        bool                `help:"What is read is a hash that another system made, such as {SSHA512}... or $6$..."`
	Name          string              `help:"Name for people."`
	Quota         config.StorageLimit `placeholder:"SIZE" default:"default" help:"Most that the user may store, e.g. 10GB, or unlimited, or default: what --quota-default-storage says, also later."`
	QuotaMessages config.MessageLimit `placeholder:"N" default:"default" help:"Most messages that the user may have, or unlimited, or default: what --quota-default-messages says, also later."`
}

func (c *userAddCmd) Run(std streams) error {
	limits := quota.Limits{Bytes: int64(c.Quota), Messages: int64(c.QuotaMessages)}
	password, err := readPassword(std, c.PasswordStdin)
	if err != nil {
		return err
	}
	// A data directory that the operator named becomes a database, the default one does not: the
	// command was likely run in the wrong directory.
	options := node.Options{Access: node.Sharing, Create: c.DataDir != config.DefaultDataDir}
	return c.withNode(std, options, func(ctx context.Context, n *node.Node) error {
		created := mailstore.NewUser{Username: c.Username, Quota: limits, DisplayName: c.Name}
		if c.Hashed {
			created.HashedPassword = password
			if scheme, weak := passhash.Weak(password); weak {
				fmt.Fprintf(std.err, "warning: %s is weak; the first login replaces it\n", scheme)
			}
		} else {
			created.Password = password
		}
		user, err := n.Mail.CreateUser(ctx, created)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "created %s, id %s\n", user.Username, hex.EncodeToString(user.ID[:]))
		return nil
	})
}

type userListCmd struct {
	storageSettings
	JSON   bool   `name:"json" help:"Print a JSON object per line."`
	Domain string `help:"Only users of this domain."`
	Prefix string `help:"Only users whose names begin so."`
}

// listedUser is a line of user list --json.
type listedUser struct {
	User     string    `json:"user"`
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Limit    *int64    `json:"limit"` // of bytes, in force; null is none
	Created  time.Time `json:"created"`
}

func (c *userListCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		out := bufio.NewWriter(std.out)
		list := c.table
		if c.JSON {
			list = c.objects
		}
		return errors.Join(list(c.users(ctx, s), out), out.Flush())
	})
}

// users iterates over the users that are asked for, page by page.
func (c *userListCmd) users(ctx context.Context, s *mailstore.Store) iter.Seq2[*mailstore.User, error] {
	return func(yield func(*mailstore.User, error) bool) {
		q := mailstore.UserQuery{Domain: c.Domain, Prefix: c.Prefix}
		for more := true; more; {
			var page []*mailstore.User
			var err error
			if page, more, err = s.UserPage(ctx, q); err != nil {
				yield(nil, err)
				return
			}
			for _, user := range page {
				if !yield(user, nil) {
					return
				}
				q.After = user.Username
			}
		}
	}
}

func (c *userListCmd) objects(users iter.Seq2[*mailstore.User, error], out io.Writer) error {
	encoder := json.NewEncoder(out)
	for user, err := range users {
		if err != nil {
			return err
		}
		if err := encoder.Encode(listed(user)); err != nil {
			return err
		}
	}
	return nil
}

func listed(user *mailstore.User) listedUser {
	u := listedUser{User: user.Username, ID: user.ID.String(), State: user.State.String(),
		Messages: user.Usage.Messages, Bytes: user.Usage.Bytes, Created: user.Created}
	if user.Limits.Bytes > 0 {
		u.Limit = &user.Limits.Bytes
	}
	return u
}

func (c *userListCmd) table(users iter.Seq2[*mailstore.User, error], out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tID\tSTATE\tMESSAGES\tBYTES\tQUOTA\tCREATED")
	for user, err := range users {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", user.Username, user.ID, user.State, user.Usage.Messages,
			user.Usage.Bytes, config.StorageLimit(user.Limits.Bytes), user.Created.Format("2006-01-02"))
	}
	return w.Flush()
}

// userNamed returns the user with a name. The error names those who do not exist.
func userNamed(ctx context.Context, s *mailstore.Store, name string) (*mailstore.User, error) {
	user, err := s.UserByName(ctx, name)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return nil, fmt.Errorf("%w: %s", mailstore.ErrNoSuchUser, name)
	}
	return user, err
}

type userPasswdCmd struct {
	oneUser
	PasswordStdin bool `help:"Read the password from standard input instead of asking for it (or set GADWALL_PASSWORD)."`
}

func (c *userPasswdCmd) Run(std streams) error {
	password, err := readPassword(std, c.PasswordStdin)
	if err != nil {
		return err
	}
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if err := s.SetPassword(ctx, user.ID, password); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "new password for %s\n", user.Username)
		return nil
	})
}

type userDeleteCmd struct {
	oneUser
	Yes bool `short:"y" help:"Do not ask."`
	// Grace keeps the mail for a while.
	Grace time.Duration `placeholder:"DURATION" help:"Keep the mail for so long, e.g. 720h, in which undelete brings the user back. Logins and mail are refused at once, and the addresses stay taken."`
}

func (c *userDeleteCmd) Run(std streams) error {
	return c.withUser(std, func(ctx context.Context, s *mailstore.Store, user *mailstore.User) error {
		if !c.Yes {
			if _, interactive := terminal(std.in); !interactive {
				return usageError{errors.New("deleting a user needs --yes when nobody can be asked")}
			}
			fmt.Fprintf(std.err, "Delete %s with %s? [y/N] ", user.Username, count(user.Usage.Messages, "message"))
			line, err := bufio.NewReader(io.LimitReader(std.in, maxAnswer)).ReadString('\n')
			if err != nil && err != io.EOF {
				return err
			}
			if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
				return errors.New("nothing deleted")
			}
		}
		if c.Grace > 0 {
			after := time.Now().Add(c.Grace)
			if err := s.DeleteUserAfter(ctx, user.ID, after); err != nil {
				return err
			}
			fmt.Fprintf(std.out, "%s will be deleted after %s\n", user.Username, after.Format(time.DateTime))
			return nil
		}
		progress := startProgress(std, "deleting "+user.Username, "", 0)
		err := s.DeleteUser(ctx, user.ID)
		progress.end()
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "deleted %s\n", user.Username)
		return nil
	})
}

// maxAnswer bounds an answer of a person or a pipe, in octets.
const maxAnswer = mailstore.MaxPasswordLength + 3 // with a line end, and one to notice excess

// readPassword takes the password from standard input, the environment, or a
// person, who types it twice without seeing it.
func readPassword(std streams, fromStdin bool) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(std.in, maxAnswer)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	if password, ok := os.LookupEnv(passwordVariable); ok {
		return password, nil
	}
	fd, interactive := terminal(std.in)
	if !interactive {
		return "", usageError{
			errors.New("no terminal to ask for the password: use --password-stdin or " + passwordVariable),
		}
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(std.err, prompt)
		password, err := term.ReadPassword(fd)
		fmt.Fprintln(std.err)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return string(password), nil
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	second, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the passwords differ")
	}
	return first, nil
}

func terminal(in io.Reader) (fd int, ok bool) {
	f, isFile := in.(*os.File)
	if !isFile {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}
