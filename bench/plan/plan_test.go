package plan

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gadwall/bench"
	"gadwall/bench/result"
)

// space is a line of n mails of 1000 bytes, 400 of them text that takes half, 600 attachments of
// which half were sent before; those that were not take scale of their bytes. Beside that each mail
// takes 50 bytes.
func space(n, scale float64) *result.Line {
	return &result.Line{
		Server: result.Server{Name: "gadwall"}, Workload: bench.FootprintWorkload,
		Params: map[string]float64{bench.FootprintMails: n, bench.FootprintDuplicates: 50},
		Values: map[string]float64{
			"received-bytes": 1000 * n, "directory-bytes": n * (200 + 300*scale + 50),
			"headers-logical-bytes": 100 * n, "headers-stored-bytes": 50 * n,
			"text-logical-bytes": 300 * n, "text-stored-bytes": 150 * n,
			"pdf-logical-bytes": 600 * n, "pdf-stored-bytes": 300 * scale * n,
			"collection-messages-document-bytes": 500 * n, "collection-messages-index-bytes": 20 * n,
			"collection-contents-index-bytes": 4 * n, "collection-blobs.files-index-bytes": 5 * n,
			"collection-blobs.chunks-index-bytes": 1 * n,
		},
	}
}

// speed is a line of a workload with ten calls in a second.
func speed(workload, step string, cpu float64) *result.Line {
	return &result.Line{
		Server: result.Server{Name: "gadwall"}, Workload: workload, Step: step, Calls: 10, Seconds: 1,
		Machine: result.Machine{Cores: 2},
		Values:  map[string]float64{"cpu-ms-per-call": cpu, "rss-bytes": 1e8},
		Database: map[string]result.Commands{"commitTransaction": {Count: 1}, "insert": {Count: 2},
			"update": {Count: 3}, result.AllCommands: {Count: 6}},
	}
}

// plain is a MongoDB that takes as much as the measured database, doubled one that takes more.
var (
	plain = Database{TableFactor: Exactly(1), OplogFactor: Exactly(1), OplogHours: 48, CacheFactor: Exactly(1),
		CacheShare: 0.5}
	doubled = Database{TableFactor: Exactly(2), OplogFactor: Exactly(3), OplogHours: 24, CacheFactor: Exactly(1.5),
		CacheShare: 0.5}
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

func TestFigure(t *testing.T) {
	a := Figure{Low: 2, Value: 4, High: 6, Known: true, Bounded: true}
	b := Figure{Low: 1, Value: 2, High: 4, Known: true, Bounded: true}
	for name, test := range map[string]struct{ got, want Figure }{
		"sum":           {a.Plus(b), Figure{3, 6, 10, true, true}},
		"product":       {a.Times(b), Figure{2, 8, 24, true, true}},
		"quotient":      {a.Per(b), Figure{0.5, 2, 6, true, true}},
		"by 0":          {a.Per(Figure{Value: 1, High: 2, Known: true}), Figure{}},
		"up":            {measured([]float64{1.2, 3.1}).Whole(), Figure{2, 3, 4, true, true}},
		"3 of division": {Exactly(0.3).Per(Exactly(0.1)).Whole(), Exactly(3)},
		"most":          {a.Most(Figure{3, 3, 3, true, true}), Figure{3, 4, 6, true, true}},
		"most of one":   {Figure{}.Most(a), a},
		"unknown":       {a.Plus(Figure{}), Figure{}},
		"no repeats":    {a.Times(measured([]float64{2})), Figure{4, 8, 12, true, false}},
		"none":          {measured(nil), Figure{}},
		"repeats":       {measured([]float64{3, 1, 2}), Figure{1, 2, 3, true, true}},
	} {
		if test.got != test.want {
			t.Errorf("%s: %+v, want %+v", name, test.got, test.want)
		}
	}
}

func TestConstants(t *testing.T) {
	failed := speed("ingest", "", 99)
	failed.Errors = 1
	other := speed("ingest", "", 99)
	other.Server.Name = "dovecot"
	c, err := NewConstants([]*result.Line{space(10, 9), space(100, 0.8), space(100, 1), speed("ingest", "", 2),
		speed("ingest", "", 4), speed("store", "one", 1), failed, other})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ got, want Figure }{
		"size":         {c.MailSize, Figure{1000, 1000, 1000, true, true}},
		"share":        {c.FileShare, Figure{0.6, 0.6, 0.6, true, true}},
		"text":         {c.TextBytes, Figure{0.5, 0.5, 0.5, true, true}},
		"file":         {c.FileBytes, Figure{0.8, 0.9, 1, true, true}},
		"overhead":     {c.Overhead, Figure{50, 50, 50, true, true}},
		"on disk":      {c.StoredPerMail, Figure{490, 520, 550, true, true}},
		"document":     {c.MessageBytes, Figure{500, 500, 500, true, true}},
		"indexes":      {c.IndexBytes, Figure{20, 20, 20, true, true}},
		"by hash":      {c.ByHashBytes, Figure{10, 10, 10, true, true}},
		"CPU":          {c.CPU["ingest"], Figure{2, 3, 4, true, true}},
		"CPU of one":   {c.CPU["store one"], Figure{1, 1, 1, true, false}},
		"commands":     {c.Commands, Figure{6, 6, 6, true, true}},
		"transactions": {c.Transactions, Figure{1, 1, 1, true, true}},
		"deliveries":   {c.Deliveries, Figure{10, 10, 10, true, true}},
	} {
		if g, w := test.got, test.want; !near(g.Low, w.Low) || !near(g.Value, w.Value) || !near(g.High, w.High) ||
			g.Known != w.Known || g.Bounded != w.Bounded {
			t.Errorf("%s: %+v, want %+v", name, g, w)
		}
	}
	if c.Mails != 100 || c.Duplicates != 0.5 || c.Cores != 2 {
		t.Errorf("%+v", c)
	}
}

func TestConstantsRefused(t *testing.T) {
	mixed := space(100, 1)
	mixed.Params[bench.FootprintDuplicates] = 10
	copies := space(100, 1)
	copies.Params[bench.FootprintDuplicates] = 100
	unknown := space(100, 1)
	unknown.Params = nil
	for name, test := range map[string]struct {
		lines []*result.Line
		want  string
	}{
		"no space":      {[]*result.Line{speed("ingest", "", 1)}, ErrNoSpace.Error()},
		"other mail":    {[]*result.Line{unknown}, ErrNoSpace.Error()},
		"mixed":         {[]*result.Line{space(100, 1), mixed}, "50 % and 10 %"},
		"nothing fresh": {[]*result.Line{copies}, "no attachment that was not there before"},
	} {
		if _, err := NewConstants(test.lines); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// item returns the value of an item of a plan.
func item(t *testing.T, p *Plan, name string) Figure {
	t.Helper()
	for _, i := range p.Items {
		if i.Name == name {
			if i.Formula == "" {
				t.Errorf("%s has no formula", name)
			}
			return i.Value
		}
	}
	t.Fatalf("no item %q", name)
	return Figure{}
}

func TestPlan(t *testing.T) {
	lines := []*result.Line{space(100, 0.8), space(100, 1)}
	for range 2 {
		lines = append(lines, speed("ingest", "", 2), speed("store", "one", 1))
	}
	c, err := NewConstants(lines)
	if err != nil {
		t.Fatal(err)
	}
	// 10 mails a second on average.
	load := Load{Users: 86400, MailsPerDay: 10, MailSize: 2000, Duplicates: 0.75, Retention: 100, Active: 0.5}
	hardware := Hardware{Replicas: 3, Disk: 1e10, Memory: 1e11, Cores: 4, Database: doubled}
	p := c.Plan(load, hardware)
	const kept = 86_400_000.0
	// text 400 * 0.5, attachments 600 * 0.25 * 0.8 to 1, of 1000; and the overhead
	mail := Figure{2*(200+120) + 50, 2*(200+135) + 50, 2*(200+150) + 50, true, true}
	oplog := 3 * 10 * 24 * 3600.0
	for name, want := range map[string]Figure{
		"mails kept":                             Exactly(kept),
		"bytes received in them":                 Exactly(kept * 2000),
		"one mail on disk":                       mail,
		"one mail in tables":                     mail.Times(Exactly(2)),
		"one mail in the oplog":                  mail.Times(Exactly(3)),
		"disk, one copy":                         mail.Times(Exactly(2 * kept)),
		"mails a second, peak":                   Exactly(40),
		"disk writes at the peak":                mail.Times(Exactly(40 * (2 + 3) * 2)),
		"network to the other members, peak":     mail.Times(Exactly(40 * 3 * 2)),
		"oplog":                                  mail.Times(Exactly(oplog)),
		"disk of a member, all users":            mail.Times(Exactly((2*kept + oplog) / 0.7)),
		"disk of all members":                    mail.Times(Exactly(3 * (2*kept + oplog) / 0.7)),
		"transactions a second, deliveries":      Exactly(40),
		"database commands a second, deliveries": Exactly(240),
		"sessions at the peak":                   Exactly(43200),
		// 40 deliveries of 2 ms, and 43200 * 20 / 3600 changes of 1 ms, to the half
		"processors of all instances":  Exactly((80 + 240) / 500.0),
		"instances":                    Exactly(2),
		"memory of an instance":        Exactly(1e8 + 21600*30720),
		"working set of the database":  mail.Times(Exactly(1.5 * 864000)).Plus(Exactly(1.5 * kept * (0.5*520 + 10))),
		"Redis, messages in a second":  Exactly(280),
		"Redis, messages out a second": Exactly(560),
		"replica sets by disk":         mail.Times(Exactly((2*kept + oplog) / 0.7 / 1e10)).Whole(),
		"replica sets by memory":       Exactly(1),
		"replica sets by writes":       Exactly(8),
		"replica sets":                 {18, 19, 19, true, true},
	} {
		got := item(t, p, name)
		if !near(got.Low, want.Low) || !near(got.Value, want.Value) || !near(got.High, want.High) ||
			!got.Known || !got.Bounded {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if len(p.Unmeasured) != len(requests)-1 {
		t.Errorf("unmeasured: %q", p.Unmeasured)
	}
}

// On a MongoDB what was measured stands for the factors.
func TestPlanOnMongoDB(t *testing.T) {
	line := space(100, 1)
	line.Server.Variant = "mongodb"
	delete(line.Values, "directory-bytes")
	line.Values["collection-messages-table-bytes"] = 100 * 470 // and 30 of indexes
	line.Values["oplog-bytes"] = 100 * 1000
	c, err := NewConstants([]*result.Line{line})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plan(Load{Users: 1, MailsPerDay: 1, Retention: 1, Duplicates: 0.5},
		Hardware{Replicas: 1, Disk: 1e12, Memory: 1e12, Cores: 1, Database: doubled})
	if got := item(t, p, "one mail in tables"); !near(got.Value, 500) {
		t.Errorf("in tables: %+v", got)
	}
	if got := item(t, p, "one mail in the oplog"); !near(got.Value, 1000) {
		t.Errorf("in the oplog: %+v", got)
	}
	if _, err := NewConstants([]*result.Line{line, space(100, 1)}); err == nil {
		t.Error("lines of two databases are repeats of one")
	}
}

func TestParseFigure(t *testing.T) {
	for text, want := range map[string]Figure{"1.5": Exactly(1.5), "0.9..1..1.2": Between(0.9, 1, 1.2)} {
		got, err := ParseFigure(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1..2", "1..2..3..4", "1..x..3"} {
		if got, err := ParseFigure(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if err := DefaultDatabase().Check(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Database){func(d *Database) { d.TableFactor = Between(2, 1, 3) },
		func(d *Database) { d.OplogFactor = Exactly(-1) }, func(d *Database) { d.CacheFactor = Figure{} },
		func(d *Database) { d.CacheShare = 0 }, func(d *Database) { d.OplogHours = math.NaN() }} {
		d := DefaultDatabase()
		if change(&d); d.Check() == nil {
			t.Errorf("%+v is allowed", d)
		}
	}
}

// Without lines of speed a plan has the disk, and does not guess the rest.
func TestPlanOfSpaceAlone(t *testing.T) {
	c, err := NewConstants([]*result.Line{space(100, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plan(Load{Users: 1, MailsPerDay: 1, Retention: 1, Duplicates: 0.5},
		Hardware{Replicas: 1, Disk: 1e12, Memory: 1e12, Cores: 1, Database: plain})
	if one := item(t, p, "one mail on disk"); !near(one.Value, 550) || one.Bounded {
		t.Errorf("one mail: %+v", one)
	}
	for _, name := range []string{"processors of all instances", "transactions a second, deliveries",
		"memory of an instance", "replica sets by writes"} {
		if got := item(t, p, name); got.Known {
			t.Errorf("%s: %+v", name, got)
		}
	}
	var text strings.Builder
	if err := p.WriteText(&text, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not measured", "550 B", "?", "One replica set is enough.", "(journal, table)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// Where nobody knows which attachments are duplicates, a plan has as many as there were.
func TestPlanAsFound(t *testing.T) {
	found := space(100, 1)
	delete(found.Params, bench.FootprintDuplicates)
	c, err := NewConstants([]*result.Line{found})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plan(Load{Users: 1, MailsPerDay: 1, Retention: 1, Duplicates: 0.9},
		Hardware{Replicas: 1, Disk: 1e12, Memory: 1e12, Cores: 1, Database: plain})
	if one := item(t, p, "one mail on disk"); !c.AsFound || !near(one.Value, 550) {
		t.Errorf("%v, one mail: %+v", c.AsFound, one)
	}
}

// Many users are parted into cells.
func TestAdvice(t *testing.T) {
	c, err := NewConstants([]*result.Line{space(100, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plan(Load{Users: 1e6, MailsPerDay: 10, Retention: 1000, Duplicates: 0.5},
		Hardware{Replicas: 3, Disk: 1e12, Memory: 1e13, Cores: 8, Database: plain})
	var text strings.Builder
	if err := p.WriteText(&text, c); err != nil {
		t.Fatal(err)
	}
	// 10^10 mails of 550 bytes, and an oplog, in disks of 0.7 TB
	if !strings.Contains(text.String(), "8 cells") || !strings.Contains(text.String(), "for 125,000 users") {
		t.Errorf("text:\n%s", text.String())
	}
}

func TestCheck(t *testing.T) {
	small, err := NewConstants([]*result.Line{space(100, 1), speed("ingest", "", 2)})
	if err != nil {
		t.Fatal(err)
	}
	big := space(1000, 0.8)
	checked, times, err := small.Check([]*result.Line{big, speed("ingest", "", 4)})
	if err != nil || times != 10 {
		t.Fatalf("%v, %v", times, err)
	}
	found := make(map[string]Checked)
	for _, c := range checked {
		found[c.Name] = c
	}
	for name, want := range map[string]struct{ forecast, measured, off float64 }{
		"disk":                           {550_000, 490_000, 550.0/490 - 1},
		"headers and texts":              {200_000, 200_000, 0},
		"attachments":                    {300_000, 240_000, 0.25},
		"all else on disk":               {50_000, 50_000, 0},
		"documents of messages":          {500_000, 500_000, 0},
		"deliveries":                     {10, 10, 0},
		"processors of 100 deliveries/s": {0.2, 0.4, -0.5},
	} {
		c := found[name]
		if !near(c.Forecast.Value, want.forecast) || !near(c.Measured.Value, want.measured) ||
			!near(c.Error(), want.off) {
			t.Errorf("%s: %+v, %v, want %+v", name, c, c.Error(), want)
		}
	}
	var text strings.Builder
	if err := WriteChecks(&text, checked, times); err != nil || !strings.Contains(text.String(), "+25.0 %") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if _, _, err := small.Check(nil); !errors.Is(err, ErrNoSpace) {
		t.Errorf("no larger run: %v", err)
	}
}

func TestLoadCheck(t *testing.T) {
	good := Load{Users: 1, MailsPerDay: 1, Retention: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	nan := math.NaN()
	for _, change := range []func(*Load){
		func(l *Load) { l.Users = 0 }, func(l *Load) { l.MailsPerDay = nan }, func(l *Load) { l.Retention = -1 },
		func(l *Load) { l.Duplicates = 1.1 }, func(l *Load) { l.Active = nan }, func(l *Load) { l.MailSize = -1 },
	} {
		l := good
		if change(&l); l.Check() == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	if err := (Hardware{Replicas: 1, Disk: 1, Memory: 1}).Check(); err == nil {
		t.Error("no processors")
	}
}
