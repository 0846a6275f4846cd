package contents

import (
	"strings"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/parttext"
)

// The preview is of the first part with text, whatever its size and the pieces in which it comes.
func TestPreview(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	long := strings.Repeat("many words\r\n", 20000)
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for _, tt := range []struct{ message, want string }{
		{"Subject: a\r\n\r\nhello\r\n", "hello"},
		{"Subject: a\r\n\r\n", ""},
		{"Subject: a\r\n\r\n" + long, strings.TrimSpace(strings.Repeat("many words ", 19)[:parttext.MaxPreview])},
		{mixed + "--b\r\nContent-Type: text/html\r\n\r\n<img src=x>\r\n" +
			"--b\r\n\r\nsecond\r\n--b\r\n\r\nthird\r\n--b--", "second"},
		{mixed + "--b\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--b--", ""},
		{mixed + "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nwithin\r\n--b--", "within"},
	} {
		for _, piece := range []int{1 << 20, 7, 1000} {
			stored, err := put(t.Context(), s, []byte(tt.message), piece)
			if err != nil {
				t.Fatal(err)
			}
			if stored.Preview != tt.want {
				t.Errorf("%.60q in pieces of %d: %q, want %q", tt.message, piece, stored.Preview, tt.want)
			}
		}
	}
}
