package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// box is what a server tells of a mailbox when a client selects it.
type box struct {
	exists      int
	uidValidity string
}

// examine opens a mailbox and changes nothing in it, not even \Recent.
func examine(c *session, mailbox string) (box, error) { return open(c, "EXAMINE", mailbox) }

// open sends SELECT or EXAMINE.
func open(c *session, command, mailbox string) (b box, err error) {
	untagged, err := c.Must("%s %q", command, mailbox)
	if err != nil {
		return b, err
	}
	b.exists = -1
	for _, line := range untagged {
		if number, ok := strings.CutSuffix(line, " EXISTS"); ok {
			if b.exists, err = strconv.Atoi(strings.TrimPrefix(number, "* ")); err != nil {
				return b, wrong("%s: %s", command, shown(line))
			}
		}
		if rest, ok := strings.CutPrefix(line, "* OK [UIDVALIDITY "); ok {
			b.uidValidity, _, _ = strings.Cut(rest, "]")
		}
	}
	if b.exists < 0 || b.uidValidity == "" {
		return b, wrong("%s without EXISTS or UIDVALIDITY: %s", command,
			shown(strings.Join(untagged, "\n")))
	}
	return b, nil
}

// fetchEach sends a command and calls f for each FETCH response to it. It stops at f's error.
func fetchEach(c *session, command string, f func(*fetched) error) error {
	tag, err := c.Begin("%s", command)
	if err != nil {
		return err
	}
	for {
		line, err := c.Response()
		if err != nil {
			return err
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(status, "OK") {
				return fmt.Errorf("%.100s: %s", command, shown(status))
			}
			return nil
		}
		response, ok, err := parseFetch(line)
		if err != nil {
			return wrong("%v: %s", err, shown(line))
		}
		if !ok {
			continue
		}
		if err := f(response); err != nil {
			return err
		}
	}
}

// fetchOne sends a FETCH of one message and returns the value of an item; without the item, the
// answer is wrong.
func fetchOne(c *session, command, name string) (value string, err error) {
	found := 0
	err = fetchEach(c, command, func(f *fetched) error {
		if v, ok := f.get(name); ok {
			value = v
			found++
		}
		return nil
	})
	if err == nil && found != 1 {
		err = wrong("%d answers to %s", found, command)
	}
	return value, err
}

// searched sends a SEARCH and returns the numbers, from the least to the greatest.
func searched(c *session, criteria string) ([]int, error) {
	numbers, err := listed(c, "SEARCH", "SEARCH "+criteria)
	slices.Sort(numbers)
	return numbers, err
}

// listed sends a command and returns the numbers of its answer, which has this name.
func listed(c *session, name, command string) ([]int, error) {
	untagged, err := c.Must("%s", command)
	if err != nil {
		return nil, err
	}
	var numbers []int
	answered := false
	for _, line := range untagged {
		rest, ok := strings.CutPrefix(line, "* "+name)
		if !ok {
			continue
		}
		answered = true
		for word := range strings.FieldsSeq(rest) {
			n, err := strconv.Atoi(word)
			if err != nil {
				return nil, wrong("%s: %s", name, shown(line))
			}
			numbers = append(numbers, n)
		}
	}
	if !answered {
		return nil, wrong("no answer to %s", command)
	}
	return numbers, nil
}

// flagSet returns the flags of a parenthesized list, sorted, without \Recent, which depends on the
// session.
func flagSet(list string) string {
	flags := strings.Fields(strings.Trim(list, "()"))
	flags = slices.DeleteFunc(flags, func(f string) bool { return strings.EqualFold(f, `\Recent`) })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}
