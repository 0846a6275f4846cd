package contents

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

// What came in is what was stored and what was saved, and what was stored is in the database.
func TestStats(t *testing.T) {
	db := dbtest.Database(t)
	s := newStore(t, db)
	send := func(message string, refs int) {
		t.Helper()
		w := s.NewWriter(t.Context())
		defer w.Abort(context.WithoutCancel(t.Context()))
		if _, err := w.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(t.Context(), refs); err != nil {
			t.Fatal(err)
		}
	}
	mail := func(text, attachment string) string {
		return "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + text +
			"\r\n--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			attachment + "\r\n--b--\r\n"
	}
	random := rand.New(rand.NewPCG(1, 2))
	var numbers strings.Builder
	for range 40_000 {
		fmt.Fprintln(&numbers, random.IntN(1_000_000))
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(numbers.String()))
	var lines strings.Builder
	for len(encoded) > 0 {
		n := min(76, len(encoded))
		lines.WriteString(encoded[:n])
		if encoded = encoded[n:]; encoded != "" {
			lines.WriteString("\r\n")
		}
	}
	one := mail(strings.Repeat("Hello there. ", 100), lines.String())
	other := mail("Another text.", lines.String())
	send(one, 1)
	first := s.Stats()
	raw := int64(numbers.Len())
	if first.Received != int64(len(one)) || first.SavedMessages != 0 || first.SavedAttachments != 0 ||
		first.SavedEncodings != int64(lines.Len())-raw || first.SavedCompression < raw/3 {
		t.Errorf("one message of %d octets with an attachment of %d: %+v", len(one), raw, first)
	}
	send(one, 2)
	send(other, 3)
	got := s.Stats()
	if got.Received != int64(3*len(one)+3*len(other)) || got.SavedMessages != int64(2*len(one)+2*len(other)) ||
		got.SavedAttachments != raw || got.SavedEncodings != 2*(int64(lines.Len())-raw) {
		t.Errorf("six messages: %+v", got)
	}
	if sum := got.Stored + got.SavedMessages + got.SavedAttachments + got.SavedEncodings +
		got.SavedCompression; sum != got.Received {
		t.Errorf("%d octets came in, %d were stored or saved: %+v", got.Received, sum, got)
	}
	var stored int64
	for _, doc := range all[bson.Raw](t, db.Collection(Collection)) {
		frames, _ := doc.Lookup("f").Document().Values()
		for _, f := range frames {
			_, data := f.Binary()
			stored += int64(len(data))
		}
	}
	for _, doc := range all[bson.Raw](t, db.Collection("blobs.files")) {
		n, _ := doc.Lookup("length").AsInt64OK()
		stored += n
	}
	if stored != got.Stored {
		t.Errorf("%d octets are in the database, %d were counted", stored, got.Stored)
	}
}
