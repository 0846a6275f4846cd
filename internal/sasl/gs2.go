package sasl

import "strings"

// gs2Header is what SCRAM and OAUTHBEARER messages begin with (RFC 5801 section 4).
type gs2Header struct {
	// flag is 'n' for a client without channel binding, 'y' for one that has it and believes that the
	// server has not, 'p' for one that uses it.
	flag byte
	// binding is the name of the channel binding with flag 'p'.
	binding string
	// authzid is whose mail the client wants; empty for its own.
	authzid string
}

// cutGS2 reads the header at the beginning of a message: flag, comma, authorization identity, comma.
func cutGS2(message string) (h gs2Header, rest string, ok bool) {
	flag, rest, ok := strings.Cut(message, ",")
	if !ok {
		return h, "", false
	}
	authzid, rest, ok := strings.Cut(rest, ",")
	if !ok {
		return h, "", false
	}
	switch {
	case flag == "n" || flag == "y":
	case strings.HasPrefix(flag, "p="):
		h.binding = flag[len("p="):]
		if h.binding == "" || strings.Trim(h.binding, bindingName) != "" {
			return h, "", false
		}
	default:
		return h, "", false
	}
	h.flag = flag[0]
	if authzid != "" {
		name, found := strings.CutPrefix(authzid, "a=")
		if h.authzid, ok = saslName(name); !found || !ok {
			return h, "", false
		}
	}
	return h, rest, true
}

// bindingName are the characters of the name of a channel binding (RFC 5056 section 7).
const bindingName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

// saslName decodes a name: "=2C" is a comma, "=3D" an equals sign (RFC 5801 section 4).
func saslName(encoded string) (name string, ok bool) {
	if encoded == "" || strings.ContainsAny(encoded, "\x00,") {
		return "", false
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(encoded, "=")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		encoded = after[2:]
	}
}
