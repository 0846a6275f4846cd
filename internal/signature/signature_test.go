package signature

import (
	"net/http"
	"testing"
	"time"
)

// The signature is what `printf '1796040000.{"a":1}' | openssl dgst -sha256 -hmac secret` says.
func TestSet(t *testing.T) {
	h := make(http.Header)
	Set(h, "secret", time.Unix(1796040000, 0), []byte(`{"a":1}`))
	const want = "0a416886ee16012a22876787d070a3bca2bb3f0547c8b2fc18747cd8b3a22595"
	if got := h.Get(HeaderTimestamp) + " " + h.Get(HeaderSignature); got != "1796040000 v1="+want {
		t.Errorf("%s", got)
	}
}
