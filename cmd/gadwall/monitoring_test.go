package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	dashboardFile = "../../contrib/grafana/gadwall.json"
	alertsDir     = "../../contrib/prometheus"
)

// promtool runs Prometheus' tool and returns what it says, which must be that all is well.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A dashboard is what of one Grafana needs.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		RefID      string
		Expr       string
		Datasource struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// variables of Grafana as they are when a dashboard is shown.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$instance", ".*")

// expressions are the queries of a dashboard, as Prometheus gets them.
func (d *dashboard) expressions() (list []string) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, variables.Replace(target.Expr))
		}
	}
	return list
}

// The dashboard has what Grafana needs, and Prometheus understands its queries.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 40 {
		t.Errorf("dashboard %q %q of version %d with %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"datasource", "instance"}) {
		t.Errorf("variables %v", names)
	}
	var ids []int
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		ids = append(ids, p.ID)
		if p.Title == "" || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q at %+v", p.ID, p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%q covers %q", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if !slices.Contains([]string{"timeseries", "stat", "heatmap"}, p.Type) || p.Description == "" ||
			p.Datasource.UID != "${datasource}" || p.Type != "heatmap" && p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q is %+v", p.Title, p)
		}
		var refs []string
		for _, target := range p.Targets {
			refs = append(refs, target.RefID)
			if target.Expr == "" || target.Datasource != p.Datasource {
				t.Errorf("panel %q asks %+v", p.Title, target)
			}
		}
		if slices.Sort(refs); len(refs) == 0 || len(slices.Compact(refs)) != len(p.Targets) {
			t.Errorf("panel %q has the queries %q", p.Title, refs)
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != len(d.Panels) {
		t.Error("panels share an id")
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for i, e := range d.expressions() {
		if strings.Contains(e, "$") {
			t.Errorf("an unknown variable in %s", e)
		}
		rules = append(rules, rule{fmt.Sprintf("panel:%d", i), e})
	}
	group := map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}
	text, err := json.Marshal(group) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

var alertName = regexp.MustCompile(`- alert: (\w+)`)

// Each alert is understood, fires for what it is about and for nothing else, and has a line in the
// manual that says what to do.
func TestAlerts(t *testing.T) {
	tests := []string{filepath.Join(alertsDir, "gadwall-alerts.test.yml"),
		filepath.Join(alertsDir, "gadwall-alerts-slow.test.yml")}
	promtool(t, "", "check", "rules", filepath.Join(alertsDir, "gadwall-alerts.yml"))
	promtool(t, "", "check", "config", "--syntax-only", filepath.Join(alertsDir, "prometheus.yml"))
	promtool(t, "", append([]string{"test", "rules"}, tests...)...)
	read := func(names ...string) string {
		var all strings.Builder
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.String()
	}
	provoked, manual := read(tests...), read("../../docs/operations.md")
	alerts := alertName.FindAllStringSubmatch(read(filepath.Join(alertsDir, "gadwall-alerts.yml")), -1)
	if len(alerts) < 20 {
		t.Errorf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(provoked, fmt.Sprintf(`'{alertname="%s"}'`, a[1])) {
			t.Errorf("no test provokes %s", a[1])
		}
		if !strings.Contains(manual, "| `"+a[1]+"` |") {
			t.Errorf("docs/operations.md does not say what to do about %s", a[1])
		}
	}
}

// metrics gets what the server tells Prometheus.
func (s *instance) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + s.ports["HTTP"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v", resp.Status, err)
	}
	return string(text)
}

var (
	metricName = regexp.MustCompile(`\b(gadwall|process|go)_[a-z_]+`)
	sampleName = regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`)
)

// Every metric that the dashboard and the alerts name is one of a server that has had some work, and
// Prometheus' own tool finds nothing wrong with how the server names and explains its metrics.
func TestMetricsOfDashboardAndAlerts(t *testing.T) {
	dir := dataDir(t)
	files := writeCertificate(t, t.TempDir(), "mx.example.com", time.Now().Add(100*24*time.Hour))
	gadwall(t, "", []string{passwordVariable + "=correct horse"}, "user", "add", "ada@example.com", "--data-dir", dir).
		want(t, 0)
	gadwall(t, "", nil, "gc", "--data-dir", dir).want(t, 0) // some background work that was done
	s := startServer(t, append(files, "--data-dir", dir, "--smarthost", "127.0.0.1:1",
		"--smarthost-tls", "none", "--submission-listen", "127.0.0.1:0",
		"--smtp-listen", "off")...)
	talk(t, "tcp", s.ports["LMTP"], "LHLO me\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<nobody@example.com>\r\n"+
		"RCPT TO:<ada@example.com>\r\nDATA\r\nSubject: x\r\n\r\nHello.\r\n.\r\nQUIT\r\n", "221")
	talk(t, "tcp", s.ports["IMAP"], "a ID (\"name\" \"Test\")\r\nb LOGIN ada@example.com wrong\r\n"+
		"c LOGIN ada@example.com \"correct horse\"\r\nd SELECT INBOX\r\ne UID SEARCH TEXT hello\r\n"+
		"f FETCH 1 BODY.PEEK[]\r\ng LOGOUT\r\n", "g OK")
	text := s.metrics(t)
	promtool(t, text, "check", "metrics")
	known := map[string]bool{
		"gadwall_check_findings":            true, // only after a check that found something
		"gadwall_submission_messages_total": true, // only after a message that was submitted
		// Only after a census, which somebody at the console asks for.
		"gadwall_census_received_bytes": true, "gadwall_census_stored_bytes": true,
		"gadwall_census_messages": true, "gadwall_census_users": true,
	}
	for _, m := range sampleName.FindAllStringSubmatch(text, -1) {
		known[m[1]] = true
	}
	rules, err := os.ReadFile(filepath.Join(alertsDir, "gadwall-alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	used := metricName.FindAllString(strings.Join(readDashboard(t).expressions(), "\n")+string(rules), -1)
	if len(used) < 100 {
		t.Errorf("dashboard and alerts name %d metrics", len(used))
	}
	for _, name := range used {
		if !known[name] {
			t.Errorf("no metric %s", name)
		}
	}
	s.stop(t)
}
