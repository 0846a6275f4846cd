package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Modules are packages of npm that scripts need. Their fields stay as they are.
type Modules struct {
	// Name is the name of their directory in the user's cache.
	Name string
	// Packages is package.json, Lock is package-lock.json.
	Packages, Lock []byte
	// Own has modules of the test's own by name: the text of a CommonJS module that several scripts share.
	Own map[string][]byte

	install sync.Once
	dir     string
	err     error
}

// Run runs a script with node and returns its output. env has "NAME=value" for it.
func (m *Modules) Run(t testing.TB, script string, env ...string) string {
	t.Helper()
	node, npm := Program(t, "node"), Program(t, "npm")
	m.install.Do(func() { m.dir, m.err = m.installed(npm) })
	if m.err != nil {
		t.Fatal(m.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, script)
	cmd.Env = append(os.Environ(), "NODE_PATH="+m.dir)
	cmd.Env = append(cmd.Env, env...)
	// A child of the script, as a browser is, ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a browser that left the group may keep the output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

// Program returns the path of a program that a test needs, or skips the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// installed returns the directory of the modules, after it has made it.
func (m *Modules) installed(npm string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.New()
	sum.Write(m.Packages)
	sum.Write(m.Lock)
	for _, name := range slices.Sorted(maps.Keys(m.Own)) {
		sum.Write([]byte(name))
		sum.Write(m.Own[name])
	}
	dir := filepath.Join(cache, m.Name, hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Tests of several packages run at the same time.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	modules, done := filepath.Join(dir, "node_modules"), filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return modules, nil
	}
	for name, content := range map[string][]byte{"package.json": m.Packages, "package-lock.json": m.Lock} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &installError{err, bytes.TrimSpace(out)}
	}
	for name, text := range m.Own {
		own := filepath.Join(modules, name)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(own, "index.js"), text, 0o644); err != nil {
			return "", err
		}
	}
	return modules, os.WriteFile(done, nil, 0o644)
}

// installError is why npm failed.
type installError struct {
	err error
	out []byte
}

func (e *installError) Error() string { return "npm ci: " + e.err.Error() + "\n" + string(e.out) }
func (e *installError) Unwrap() error { return e.err }
