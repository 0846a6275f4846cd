package mailstore

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Messages of before there were previews get those of a delivery. What has a preview keeps it.
func TestMigratePreviews(t *testing.T) {
	e := newEnv(t)
	box := e.box(t, e.user(t), "INBOX")
	const html = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
		"Content-Type: application/pdf\r\n\r\nno text\r\n--b\r\nContent-Type: text/html\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe <b>aus</b> Bonn</p>\r\n--b--\r\n"
	mails := []string{"Subject: a\r\n\r\nHello  there,\r\n> quoted\r\nall", html,
		"Content-Type: image/png\r\n\r\nx", "Subject: a\r\n\r\nHello  there,\r\n> quoted\r\nall",
		"Subject: kept\r\n\r\nx"}
	for _, m := range mails {
		e.put(t, m, box)
	}
	var want []any
	for _, doc := range e.documents(t) {
		want = append(want, doc[DocPreview])
	}
	for i, text := range []string{"Hello there, all", "Grüße aus Bonn", "", "Hello there, all", "x"} {
		if got, _ := want[i].(string); !strings.HasPrefix(got, text) || text == "" && got != "" {
			t.Fatalf("message %d is delivered with %q", i, got)
		}
	}
	others := bson.D{{Key: DocSubject, Value: bson.D{{Key: "$ne", Value: "kept"}}}}
	without := bson.D{{Key: "$unset", Value: bson.D{{Key: DocPreview, Value: ""}}}}
	if _, err := e.messages.UpdateMany(t.Context(), others, without); err != nil {
		t.Fatal(err)
	}
	if _, err := e.messages.UpdateOne(t.Context(), bson.D{{Key: DocSubject, Value: "kept"}},
		bson.D{{Key: "$set", Value: bson.D{{Key: DocPreview, Value: "mine"}}}}); err != nil {
		t.Fatal(err)
	}
	want[4] = "mine"
	e.migrate(t)
	for i, doc := range e.documents(t) {
		if doc[DocPreview] != want[i] {
			t.Errorf("message %d: preview %q, want %q", i, doc[DocPreview], want[i])
		}
	}
}
