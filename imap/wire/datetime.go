package wire

import (
	"strings"
	"time"
)

const (
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
	dateLayout     = "2-Jan-2006"
)

// DateTime reads the quoted date-time of APPEND (RFC 3501 section 9).
func (d *Decoder) DateTime() (time.Time, error) {
	if d.Peek() != '"' {
		return time.Time{}, d.unexpected("a date-time")
	}
	s, err := d.quoted()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(dateTimeLayout, s)
	if err != nil {
		return time.Time{}, Errorf("invalid date-time")
	}
	return t, nil
}

// Date reads the date of a search key, quoted or not, as midnight UTC.
func (d *Decoder) Date() (time.Time, error) {
	s, err := d.AString()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(dateLayout, strings.TrimSpace(s))
	if err != nil {
		return time.Time{}, Errorf("invalid date")
	}
	return t, nil
}
