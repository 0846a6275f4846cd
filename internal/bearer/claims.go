package bearer

import (
	"encoding/json"
	"slices"
	"strings"
)

// Claims with a meaning of their own.
const (
	claimEmail         = "email"
	claimEmailVerified = "email_verified"
)

// claims are the members of what a provider says about a token.
type claims map[string]json.RawMessage

// claim returns a member of a type; ok is false if there is none.
func claim[T any](c claims, name string) (value T, ok bool) {
	raw, ok := c[name]
	if !ok || json.Unmarshal(raw, &value) != nil {
		var none T
		return none, false
	}
	return value, true
}

// texts is one text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// usernameOf returns whose token it is, if it is good for mail.
func (v *Verifier) usernameOf(c claims) (string, error) {
	// The name is scope in RFC 9068 section 2.2.3, and scp at some providers.
	var scopes []string
	for _, name := range []string{"scope", "scp"} {
		list, _ := claim[texts](c, name)
		for _, s := range list {
			scopes = append(scopes, strings.Fields(s)...)
		}
	}
	for _, want := range strings.Fields(v.opts.Scope) {
		if !slices.Contains(scopes, want) {
			return "", ErrScope
		}
	}
	username, ok := claim[string](c, v.opts.UsernameClaim)
	if !ok || username == "" {
		return "", invalid("it has no claim %q", v.opts.UsernameClaim)
	}
	// Anybody can claim an address that the provider has not checked.
	if v.opts.UsernameClaim == claimEmail {
		if raw, ok := c[claimEmailVerified]; ok && string(raw) != "true" && string(raw) != `"true"` {
			return "", invalid("its email address is not verified")
		}
	}
	return username, nil
}
