package contents

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"testing"

	"gadwall/blobstore"
	"gadwall/internal/dbtest"
)

// quoted returns data in quoted-printable.
func quoted(t testing.TB, data []byte, binary bool) string {
	t.Helper()
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Binary = binary
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func attachment(kind, encoding, name, body string) string {
	return multipart(textHeader+"See "+name, "Content-Type: "+kind+"; name=\""+name+
		"\"\r\nContent-Transfer-Encoding: "+encoding+
		"\r\nContent-Disposition: attachment; filename=\""+name+"\"\r\n\r\n"+body)
}

// The same file is one blob, however it is encoded, wrapped or called, and every mail comes back as
// it was.
func TestOneBlobForEveryEncoding(t *testing.T) {
	file := []byte(text(30_000) + "Größe = 12 €\r\nno line end")
	for _, c := range []struct {
		name string
		mail string
	}{
		{"base64", attachment("text/csv", "base64", "a.csv", encode(file, 76, "\r\n"))},
		{"another name", attachment("text/csv", "base64", "b.csv", encode(file, 76, "\r\n"))},
		{"another type", attachment("application/octet-stream", "base64", "a.csv", encode(file, 76, "\r\n"))},
		{"short lines", attachment("text/csv", "base64", "a.csv", encode(file, 60, "\r\n"))},
		{"long lines", attachment("text/csv", "base64", "a.csv", encode(file, 400, "\r\n"))},
		{"one line", attachment("text/csv", "base64", "a.csv", encode(file, 0, ""))},
		{"bare LF", attachment("text/csv", "base64", "a.csv", encode(file, 76, "\n"))},
		{"line end", attachment("text/csv", "base64", "a.csv", encode(file, 76, "\r\n")+"\r\n")},
		{"capitals", attachment("text/csv", "BASE64", "a.csv", encode(file, 76, "\r\n"))},
		{"quoted-printable", attachment("text/csv", "quoted-printable", "a.csv", quoted(t, file, false))},
		{"quoted-printable, line ends encoded", attachment("text/csv", "quoted-printable", "a.csv",
			quoted(t, file, true))},
		{"8bit", attachment("text/csv", "8bit", "a.csv", string(file))},
		{"binary", attachment("text/csv", "binary", "a.csv", string(file))},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := dbtest.Database(t)
			s := newStore(t, db)
			mustPut(t, s, []byte(attachment("application/x-first", "base64", "first", encode(file, 76, "\r\n"))))
			stored := mustPut(t, s, []byte(c.mail))
			blobs := all[rawBlob](t, db.Collection(blobstore.FilesCollection))
			if len(blobs) != 1 || blobs[0].Metadata.Refs != 2 {
				t.Fatalf("%d blobs, want one with two references: %+v", len(blobs), blobs)
			}
			if got := read(t, load(t, s, stored.ID, Want{}), 0, stored.Size); string(got) != c.mail {
				t.Error("the mail differs")
			}
			if extra := audit(t, s); extra != 0 {
				t.Errorf("%d references or chunks too many", extra)
			}
		})
	}
}

// A binary file in quoted-printable, too, is the blob that it is in base64.
func TestOneBlobForBinaryQuotedPrintable(t *testing.T) {
	db := dbtest.Database(t)
	s := newStore(t, db)
	file := random(3, 300_000)
	mustPut(t, s, []byte(attachment("application/pdf", "base64", "a.pdf", encode(file, 76, "\r\n"))))
	mail := attachment("application/pdf", "quoted-printable", "b.pdf", quoted(t, file, true))
	stored := mustPut(t, s, []byte(mail))
	if blobs := all[rawBlob](t, db.Collection(blobstore.FilesCollection)); len(blobs) != 1 {
		t.Fatalf("%d blobs", len(blobs))
	}
	c := load(t, s, stored.ID, Want{})
	for _, off := range []int64{0, 1000, 200_001, stored.Size - 5000} {
		var out bytes.Buffer
		if err := c.WriteRange(t.Context(), &out, off, 4096); err != nil {
			t.Fatal(err)
		}
		if out.String() != mail[off:off+4096] {
			t.Errorf("range at %d differs", off)
		}
	}
	if err := c.WriteRange(t.Context(), io.Discard, 0, stored.Size); err != nil {
		t.Fatal(err)
	}
}

// Text in quoted-printable is stored decoded, within the message's frames.
func TestQuotedTextIsDecoded(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	body := quoted(t, []byte(text(3000)+"<a href=\"x\" class=\"y\">ÄÖÜ</a> ÄÖÜ ÄÖÜ ÄÖÜ"), false)
	mail := multipart("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: " +
		"quoted-printable\r\n\r\n" + body)
	if got := segmentsOf(t, s, mail); got != "inline inline/decoded inline" {
		t.Errorf("segments: %s", got)
	}
}
