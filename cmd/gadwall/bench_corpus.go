package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"gadwall/bench"
	"gadwall/bench/properties"
	"gadwall/bench/stored"
)

// benchCorpusCmd writes generated mail, and says what it is like.
type benchCorpusCmd struct {
	Mails int `default:"1000" help:"How many mails."`
	benchMail
	Mail string `placeholder:"PATH" help:"Take mail that is there instead of making it: an mbox, a Maildir, or a directory with a message in each file."`
	Out  string `placeholder:"DIR" help:"Write each mail into a file of this new or empty directory; - writes an mbox to standard output. Without it, only say what the mail is like."`
}

func (c *benchCorpusCmd) Run(std streams) error {
	if c.Mails < 1 {
		return usageError{errors.New("--mails is at least 1")}
	}
	source, mails, err := c.source()
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	text, write, end := std.out, func(int, *bench.Message) error { return nil }, func() error { return nil }
	switch c.Out {
	case "":
	case "-":
		text = std.err // standard output has the mail
		mbox := bufio.NewWriter(std.out)
		write = func(_ int, m *bench.Message) error { return writeMbox(mbox, m) }
		end = mbox.Flush
	default:
		if err := emptyDirectory(c.Out); err != nil {
			return usageError{err}
		}
		write = func(n int, m *bench.Message) error {
			return os.WriteFile(filepath.Join(c.Out, fmt.Sprintf("%08d.eml", n)), m.Raw, 0o644)
		}
	}
	var about properties.Properties
	progress := startProgress(std, "making mail", "mail", int64(mails))
	err = func() error {
		defer progress.end()
		for n := 0; n < mails && ctx.Err() == nil; n++ {
			m, err := source(n)
			if err != nil {
				return err
			}
			if err := errors.Join(write(n, m), about.Add(m.Raw)); err != nil {
				return err
			}
			progress.add(1)
		}
		return errors.Join(ctx.Err(), end())
	}()
	if err != nil {
		return err
	}
	return about.WriteText(text)
}

// source returns what makes or reads mail, and how much of it there is.
func (c *benchCorpusCmd) source() (message func(n int) (*bench.Message, error), mails int, err error) {
	if c.Mail == "" {
		options, err := c.corpus()
		if err != nil {
			return nil, 0, err
		}
		corpus := bench.NewCorpus(options)
		return func(n int) (*bench.Message, error) { return corpus.Message(n), nil }, c.Mails, nil
	}
	mail, err := stored.Open(c.Mail)
	if err != nil {
		return nil, 0, fmt.Errorf("--mail: %w", err)
	}
	return mail.Message, mail.Len(), nil
}

// emptyDirectory makes a directory, or takes one that has nothing in it.
func emptyDirectory(name string) error {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(name)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty", name)
	}
	return err
}

// writeMbox writes a message as an mbox has it: after a line "From ", with LF as line ends, with
// one more > before lines of the message that begin with "From " after any number of >, and with an
// empty line after it.
func writeMbox(w io.Writer, m *bench.Message) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From %s %s\n", m.From, time.Unix(0, 0).UTC().Format(time.ANSIC))
	for line := range bytes.Lines(m.Raw) {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			b.WriteByte('>')
		}
		text := bytes.TrimSuffix(line, []byte("\n"))
		b.Write(bytes.TrimSuffix(text, []byte("\r")))
		b.WriteByte('\n') // also after a last line that has none
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}
