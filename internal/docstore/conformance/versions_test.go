package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// sinceVersion are cases that hold from a version of MongoDB on, because it changed what they are
// about. They were told apart on a server of 4.5, so that the version may be too low.
type sinceVersion struct {
	Since, Why string
	Cases      []string
}

// newerCases returns the names of the tests that are about versions later than the server's, with
// the reasons.
func newerCases(t *testing.T, client *mongo.Client, files map[string]file) map[string]string {
	t.Helper()
	known := map[string]bool{}
	for name, f := range files {
		for _, g := range f.Groups {
			for _, c := range g.Cases {
				known[underscored(name+"/"+g.Name+"/"+c.Name)] = true
			}
		}
	}
	raw, err := os.ReadFile("testdata/versions/since.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []sinceVersion
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	version := serverVersion(t, client)
	newer := map[string]string{}
	for _, s := range list {
		since := parseVersion(t, s.Since)
		for _, name := range s.Cases {
			if !known[name] {
				t.Errorf("since %s: there is no case %s", s.Since, name)
			}
			if version < since {
				newer[t.Name()+"/"+name] = fmt.Sprintf("since %s: %s", s.Since, s.Why)
			}
		}
	}
	return newer
}

// underscored is a name as package testing has it.
func underscored(name string) string { return strings.ReplaceAll(name, " ", "_") }

// A version counts major and minor numbers: 4.4 is 404.
func parseVersion(t *testing.T, text string) int {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("version %q: %v", text, err)
	}
	return 100*major + minor
}

func serverVersion(t *testing.T, client *mongo.Client) int {
	t.Helper()
	var info struct{ Version string }
	err := client.Database("admin").RunCommand(context.Background(), bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
	if err != nil {
		t.Fatal(err)
	}
	return parseVersion(t, info.Version)
}

// Versions compare by their major and minor numbers.
func TestVersions(t *testing.T) {
	if a, b := parseVersion(t, "4.4.29"), parseVersion(t, "5.0"); a >= b || parseVersion(t, "7.0.0") != 700 {
		t.Errorf("4.4 is %d, 5.0 is %d", a, b)
	}
}
