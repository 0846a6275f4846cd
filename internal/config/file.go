package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// maxFile bounds the configuration file, in octets.
const maxFile = 1 << 20

// File is a configuration file as a source of flags.
type File struct {
	path   string
	values map[string]any
}

var _ kong.Resolver = (*File)(nil)

// ReadFile reads a TOML file. Keys are the names of flags; there are no tables.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("--config: %s: larger than %d octets", path, maxFile)
	}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		var perr toml.ParseError
		if errors.As(err, &perr) {
			// Not the error's own text: it may quote the line, and with it a secret.
			return nil, fmt.Errorf("--config: %s:%d: %s", path, perr.Position.Line, perr.Message)
		}
		return nil, fmt.Errorf("--config: %s: not valid TOML", path)
	}
	return &File{path, values}, nil
}

// Validate implements kong.Resolver: every key must be a setting of some command.
func (f *File) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, flag := range settings(app.Node) {
		known[flag.Name] = true
	}
	var unknown []string
	for key := range f.values {
		if !known[key] {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("--config: %s: unknown settings: %s", f.path, strings.Join(unknown, ", "))
	}
	return nil
}

// Resolve implements kong.Resolver. The environment comes before the file.
func (f *File) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := f.values[flag.Name]
	if !ok || !isSetting(flag) {
		return nil, nil
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case bool, int64:
		return fmt.Sprint(value), nil
	case []any:
		return joined(f.path, value)
	}
	return nil, fmt.Errorf("%s: want a string, a number, true/false or a list of strings", f.path)
}

// joined writes a list of strings as a flag has it.
func joined(path string, list []any) (string, error) {
	texts := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok || strings.Contains(text, ",") {
			return "", fmt.Errorf("%s: want a list of strings without commas", path)
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}
