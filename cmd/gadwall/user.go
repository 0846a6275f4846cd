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
	"gadwall/quota"
)

// passwordVariable may hold the password for user add and passwd.
const passwordVariable = "GADWALL_PASSWORD"

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Create a user."`
	List   userListCmd   `cmd:"" help:"List users."`
	Passwd userPasswdCmd `cmd:"" help:"Set a user's password."`
	Delete userDeleteCmd `cmd:"" help:"Delete a user and all of its mail."`
}

type userAddCmd struct {
	storageSettings
	Username      string              `arg:"" help:"Mail address of the new user."`
	PasswordStdin bool                `help:"Read the password from standard input instead of asking for it (or set GADWALL_PASSWORD)."`
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
		user, err := n.Mail.CreateUser(ctx,
			mailstore.NewUser{Username: c.Username, Password: password, Quota: limits})
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "created %s, id %s\n", user.Username, hex.EncodeToString(user.ID[:]))
		return nil
	})
}

type userListCmd struct {
	storageSettings
	JSON bool `name:"json" help:"Print a JSON object per line."`
}

// listedUser is a line of user list --json.
type listedUser struct {
	User     string    `json:"user"`
	ID       string    `json:"id"`
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
		return errors.Join(list(s.Users(ctx), out), out.Flush())
	})
}

func (c *userListCmd) objects(users iter.Seq2[*mailstore.User, error], out io.Writer) error {
	encoder := json.NewEncoder(out)
	for user, err := range users {
		if err != nil {
			return err
		}
		u := listedUser{User: user.Username, ID: user.ID.String(), Messages: user.Usage.Messages,
			Bytes: user.Usage.Bytes, Created: user.Created}
		if user.Limits.Bytes > 0 {
			u.Limit = &user.Limits.Bytes
		}
		if err := encoder.Encode(u); err != nil {
			return err
		}
	}
	return nil
}

func (c *userListCmd) table(users iter.Seq2[*mailstore.User, error], out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tID\tMESSAGES\tBYTES\tQUOTA\tCREATED")
	for user, err := range users {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", user.Username, user.ID, user.Usage.Messages,
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
	storageSettings
	Username      string `arg:"" help:"The user."`
	PasswordStdin bool   `help:"Read the password from standard input instead of asking for it (or set GADWALL_PASSWORD)."`
}

func (c *userPasswdCmd) Run(std streams) error {
	password, err := readPassword(std, c.PasswordStdin)
	if err != nil {
		return err
	}
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
		if err := s.SetPassword(ctx, user.ID, password); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "new password for %s\n", user.Username)
		return nil
	})
}

type userDeleteCmd struct {
	storageSettings
	Username string `arg:"" help:"The user."`
	Yes      bool   `short:"y" help:"Do not ask."`
}

func (c *userDeleteCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		user, err := userNamed(ctx, s, c.Username)
		if err != nil {
			return err
		}
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
		progress := startProgress(std, "deleting "+user.Username, "", 0)
		err = s.DeleteUser(ctx, user.ID)
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
