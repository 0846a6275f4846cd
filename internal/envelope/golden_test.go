package envelope_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/dovecottest"
	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

var update = flag.Bool("update", false, "write the golden file anew")

func itoa(n int) string { return strconv.Itoa(n) }

// testdata/messages.txt has messages, each after a line with its name; <8> stands for an 8-bit
// octet. testdata/messages.golden has what is made of them.
func TestGolden(t *testing.T) {
	input, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for entry := range bytes.SplitSeq(input, []byte("=====\n")) {
		name, message, _ := bytes.Cut(entry, []byte("\n"))
		message = bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n"))
		message = bytes.ReplaceAll(message, []byte("<8>"), []byte("\xe4"))
		root := mimestream.Parse(message)
		made := describe(t, message, root)
		fmt.Fprintf(&out, "# %s\n", name)
		for _, item := range []struct {
			name string
			wire []byte
		}{
			{"ENVELOPE", made.envelope},
			{"BODY", made.body},
			{"BODYSTRUCTURE", made.structure},
		} {
			if _, err := dovecottest.Parse(string(item.wire)); err != nil {
				t.Errorf("%s: %s: %v", name, item.name, err)
			}
			fmt.Fprintf(&out, "%s %s\n", item.name,
				strings.ReplaceAll(strings.ReplaceAll(string(item.wire), "\xe4", "<8>"), "\r\n", "<CRLF>"))
		}
		writeFields(&out, envelope.Fields(root))
		out.WriteString("\n")
	}
	const golden = "testdata/messages.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// writeFields writes the fields that are not zero.
func writeFields(out *strings.Builder, f envelope.SearchFields) {
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		value := v.Field(i).Interface()
		if date, ok := value.(time.Time); ok {
			value = date.Format(time.RFC3339)
		}
		fmt.Fprintf(out, "  %s: %v\n", v.Type().Field(i).Name, value)
	}
}
