package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gadwall/bench/report"
	results "gadwall/bench/result"
)

// benchReportCmd makes a page of files of results. The first server of the first file is what the
// others are compared with.
type benchReportCmd struct {
	Files    []string `arg:"" name:"file" help:"Files of result lines (JSON); - is standard input."`
	Out      string   `placeholder:"FILE" help:"Write the page there, as HTML unless --markdown is given."`
	Markdown bool     `help:"Write Markdown, to standard output unless --out is given."`
}

func (c *benchReportCmd) Run(std streams) error {
	if c.Out == "" && !c.Markdown {
		return usageError{errors.New("say where to with --out FILE, or --markdown")}
	}
	files := make([]report.File, len(c.Files))
	for i, name := range c.Files {
		lines, err := readResults(name, std.in)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		base := filepath.Base(name)
		files[i] = report.File{Name: strings.TrimSuffix(base, filepath.Ext(base)), Lines: lines}
	}
	made, err := report.New(files)
	if err != nil {
		return err
	}
	write := made.WriteHTML
	if c.Markdown {
		write = made.WriteMarkdown
	}
	if c.Out == "" {
		return write(std.out)
	}
	// The page is whole before the file is touched.
	var page bytes.Buffer
	if err := write(&page); err != nil {
		return err
	}
	return os.WriteFile(c.Out, page.Bytes(), 0o644)
}

func readResults(name string, stdin io.Reader) ([]*results.Line, error) {
	if name == "-" {
		return results.Read(stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return results.Read(f)
}
