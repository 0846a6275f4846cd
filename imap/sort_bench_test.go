package imap

import (
	"testing"

	"gadwall/internal/dovecottest"
)

// BenchmarkSortAndThread answers SORT and THREAD of 20,000 messages, beside Dovecot with the same
// mail in mdbox. What Dovecot has in its caches after the first answer, it has here.
//
//	go test ./imap -run '^$' -bench SortAndThread -benchtime 5x
func BenchmarkSortAndThread(b *testing.B) {
	const messages = 20_000
	mails := threadMail(7, messages)
	ours := benchMailbox(b, messages, func(i int) []byte { return mails[i] })
	dovecot := dovecottest.Start(b, dovecottest.MDBox(false))
	theirs := dialIMAP(b, dovecot.Addr, dovecot.User, dovecot.Password)
	for _, m := range mails {
		theirs.append("INBOX", "", string(m))
	}
	theirs.ok("SELECT INBOX")
	for _, command := range []string{
		"SORT (ARRIVAL) UTF-8 ALL", "SORT (REVERSE DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 ALL",
		"SORT (FROM) UTF-8 ALL",
		"SORT (DISPLAYTO SIZE) UTF-8 ALL",
		"UID SORT RETURN (PARTIAL 1:50) (REVERSE DATE) UTF-8 ALL",
		"THREAD REFERENCES UTF-8 ALL", "THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
	} {
		for name, c := range map[string]*testClient{"Gadwall": ours, "Dovecot": theirs} {
			b.Run(command+"/"+name, func(b *testing.B) {
				c.drain(command)
				for b.Loop() {
					c.drain(command)
				}
			})
		}
	}
}
