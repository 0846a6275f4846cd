package stored

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gadwall/bench"
)

// maxMessage bounds one message; larger ones are left out.
const maxMessage = 512 << 20

// noSender is the envelope's sender of messages that do not tell one.
const noSender = "stored@example.com"

// Mail is an index of messages. All methods may be called by several goroutines.
type Mail struct{ places []place }

// place is where a message is.
type place struct {
	file         string
	offset, size int64
	from         string // of the line before it in an mbox; empty otherwise
	mbox         bool
}

// Open reads an mbox, or all messages below a directory, in the order of the names of their files.
func Open(path string) (*Mail, error) {
	m := new(Mail)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		err = m.addFile(path)
	default:
		err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "tmp" && isMaildir(filepath.Dir(name)):
				return filepath.SkipDir // what is there is not whole
			case !entry.Type().IsRegular():
				return nil
			case isMaildir(filepath.Dir(name)):
				return nil // a file of the server, such as an index
			}
			return m.addFile(name)
		})
	}
	if err != nil {
		return nil, err
	}
	if len(m.places) == 0 {
		return nil, fmt.Errorf("%s has no messages", path)
	}
	return m, nil
}

func isMaildir(dir string) bool {
	for _, sub := range []string{"cur", "new"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// Len is the number of messages.
func (m *Mail) Len() int { return len(m.places) }

var fromLine = []byte("From ")

// addFile adds the messages of an mbox, or the one that a file is.
func (m *Mail) addFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	if begin, _ := r.Peek(len(fromLine)); bytes.Equal(begin, fromLine) {
		return m.addMbox(name, r)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		m.add(place{file: name, size: info.Size()})
	}
	return err
}

func (m *Mail) add(p place) {
	if p.size > 0 && p.size <= maxMessage {
		m.places = append(m.places, p)
	}
}

func (m *Mail) addMbox(name string, r *bufio.Reader) error {
	var at int64
	var open *place
	empty, begin := true, true // the line before is empty, and this is the beginning of a line
	for {
		piece, err := r.ReadSlice('\n')
		if begin && empty && bytes.HasPrefix(piece, fromLine) {
			if open != nil {
				open.size = at - open.offset
				m.add(*open)
			}
			sender, _, _ := strings.Cut(string(piece[len(fromLine):]), " ")
			open = &place{file: name, from: sender, mbox: true, offset: at + int64(len(piece))}
			if err == bufio.ErrBufferFull {
				return fmt.Errorf("%s: a line \"From \" of %d bytes", name, len(piece))
			}
		}
		at += int64(len(piece))
		empty = begin && len(bytes.TrimRight(piece, "\r\n")) == 0
		begin = err == nil
		if err != nil && err != bufio.ErrBufferFull {
			open.size = at - open.offset
			m.add(*open)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
	}
}

// Message reads message n; those after the last one begin anew.
func (m *Mail) Message(n int) (*bench.Message, error) {
	p := m.places[n%len(m.places)]
	f, err := os.Open(p.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, p.size)
	if _, err := f.ReadAt(raw, p.offset); err != nil {
		return nil, fmt.Errorf("%s at %d: %w", p.file, p.offset, err)
	}
	message := &bench.Message{From: noSender, Raw: wire(raw, p.mbox)}
	if strings.Contains(p.from, "@") && !strings.ContainsAny(p.from, "<>\r\n") {
		message.From = p.from
	}
	return message, nil
}

// wire makes of a file what goes over the wire.
func wire(raw []byte, mbox bool) []byte {
	raw = slices.DeleteFunc(raw, func(b byte) bool { return b == 0 })
	if mbox { // the empty line is not part of the message
		raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	}
	out := make([]byte, 0, len(raw)+len(raw)/32)
	for line := range bytes.Lines(raw) {
		if mbox {
			if rest := bytes.TrimLeft(line, ">"); len(rest) < len(line) && bytes.HasPrefix(rest, fromLine) {
				line = line[1:]
			}
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		// A CR within a line would be a line end for some servers, and none for others.
		out = append(out, bytes.ReplaceAll(line, []byte("\r"), []byte("\r\n"))...)
		out = append(out, "\r\n"...)
	}
	return out
}
