package browsertest

import (
	_ "embed"
	"os"
	"testing"

	"gadwall/internal/nodetest"
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

var modules = &nodetest.Modules{
	Name:     "gadwall-browsertest",
	Packages: packages,
	Lock:     packageLock,
	Own:      map[string][]byte{"browser": browserModule},
}

// Run runs a script with node. env has "NAME=value" for it.
func Run(t testing.TB, script string, env ...string) {
	t.Helper()
	chromium := nodetest.Program(t, "chromium")
	// Not t.TempDir: the browser's last process may still write there when the script has ended.
	home, err := os.MkdirTemp("", "gadwall-browser-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	modules.Run(t, script, append([]string{"GADWALL_CHROMIUM=" + chromium, "HOME=" + home}, env...)...)
}
