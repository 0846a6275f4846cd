package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const containers = "../../contrib/docker"

// tool runs a program, in a directory, that must have nothing to say against its arguments.
func tool(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func contribFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(containers, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The Dockerfiles have no mistake that a linter finds.
func TestDockerfiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contribFile(t, "lint/"+name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	for _, name := range []string{"Dockerfile", "postfix/Dockerfile"} {
		path, err := filepath.Abs(filepath.Join(containers, name))
		if err != nil {
			t.Fatal(err)
		}
		tool(t, dir, nil, "node", "node_modules/.bin/dockerfile-utils", "lint", path)
	}
}

// containerSetting is an assignment of a setting: in a Dockerfile, or in the compose file.
var containerSetting = regexp.MustCompile(`(?m)(GADWALL_[A-Z_]+)(?:=|: )([^\s\\$]+)`)

// The compose file and the balancer's are understood, and the server takes the settings in them.
func TestCompose(t *testing.T) {
	token := "GADWALL_HTTP_TOKEN=0123456789abcdef"
	tool(t, containers, []string{token}, "docker-compose", "-f", "compose.yaml", "config", "-q")
	tool(t, containers, nil, "haproxy", "-c", "-f", "haproxy.cfg")
	env := []string{token}
	for _, name := range []string{"Dockerfile", "compose.yaml"} {
		found := containerSetting.FindAllStringSubmatch(contribFile(t, name), -1)
		if len(found) < 5 {
			t.Errorf("%s has the settings %q", name, found)
		}
		for _, m := range found {
			env = append(env, m[1]+"="+m[2])
		}
	}
	gadwall(t, "", env, "config", "show").want(t, 0, "172.28.5.10", "postfix:25", "mongodb1")
	for _, server := range []string{"imap :1143", "lmtp :2424", "submission :1587", "http :8080"} {
		name, port, _ := strings.Cut(server, " ")
		if !strings.Contains(contribFile(t, "Dockerfile"), "GADWALL_"+strings.ToUpper(name)+"_LISTEN="+port) ||
			!strings.Contains(contribFile(t, "haproxy.cfg"), "gadwall2"+port) {
			t.Errorf("the balancer does not lead to %s", server)
		}
	}
}
