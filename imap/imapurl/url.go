package imapurl

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLength is the longest URL in octets: a mailbox name of the greatest length in which each octet
// is percent-encoded, and a list of header fields.
const MaxLength = 8 << 10

// URL is an IMAP URL of a message or of a part of it.
type URL struct {
	Absolute bool   // Host and User count
	Host     string // without the port, in lower case
	User     string // empty: not named

	Mailbox     string // in UTF-8, "INBOX" in capitals
	UIDValidity uint32 // 0: not named
	UID         uint32
	Section     string // as between the brackets of BODY[]; empty: the whole message
	Partial     bool   // Offset and Size count
	Offset      int64
	Size        int64 // 0: to the end
}

// Base is the mailbox to which relative paths belong. The zero value is none.
type Base struct {
	Mailbox     string
	UIDValidity uint32
}

// Errors of Parse.
var (
	ErrTooLong  = errors.New("URL is too long")
	ErrScheme   = errors.New("URL has another scheme than imap")
	ErrServer   = errors.New("URL has no valid server")
	ErrNoBase   = errors.New("a relative URL needs a selected mailbox")
	ErrMailbox  = errors.New("URL has no valid mailbox name")
	ErrValidity = errors.New("URL has no valid UIDVALIDITY")
	ErrUID      = errors.New("URL has no valid UID")
	ErrSection  = errors.New("URL has no valid section")
	ErrPartial  = errors.New("URL has no valid PARTIAL")
)

// Relative reports whether a URL needs a base.
func Relative(text string) bool {
	_, absolute := cutScheme(text)
	return !absolute && !strings.HasPrefix(text, "/")
}

// cutScheme returns the scheme of a URL, "imap" for one that has only a server, and whether there is
// one.
func cutScheme(text string) (scheme string, absolute bool) {
	if strings.HasPrefix(text, "//") {
		return "imap", true // that of the base
	}
	scheme, _, ok := strings.Cut(text, "://")
	return scheme, ok && !strings.ContainsAny(scheme, "/;?#")
}

// Parse reads a URL of a message or of a part of it.
func Parse(text string, base Base) (*URL, error) {
	if len(text) > MaxLength {
		return nil, ErrTooLong
	}
	u := &URL{}
	path := text
	if scheme, ok := cutScheme(text); ok {
		if !strings.EqualFold(scheme, "imap") {
			return nil, ErrScheme
		}
		_, server, _ := strings.Cut(text, "//")
		at := strings.IndexByte(server, '/')
		if at < 0 {
			return nil, ErrMailbox
		}
		server, path = server[:at], server[at:]
		u.Absolute = true
		if err := u.server(server); err != nil {
			return nil, err
		}
	}
	path, err := base.resolve(path)
	if err != nil {
		return nil, err
	}
	return u, u.path(path)
}

// server reads iserver: [user[;AUTH=mechanism]@]host[:port].
func (u *URL) server(text string) error {
	host := text
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		host = text[at+1:]
		user, mechanism, ok := strings.Cut(text[:at], ";")
		if ok && (len(mechanism) <= len("AUTH=") || !hasFold(mechanism, "AUTH=") ||
			!isAll(mechanism[len("AUTH="):], achar)) {
			return ErrServer
		}
		if u.User, ok = decode(user, achar); !ok {
			return ErrServer
		}
	}
	// The port may be that of another way to the same server.
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		if !isAll(host[at+1:], func(c byte) bool { return '0' <= c && c <= '9' }) {
			return ErrServer
		}
		host = host[:at]
	}
	if host == "" || !isAll(host, func(c byte) bool { return achar(c) || c == ':' || c == '[' || c == ']' }) {
		return ErrServer
	}
	u.Host = strings.ToLower(host)
	return nil
}

// resolve returns the absolute path that a path means (RFC 3986 section 5.2).
func (b Base) resolve(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		if b.Mailbox == "" {
			return "", ErrNoBase
		}
		at := "/" + encode(b.Mailbox)
		if hasFold(path, ";UID=") && b.UIDValidity != 0 {
			at += ";UIDVALIDITY=" + strconv.FormatUint(uint64(b.UIDValidity), 10)
		}
		path = at + "/" + path
	}
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch s {
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		case ".":
		default:
			kept = append(kept, s)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/"), nil
}

// path reads imessagepart (RFC 5092 section 11) after a slash.
func (u *URL) path(text string) (err error) {
	box, rest, ok := cutFold(text[1:], "/;UID=")
	if !ok {
		return ErrUID
	}
	name, validity, ok := strings.Cut(box, ";")
	if ok {
		if !hasFold(validity, "UIDVALIDITY=") {
			return ErrValidity
		}
		if u.UIDValidity, ok = nzNumber(validity[len("UIDVALIDITY="):]); !ok {
			return ErrValidity
		}
	}
	if u.Mailbox, ok = decode(name, bchar); !ok || name == "" {
		return ErrMailbox
	}
	if strings.EqualFold(u.Mailbox, "INBOX") {
		u.Mailbox = "INBOX"
	}
	rest, partial, hasPartial := cutFold(rest, "/;PARTIAL=")
	uid, section, hasSection := cutFold(rest, "/;SECTION=")
	if u.UID, ok = nzNumber(uid); !ok {
		return ErrUID
	}
	if hasSection {
		if u.Section, ok = decode(section, bchar); !ok || section == "" {
			return ErrSection
		}
	}
	if hasPartial {
		u.Partial = true
		offset, size, hasSize := strings.Cut(partial, ".")
		if u.Offset, ok = number(offset); !ok {
			return ErrPartial
		}
		if hasSize {
			if u.Size, ok = number(size); !ok || u.Size == 0 {
				return ErrPartial
			}
		}
	}
	return nil
}

// hasFold reports whether s begins with prefix, in any case of its letters.
func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cutFold is strings.Cut for a separator in any case of its letters.
func cutFold(s, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if s[i] == sep[0] && hasFold(s[i:], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

// number reads a number of 63 bits.
func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil && s[0] != '+'
}

// nzNumber reads an nz-number of RFC 3501 section 9.
func nzNumber(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && s[0] != '0' && s[0] != '+'
}

// achar reports whether a character is an achar of RFC 5092 section 11, but for "%".
func achar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-._~!$'()*+,&=", c) >= 0
}

// bchar is achar for paths.
func bchar(c byte) bool { return achar(c) || c == ':' || c == '@' || c == '/' }

func isAll(s string, class func(byte) bool) bool {
	for i := range len(s) {
		if !class(s[i]) {
			return false
		}
	}
	return true
}

// decode undoes percent-encoding. Other characters have to be of the class. The result is UTF-8
// without control characters.
func decode(s string, class func(byte) bool) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || s[i+1] == '+' {
				return "", false
			}
			c = byte(n)
			i += 2
		} else if !class(c) {
			return "", false
		}
		out.WriteByte(c)
	}
	text := out.String()
	return text, utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}

// encode percent-encodes a mailbox name. A separator stays, but for dots as a whole segment, which
// would be taken for another mailbox.
func encode(name string) string {
	var out strings.Builder
	for i, segment := range strings.Split(name, "/") {
		if i > 0 {
			out.WriteByte('/')
		}
		dots := segment == "." || segment == ".."
		for j := range len(segment) {
			if c := segment[j]; bchar(c) && !dots {
				out.WriteByte(c)
			} else {
				out.WriteByte('%')
				out.WriteByte("0123456789ABCDEF"[c>>4])
				out.WriteByte("0123456789ABCDEF"[c&15])
			}
		}
	}
	return out.String()
}
