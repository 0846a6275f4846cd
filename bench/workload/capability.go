package workload

import "strings"

// has reports whether the server names all of these capabilities (RFC 3501 section 7.2.1) to a
// client that has logged in.
func (c *session) has(capabilities ...string) (bool, error) {
	untagged, err := c.Must("CAPABILITY")
	if err != nil {
		return false, err
	}
	known := make(map[string]bool)
	for _, line := range untagged {
		if list, ok := strings.CutPrefix(line, "* CAPABILITY "); ok {
			for word := range strings.FieldsSeq(list) {
				known[strings.ToUpper(word)] = true
			}
		}
	}
	for _, name := range capabilities {
		if !known[name] {
			return false, nil
		}
	}
	return true, nil
}
