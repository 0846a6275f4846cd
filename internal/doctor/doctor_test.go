package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"gadwall/internal/config"
	"gadwall/internal/schema"
	"gadwall/quota"
)

// want checks that a finding of this severity has the text, and that all but ok say what to do.
func want(t *testing.T, list []Finding, s Severity, text string) {
	t.Helper()
	found := false
	for _, f := range list {
		found = found || f.Severity == s && strings.Contains(f.Text, text)
		if (f.Severity == OK) != (f.Do == "") {
			t.Errorf("%v %q says to do %q", f.Severity, f.Text, f.Do)
		}
	}
	if !found {
		t.Errorf("no %v with %q in %v", s, text, list)
	}
}

// only checks that nothing is wrong.
func only(t *testing.T, list []Finding, text string) {
	t.Helper()
	want(t, list, OK, text)
	if Worst(list) != OK {
		t.Errorf("findings %v", list)
	}
}

// settings of a server on this machine alone.
func settings() config.Serve {
	s := config.Serve{Hostname: "mail.example.com", Postmaster: "ada@example.com", GCInterval: 1, CheckInterval: 1}
	s.IMAPListen, s.IMAPSListen, s.LMTPListen, s.SMTPListen, s.HTTPListen = "127.0.0.1:0", config.Off, config.Off,
		config.Off, config.Off
	s.Quota.DefaultStorage, s.Quota.DefaultMessages = config.StorageLimit(quota.Unlimited),
		config.MessageLimit(quota.Unlimited)
	s.PlaintextLoginFrom = config.Networks{netip.MustParsePrefix("127.0.0.0/8")}
	return s
}

// examine makes one look at settings that were changed.
func examine(t *testing.T, l look, o Options, change func(o *Options)) []Finding {
	t.Helper()
	o.Serve = settings()
	o.System = thisSystem()
	o.Resolver = names0
	o.Now = time.Now
	if change != nil {
		change(&o)
	}
	var f findings
	l(t.Context(), &o, &f)
	return f.list
}

func TestConfiguration(t *testing.T) {
	look := func(change func(o *Options)) []Finding { return examine(t, configuration, Options{}, change) }
	only(t, look(nil), "can work")
	everybody := config.Networks{netip.MustParsePrefix("0.0.0.0/0")}
	want(t, look(func(o *Options) { o.Refused = errors.New("--x: no") }), Problem, "serve would not start: --x: no")
	want(t, look(func(o *Options) { o.Serve.IMAPListen = ":143" }), Problem, "without TLS")
	want(t, look(func(o *Options) { o.Serve.PlaintextLoginFrom = everybody }), Warning, "without TLS")
	want(t, look(func(o *Options) { o.Serve.LMTPListen = "0.0.0.0:24" }), Warning, "LMTP listens")
	want(t, look(func(o *Options) { o.Serve.Postmaster = "" }), Warning, "Postmaster")
	want(t, look(func(o *Options) { o.Serve.GCInterval = 0 }), Warning, "Nobody deletes")
	want(t, look(func(o *Options) { o.Serve.CheckInterval = 0 }), Warning, "Nobody checks")
	only(t, look(func(o *Options) {
		o.Serve.PlaintextLoginFrom = everybody
		o.Serve.TrustedProxies.Unix = true
	}), "can work")
}

// resolver knows what it has.
type resolver struct {
	addresses map[string][]netip.Addr
	back      map[string][]string
	mx        map[string][]*net.MX
	err       error // for everything else
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a := r.addresses[host]; a != nil {
		return a, nil
	}
	return nil, r.err
}

func (r *resolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if n := r.back[addr]; n != nil {
		return n, nil
	}
	return nil, r.err
}

func (r *resolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if m := r.mx[name]; m != nil {
		return m, nil
	}
	return nil, r.err
}

var (
	noSuchName = &net.DNSError{Err: "no such host", IsNotFound: true}
	names0     = &resolver{
		addresses: map[string][]netip.Addr{"mail.example.com": {netip.MustParseAddr("192.0.2.1")}},
		back:      map[string][]string{"192.0.2.1": {"MAIL.example.com."}},
		mx:        map[string][]*net.MX{"example.com": {{Host: "mx.example.com."}}}, err: noSuchName,
	}
)

func TestNames(t *testing.T) {
	look := func(change func(o *Options)) []Finding { return examine(t, names, Options{}, change) }
	with := func(r resolver) []Finding { return look(func(o *Options) { o.Resolver = &r }) }
	only(t, look(nil), "goes to mx.example.com")
	want(t, look(func(o *Options) { o.Serve.Hostname = "box" }), Warning, "no full name")
	want(t, with(resolver{err: noSuchName}), Problem, "has no address")
	want(t, with(resolver{err: errors.New("timeout")}), Warning, "has no address")
	want(t, with(resolver{addresses: names0.addresses, mx: names0.mx, err: noSuchName}), Warning, "does not lead back")
	want(t, with(resolver{addresses: names0.addresses, mx: names0.mx,
		back: map[string][]string{"192.0.2.1": {"other.example.com."}}}), Warning, "other.example.com")
	want(t, with(resolver{addresses: names0.addresses, back: names0.back, err: noSuchName}), Warning, "has no MX")
	want(t, with(resolver{addresses: names0.addresses, back: names0.back, err: errors.New("timeout")}), Warning,
		"Nobody tells the MX")
}

func TestDisk(t *testing.T) {
	look := func(d Disk, err error) []Finding {
		return examine(t, disk, Options{}, func(o *Options) {
			o.Serve.DataDir, o.Serve.CheckTempSize = t.TempDir(), 1<<30
			o.System.Statfs = func(string) (Disk, error) { return d, err }
		})
	}
	only(t, look(Disk{Free: 50 << 30, Size: 100 << 30}, nil), "50 %")
	want(t, look(Disk{Free: 5 << 30, Size: 100 << 30}, nil), Warning, "5.0 GiB free, 5 %")
	want(t, look(Disk{Free: 1 << 30, Size: 4 << 30}, nil), Warning, "1.0 GiB free")
	want(t, look(Disk{Free: 1 << 20, Size: 4 << 30}, nil), Problem, "no mail can be stored")
	want(t, look(Disk{Free: 1 << 20, Size: 4 << 30}, nil), Warning, "a check may need 1.0 GiB")
	want(t, look(Disk{Free: 50 << 30, Size: 100 << 30, Kind: "NFS"}, nil), Warning, "kind NFS")
	want(t, look(Disk{}, errors.New("gone")), Problem, "gone")
	if d, err := thisSystem().Statfs("/proc"); err != nil || d.Size != 0 {
		t.Errorf("/proc is %+v, %v", d, err)
	}
	if got := existing("/nowhere/at/all"); got != "/" {
		t.Errorf("above /nowhere/at/all is %s", got)
	}
}

func TestLimits(t *testing.T) {
	look := func(files, memory uint64) []Finding {
		return examine(t, limits, Options{}, func(o *Options) {
			o.Serve.ViewCache, o.Serve.HeaderCache = 256<<20, 64<<20
			o.System.Files = func(int) (uint64, error) { return files, nil }
			o.System.Memory = func() (uint64, error) { return memory, nil }
		})
	}
	only(t, look(100_000, 1<<30), "100000 files, which is enough")
	want(t, look(1024, 1<<30), Warning,
		"may open 1024 files; with all connections that the settings allow it needs 21500")
	want(t, look(100_000, 512<<20), Warning, "The caches may take 320.0 MiB, of 512.0 MiB")
	if n, err := openFiles(0); err != nil || n == 0 {
		t.Errorf("this process may open %d files, %v", n, err)
	}
}

func TestRedis(t *testing.T) {
	look := func(url string) []Finding {
		return examine(t, redisServer, Options{}, func(o *Options) {
			o.Serve.RedisURL = url
			if url == "" {
				o.Serve.MongoDBURI = "mongodb://db"
			}
		})
	}
	want(t, look(""), Warning, "There is no Redis")
	only(t, examine(t, redisServer, Options{}, nil), "brings its own")
	want(t, look("redis://127.0.0.1:1"), Problem, "cannot be used")
	want(t, look("gopher://host"), Problem, "")
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	if err := passEvent(t.Context(), client); err != nil {
		t.Error(err)
	}
	var f findings
	describeRedis(&f, fieldsOf("# Server\r\nredis_version:5.0.3\r\n\r\nmaxmemory:100\r\n"+
		"maxmemory_policy:allkeys-lru\r\n"))
	want(t, f.list, Warning, "Redis 5.0.3")
	want(t, f.list, Warning, "allkeys-lru")
	f = findings{}
	describeRedis(&f, fieldsOf("redis_version:7.0.3\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"))
	if len(f.list) != 0 {
		t.Errorf("findings %v", f.list)
	}
}

func TestTopology(t *testing.T) {
	now := time.Now()
	look := func(is server, members *set) []Finding {
		var f findings
		describe(&f, is, "7.0.1", members, now)
		return f.list
	}
	is := func(hosts ...string) server { return server{SetName: "rs0", Hosts: hosts} }
	state := func(health float64, state string, behind time.Duration) *set {
		s := new(set)
		for range 2 {
			s.Members = append(s.Members, struct {
				Name   string    `bson:"name"`
				Health float64   `bson:"health"`
				State  string    `bson:"stateStr"`
				Optime time.Time `bson:"optimeDate"`
			}{"db1", 1, "PRIMARY", now})
		}
		last := &s.Members[1]
		last.Name, last.Health, last.State, last.Optime = "db2", health, state, now.Add(-behind)
		return s
	}
	well := state(1, "SECONDARY", time.Second)
	only(t, look(server{Msg: "isdbgrid"}, nil), "sharded cluster")
	only(t, look(is("db1", "db2", "db3"), well), "replica set rs0 with 3 members")
	want(t, look(is("db1"), well), Warning, "one member")
	want(t, look(is("db1", "db2"), well), Warning, "two members")
	want(t, look(is("db1", "db2", "db3"), nil), Warning, "not known")
	want(t, look(is("db1", "db2", "db3"), state(0, "(not reachable/healthy)", 0)), Problem, "db2 cannot be reached")
	want(t, look(is("db1", "db2", "db3"), state(1, "RECOVERING", 0)), Warning, "db2 is in the state RECOVERING")
	want(t, look(is("db1", "db2", "db3"), state(1, "SECONDARY", time.Hour)), Warning, "db2 is 1h0m0s behind")
}

func TestFormsAndInstances(t *testing.T) {
	forms0 := func(s schema.Status) []Finding {
		var f findings
		forms(&s, &f)
		return f.list
	}
	only(t, forms0(schema.Status{Version: 5}), "schema 5 and all indexes")
	index := func(i schema.IndexStatus) []Finding {
		i.Collection, i.Index = "messages", "modseq"
		return forms0(schema.Status{Indexes: []schema.IndexStatus{i}})
	}
	want(t, index(schema.IndexStatus{}), Problem, "messages.modseq is missing: servers wait")
	want(t, index(schema.IndexStatus{Optional: true}), Warning, "slower")
	want(t, index(schema.IndexStatus{Building: true}), Warning, "being built")
	want(t, index(schema.IndexStatus{Wrong: true}), Problem, "other keys")
	want(t, forms0(schema.Status{Version: 4, Migrations: []schema.MigrationStatus{{Version: 5, About: "previews"}}}),
		Warning, "has schema 4, and this program knows 5 (previews)")

	now := time.Now()
	look := func(files uint64, list ...schema.Instance) []Finding {
		var f findings
		o := &Options{Serve: settings(), Now: func() time.Time { return now }, System: thisSystem()}
		o.System.Hostname = func() (string, error) { return "here", nil }
		o.System.Files = func(int) (uint64, error) { return files, nil }
		running(o, &schema.Status{Instances: list}, &f)
		return f.list
	}
	one := schema.Instance{Host: "here", PID: 7, Program: "1.0", Seen: now}
	other := schema.Instance{Host: "there", PID: 8, Program: "1.1", Seen: now}
	only(t, look(0), "No instance")
	only(t, look(100_000, one), "process 7 on here (1.0)")
	want(t, look(100_000, one, other), Warning, "several versions")
	want(t, look(256, one), Warning, "Process 7 may open 256 files")
	other.Seen = now.Add(-time.Hour)
	want(t, look(100_000, other), Warning, "last heard of 1h0m0s ago")
}
