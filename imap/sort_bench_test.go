package imap

import (
	"testing"
	"time"

	"gadwall/internal/dovecottest"
	"gadwall/internal/imapconn"
)

// BenchmarkSortAndThread answers SORT and THREAD of 20,000 messages, beside Dovecot with the same
// mail in mdbox, in turn. It reports the first answer of each server, and the best of those after
// it: other work on the machine makes single answers slow.
//
//	go test ./imap -run '^$' -bench SortAndThread -benchtime 10x
func BenchmarkSortAndThread(b *testing.B) {
	const messages = 20_000
	mails := threadMail(7, messages)
	ours := benchMailbox(b, messages, func(i int) []byte { return mails[i] })
	dovecot := dovecottest.Start(b, dovecottest.MDBox(false))
	conn, err := imapconn.Login(dovecot.Addr, dovecot.User, dovecot.Password, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	theirs := &testClient{conn, b}
	for _, m := range mails {
		theirs.append("INBOX", "", string(m))
	}
	theirs.ok("SELECT INBOX")
	took := func(c *testClient, command string) float64 {
		began := time.Now()
		c.drain(command)
		return float64(time.Since(began).Microseconds()) / 1000
	}
	for _, command := range []string{
		"SORT (ARRIVAL) UTF-8 ALL", "SORT (REVERSE DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 ALL",
		"SORT (FROM) UTF-8 ALL", "SORT (DISPLAYTO SIZE) UTF-8 ALL",
		"UID SORT RETURN (PARTIAL 1:50) (REVERSE DATE SUBJECT) UTF-8 ALL",
		"THREAD REFERENCES UTF-8 ALL", "THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
	} {
		b.Run(command, func(b *testing.B) {
			first := [2]float64{took(ours, command), took(theirs, command)}
			best := [2]float64{took(ours, command), took(theirs, command)}
			for b.Loop() {
				best = [2]float64{min(best[0], took(ours, command)), min(best[1], took(theirs, command))}
			}
			b.ReportMetric(first[0], "first-ms")
			b.ReportMetric(best[0], "best-ms")
			b.ReportMetric(first[1], "dovecot-first-ms")
			b.ReportMetric(best[1], "dovecot-best-ms")
		})
	}
}
