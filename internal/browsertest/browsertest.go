package browsertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

var (
	//go:embed package.json
	packages []byte
	//go:embed package-lock.json
	packageLock []byte
	//go:embed browser.cjs
	browserModule []byte
)

// ScreenshotVariable names the directory into which scripts write pictures of pages. Without it they
// write none.
const ScreenshotVariable = "GADWALL_TEST_SCREENSHOTS"

// Run runs a script with node. env has "NAME=value" for it.
func Run(t testing.TB, script string, env ...string) {
	t.Helper()
	node, npm, chromium := program(t, "node"), program(t, "npm"), program(t, "chromium")
	modules, err := installed(npm)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the browser's last process may still write there when the script has ended.
	home, err := os.MkdirTemp("", "gadwall-browser-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, script)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "GADWALL_CHROMIUM="+chromium, "HOME="+home)
	cmd.Env = append(cmd.Env, env...)
	// The browser is a child of the script, and ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}

// program returns the path of a program that a test needs, or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// install is done once in a process.
var install struct {
	once    sync.Once
	modules string
	err     error
}

// installed returns the directory of the modules, after it has made it.
func installed(npm string) (string, error) {
	install.once.Do(func() { install.modules, install.err = installModules(npm) })
	return install.modules, install.err
}

func installModules(npm string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.New()
	for _, part := range [][]byte{packages, packageLock, browserModule} {
		sum.Write(part)
	}
	dir := filepath.Join(cache, "gadwall-browsertest", hex.EncodeToString(sum.Sum(nil)[:8]))
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
	for name, content := range map[string][]byte{"package.json": packages, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &installError{err, bytes.TrimSpace(out)}
	}
	own := filepath.Join(modules, "browser")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(own, "index.js"), browserModule, 0o644); err != nil {
		return "", err
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
