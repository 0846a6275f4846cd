package sasl

import "strings"

// checkPassword logs a user in. as is whose mail it wants, which may be empty.
type checkPassword func(as, username, password string) error

// plain is PLAIN (RFC 4616).
type plain struct{ check checkPassword }

func (p *plain) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte{}, false, nil
	}
	fields := strings.Split(string(response), "\x00")
	if len(fields) != 3 || fields[1] == "" {
		return nil, false, malformed("the response is not of PLAIN")
	}
	if err := p.check(fields[0], fields[1], fields[2]); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// login is LOGIN, which old clients use. There is no RFC of it: clients expect these prompts.
type login struct {
	check    checkPassword
	username string
	asked    bool // for the password
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !l.asked:
		return []byte("Username:"), false, nil
	case !l.asked:
		if len(response) == 0 {
			return nil, false, malformed("the username is empty")
		}
		l.username, l.asked = string(response), true
		return []byte("Password:"), false, nil
	}
	if err := l.check("", l.username, string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
