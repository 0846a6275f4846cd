package shortheader

import (
	"io"

	"gadwall/internal/section"
)

// MaxSize is the greatest short header that is worth keeping.
const MaxSize = 8 << 10

// transport lists the transport fields. Fields that mail programs show or judge by are not among
// them: Apple Mail asks for Authentication-Results and DKIM-Signature of every message.
var transport = section.Names{
	"received", "x-received", "received-spf",
	"arc-seal", "arc-message-signature", "arc-authentication-results",
	"domainkey-signature", "x-google-dkim-signature", "x-google-smtp-source", "x-gm-message-state",
	"x-gm-gg", "x-ms-exchange-antispam-messagedata-0", "x-ms-exchange-antispam-messagedata-chunkcount",
	"x-ms-exchange-crosstenant-id", "x-ms-exchange-crosstenant-network-message-id",
	"x-ms-exchange-transport-crosstenantheadersstamped", "x-ms-traffictypediagnostic",
	"x-ms-office365-filtering-correlation-id", "x-microsoft-antispam",
	"x-microsoft-antispam-message-info", "x-forefront-antispam-report", "x-spam-report",
}

// Answers reports whether the section can be picked from a short header.
func Answers(s *section.Section) bool {
	if s.Path != nil || s.Kind != section.Fields {
		return false
	}
	for _, name := range s.Names {
		if transport.Has([]byte(name)) {
			return false
		}
	}
	return true
}

// Selector returns a writer that takes the header of a message and passes its short header on.
func Selector(w io.Writer) *section.FieldSelector {
	return section.NewFieldSelector(w, transport, true)
}
