package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := func(calls string) string {
		return `{"v":1,"run":"r","server":{"name":"gadwall"},"workload":"login","calls":` + calls + `,"seconds":1}` + "\n"
	}
	before := write("before.jsonl", line("100")+line("102"))
	after := write("after.jsonl", line("200")+line("202"))

	gadwall(t, "", nil, "bench", "report", before, after, "--markdown").
		want(t, 0, "# Measurements", "gadwall (before)", "▲ faster")
	gadwall(t, line("100"), nil, "bench", "report", "-", "--markdown").want(t, 0, "## login")

	out := filepath.Join(dir, "report.html")
	gadwall(t, "", nil, "bench", "report", before, after, "--out", out).want(t, 0)
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(page); !strings.HasPrefix(s, "<!DOCTYPE html>") || !strings.Contains(s, "▲ faster") {
		t.Errorf("page:\n%.200s", s)
	}

	gadwall(t, "", nil, "bench", "report", before).want(t, exitUsage, "--out")
	bad := write("bad.jsonl", line("1")+"{")
	gadwall(t, "", nil, "bench", "report", bad, "--out", out).want(t, exitFailure, "bad.jsonl: line 2")
	if again, err := os.ReadFile(out); err != nil || string(again) != string(page) {
		t.Errorf("a file that cannot be read changed the page: %v", err)
	}
}
