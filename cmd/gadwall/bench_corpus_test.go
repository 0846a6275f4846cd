package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gadwall/bench"
)

func TestBenchCorpus(t *testing.T) {
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 4, DuplicatePercent: -1, Packed: true})
	args := []string{"bench", "corpus", "--mails", "12", "--seed", "4", "--duplicates", "0", "--packed"}
	dir := filepath.Join(t.TempDir(), "mail")
	made := gadwall(t, "", nil, append(args, "--out", dir)...)
	made.want(t, 0, "12 messages, ", "size of messages", "leaf parts", "bytes by class")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for n := range 12 {
		raw, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%08d.eml", n)))
		if err != nil || !bytes.Equal(raw, corpus.Message(n).Raw) {
			t.Errorf("mail %d differs: %v", n, err)
		}
	}
	if only := gadwall(t, "", nil, args...); only.status != 0 || only.out != made.out {
		t.Errorf("without --out:\n%s", only.out)
	}
	mbox := gadwall(t, "", nil, append(args, "--out", "-")...)
	if mbox.status != 0 || mbox.err != made.out || strings.Count("\n"+mbox.out, "\n\nFrom ") != 11 {
		t.Errorf("status %d, standard error:\n%s", mbox.status, mbox.err)
	}
	gadwall(t, "", nil, append(args, "--out", dir)...).want(t, exitUsage, "not empty")
	gadwall(t, "", nil, "bench", "corpus", "--mails", "0").want(t, exitUsage, "--mails")
	gadwall(t, "", nil, "bench", "corpus", "--duplicates", "101").want(t, exitUsage, "--duplicates")
	gadwall(t, "", nil, "bench", "corpus", "--languages", "tlh=1").want(t, exitUsage, "tlh")
	gadwall(t, "", nil, "bench", "space", "--attachment-kinds", "films=1").want(t, exitUsage, "films")
	gadwall(t, "", nil, "bench", "run", "--thread-length", "11").want(t, exitUsage, "threads")
}

// Each flag reaches the mail.
func TestBenchCorpusFlags(t *testing.T) {
	made := gadwall(t, "", nil, "bench", "corpus", "--mails", "60", "--attachments", "90", "--attachment-size", "1500",
		"--attachment-kinds", "pdf=1", "--duplicates", "0", "--languages", "ru=1", "--legacy-charsets", "100",
		"--broken", "100", "--thread-length", "1")
	made.want(t, 0, "koi8-r", "Date is none", "pdf", "(0 %)")
	for _, no := range []string{"iso-8859-1", "images   ", "office    ", " archives "} {
		if strings.Contains(made.out[strings.Index(made.out, "attachments by class"):], no) {
			t.Errorf("there is %q:\n%s", no, made.out)
		}
	}
	_, after, _ := strings.Cut(made.out, "refers to\n")
	if !strings.HasPrefix(after, "  0                           60 100.0 %") {
		t.Errorf("threads:\n%s", after)
	}
}

// A program that undoes what an mbox does gets the mail, and splits it nowhere else.
func TestWriteMbox(t *testing.T) {
	mails := []string{"Subject: c\r\n\r\nno line end",
		"Subject: a\r\n\r\nFrom here\r\n>From there\r\nno >From\r\n\r\n", "Subject: b\r\n\r\nend\r\n"}
	var mbox bytes.Buffer
	for _, raw := range mails {
		if err := writeMbox(&mbox, &bench.Message{From: "a@example.com", Raw: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	want := "From a@example.com Thu Jan  1 00:00:00 1970\nSubject: c\n\nno line end\n\n" +
		"From a@example.com Thu Jan  1 00:00:00 1970\n" +
		"Subject: a\n\n>From here\n>>From there\nno >From\n\n\n" +
		"From a@example.com Thu Jan  1 00:00:00 1970\nSubject: b\n\nend\n\n"
	if mbox.String() != want {
		t.Errorf("%q", mbox.String())
	}
	parts := regexp.MustCompile(`(?m)^From .*\n`).Split(mbox.String(), -1)[1:]
	for i, part := range parts {
		part = regexp.MustCompile(`(?m)^>(>*From )`).ReplaceAllString(strings.TrimSuffix(part, "\n"), "$1")
		if got := strings.ReplaceAll(part, "\n", "\r\n"); got != strings.TrimSuffix(mails[i], "\r\n")+"\r\n" {
			t.Errorf("%q, want %q", got, mails[i])
		}
	}
}

// Mail that is there has the same properties as when it was made, and a run can use it.
func TestBenchStoredMail(t *testing.T) {
	dir := t.TempDir()
	made := gadwall(t, "", nil, "bench", "corpus", "--mails", "12", "--seed", "3", "--out", filepath.Join(dir, "mail"))
	made.want(t, 0, "12 messages")
	again := gadwall(t, "", nil, "bench", "corpus", "--mail", filepath.Join(dir, "mail"))
	if again.status != 0 || again.out != made.out {
		t.Errorf("status %d, %s\n%s\nwant\n%s", again.status, again.err, again.out, made.out)
	}
	gadwall(t, "", nil, "bench", "corpus", "--mail", dir+"/none").want(t, exitUsage, "--mail")
	gadwall(t, "", nil, "bench", "run", "append", "--mail", dir+"/none").want(t, exitUsage, "--mail")
	gadwall(t, "", nil, "bench", "run", "append", "--mail", dir, "--users", "1", "--messages", "12", "--repeats", "1",
		"--connections", "1").want(t, 0, "append")
}
