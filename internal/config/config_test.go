package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"gadwall/quota"
)

type app struct {
	Serve Serve `cmd:""`
	Other struct {
		To string `help:"A flag that is no setting."`
	} `cmd:""`
}

func parse(t *testing.T, file string, args ...string) (*Serve, error) {
	t.Helper()
	var opts []kong.Option
	if file != "" {
		path := filepath.Join(t.TempDir(), "gadwall.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := ReadFile(path)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kong.Resolvers(f))
	}
	var a app
	p, err := kong.New(&a, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(append([]string{"serve"}, args...)); err != nil {
		return nil, err
	}
	return &a.Serve, nil
}

var samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// Other programs rely on the names and defaults.
func TestDefaults(t *testing.T) {
	got, err := parse(t, "")
	if err != nil {
		t.Fatal(err)
	}
	want := &Serve{
		Storage: Storage{
			DataDir:         "./data",
			MongoDBDatabase: "gadwall",
			Connections:     100,
			ReadConnections: 32,
			Quota: Quota{
				DefaultStorage:  StorageLimit(quota.Unlimited),
				DefaultMessages: MessageLimit(quota.Unlimited),
				Warn:            WarnLevels{80, 95},
			},
		},
		Log: Log{Level: "info", Format: "text"},
		Listeners: Listeners{
			IMAPListen:        "127.0.0.1:1143",
			IMAPSListen:       "off",
			LMTPListen:        "127.0.0.1:2424",
			SMTPListen:        "127.0.0.1:2525",
			SubmissionListen:  "127.0.0.1:1587",
			SubmissionsListen: "off",
			HTTPListen:        "127.0.0.1:8080",
		},
		Clients: Clients{
			PlaintextLoginFrom: Networks{
				netip.MustParsePrefix("127.0.0.0/8"),
				netip.MustParsePrefix("::1/128"),
			},
			MaxConnectionsPerAddress:     500,
			MaxConnectionsPerUser:        1000,
			MaxCommandsPerMinute:         60000,
			TrustedMTAs:                  Networks{},
			MaxMailConnections:           1000,
			MaxMailConnectionsPerAddress: 100,
		},
		TLS: TLS{ClientName: "email"},
		Logins: Logins{
			OIDCUsernameClaim: "email", AuthTimeout: Duration(5 * time.Second), AuthCache: Duration(time.Minute),
		},
		MaxMessageSize: 512 << 20,
		PasswordCache:  Duration(5 * time.Minute),
		HeaderCache:    64 << 20,
		ViewCache:      256 << 20,
		Unauthenticate: "on",
		Sharing:        "all",
		SharedSeen:     "shared",
		JournalKept:    Duration(90 * 24 * time.Hour),
		AuthlogKept:    Duration(30 * 24 * time.Hour),
		GCInterval:     Duration(time.Hour),
		GCGrace:        Duration(day),
		CheckInterval:  Duration(7 * day),
		CheckTempSize:  8 << 30,
		Submission: Submission{
			SmarthostTLS: "starttls", SmarthostConnections: 20, SmarthostTimeout: Duration(5 * time.Minute),
			SubmissionSenders: "own", SubmissionFrom: "own", SubmissionMasterSenders: "own",
			SubmissionMessageLimit: 500, SubmissionRecipientLimit: 2000,
		},
	}
	if diff := cmp.Diff(want, got, samePrefix); diff != "" {
		t.Error(diff)
	}
	if err := got.Check(); err != nil {
		t.Errorf("the defaults do not work: %v", err)
	}
	if got.Hostname == "" {
		t.Error("no host name after Check")
	}
}

func TestPrecedence(t *testing.T) {
	file := "lmtp-listen = '127.0.0.1:1'\nsmtp-listen = '127.0.0.1:1'\nimap-listen = " +
		"'127.0.0.1:1'\nmax-message-size = 1000000\nreject-over-quota = true\n"
	t.Setenv("GADWALL_SMTP_LISTEN", "127.0.0.1:2")
	t.Setenv("GADWALL_IMAP_LISTEN", "127.0.0.1:2")
	s, err := parse(t, file, "--imap-listen", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	if s.LMTPListen != "127.0.0.1:1" || s.SMTPListen != "127.0.0.1:2" || s.IMAPListen != "127.0.0.1:3" ||
		s.MaxMessageSize != 1e6 || !s.RejectOverQuota || s.HTTPListen != "127.0.0.1:8080" {
		t.Errorf("%+v", s)
	}
}

func TestBadFiles(t *testing.T) {
	for file, want := range map[string]string{
		"lmtp-listne = 'off'":                        "unknown settings: lmtp-listne",
		"to = 'ada@example.com'":                     "unknown settings: to",
		"help = true":                                "unknown settings: help",
		"[serve]\nlmtp-listen = 'off'":               "unknown settings: serve",
		"tls-cert = [1]":                             "want a list of strings",
		"tls-cert = ['a,b']":                         "without commas",
		"trusted-proxies = 'proxy.example.com'":      "is not an address or a network",
		"max-message-size = 1.5":                     "want a string",
		"max-message-size = 'big'":                   "is not a size",
		"log-level = 'loud'":                         "log-level",
		"http-token = \"secret-secret-secret":        "gadwall.toml:1:",
		"x = 1\nhttp-token = secret-secret-secret\n": "gadwall.toml:2:",
	} {
		_, err := parse(t, file)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret-secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"--data-dir " + file, "--data-dir: " + file + " is not a directory"},
		{"--quota-default-storage 0", "is not a size such as 10GiB above 0"},
		{"--quota-default-storage default", "want a limit or unlimited"},
		{"--quota-default-messages 10GiB", "is not a number above 0"},
		{"--quota-default-messages=-1", "is not a number above 0"},
		{"--quota-warn 80,x", "is not a list of percentages"},
		{"--quota-warn 95,80", "--quota-warn: level 80 after 95"},
		{"--quota-warn 0,80", "--quota-warn: a level of 0 %"},
		{"--quota-warn 101", "--quota-warn: a level of 101 %"},
		{"--data-dir=", "--data-dir: must not be empty"},
		{"--mongodb-uri http://user:secret@x", "--mongodb-uri: not a valid MongoDB URI"},
		{"--mongodb-uri mongodb://x/?tls=true&tlsCAFile=/none/ca.pem",
			"--mongodb-uri: tlsCAFile: open /none/ca.pem: no such file or directory"},
		{"--mongodb-uri mongodb://x/?tls=true&tlsCAFile=config_test.go",
			"--mongodb-uri: tlsCAFile: config_test.go has nothing in PEM form"},
		{"--mongodb-database a.b", "--mongodb-database"},
		{"--redis-url http://:secret@x", "--redis-url: not a valid URL"},
		{"--max-mail-connections 0", "--max-mail-connections, --max-mail-connections-per-address: want"},
		{"--max-commands-per-minute=-1", "--max-commands-per-minute: want"},
		{"--trusted-mtas here", "is not an address or a network"},
		{"--admin-uri ada", "--admin-uri: \"ada\" is not a URI such as mailto:admin@example.com"},
		{"--postmaster ada", "--postmaster: \"ada\" is not an address"},
		{"--imap-listen 1143", "--imap-listen: \"1143\" is not host:port or unix:/path, or off"},
		{"--lmtp-listen 127.0.0.1:70000", "--lmtp-listen: \"127.0.0.1:70000\" has no valid port"},
		{"--submission-listen x", "--submission-listen: \"x\" is not host:port or unix:/path, or off"},
		{"--imap-listen off --lmtp-listen off --smtp-listen off --http-listen off", "every listener is off"},
		{"--http-token short", "--http-token: want at least"},
		{"--tls-cert x", "belong together"},
		{"--tls-cert x --tls-key y", "--tls-cert: certificate x: open x"},
		{"--imaps-listen :993", "--imaps-listen: needs --tls-cert"},
		{"--hostname -x", "--hostname"},
		{"--hostname a..b", "--hostname"},
		{"--max-message-size 1", "--max-message-size: want 64KiB"},
		{"--max-message-size 5GiB", "--max-message-size"},
		{"--gc-interval 59s", "--gc-interval: want 0s or at least 1m"},
		{"--gc-interval often", "--gc-interval"},
		{"--expire-trash 1h", "--expire-trash: want 0s or at least 1d"},
		{"--expire-junk -1d", "--expire-junk"},
		{"--gc-grace -1h", "--gc-grace"},
		{"--check-interval 59m", "--check-interval: want 0s or at least 1h"},
		{"--check-temp-size 63MiB", "--check-temp-size: want at least 64MiB"},
		{"--smarthost mx", `--smarthost: "mx" is not host:port`},
		{"--smarthost :25", `--smarthost: ":25" is not host:port`},
		{"--smarthost mx:0", `--smarthost: "mx:0" is not host:port`},
		{"--smarthost mx:25 --smarthost-tls maybe", "--smarthost-tls must be one of"},
		{"--smarthost mx:25 --smarthost-tls-ca /none/ca.pem", "--smarthost-tls-ca: open /none/ca.pem"},
		{"--smarthost mx:25 --smarthost-tls-ca config_test.go", "has no certificate in PEM form"},
		{"--smarthost mx:25 --smarthost-user ada", "--smarthost-user and --smarthost-password-file belong together"},
		{"--smarthost mx:25 --smarthost-user ada --smarthost-password-file /none/p", "--smarthost-password-file: open"},
		{"--smarthost mx:25 --smarthost-user ada --smarthost-password-file config.go --smarthost-tls none",
			"--smarthost-user: the password would go over the network in clear"},
		{"--smarthost-connections 0", "--smarthost-connections: want at least 1"},
		{"--smarthost-timeout 1ms", "--smarthost-timeout: want at least 1s"},
		{"--submission-message-limit=-1", "--submission-message-limit, --submission-recipient-limit: must not"},
		{"--submission-senders most", "--submission-senders must be one of"},
		{"--submissions-listen :465 --smarthost mx:25", "--submissions-listen: needs --tls-cert"},
		{"--smarthost mx:25 --submissions-listen x", `--submissions-listen: "x" is not host:port`},
		{"--imap-listen off --lmtp-listen off --smtp-listen off --http-listen off --smarthost mx:25", ""},
		{"--smarthost 127.0.0.1:25 --smarthost-user ada --smarthost-password-file config.go --smarthost-tls none", ""},
		{"--http-listen 0.0.0.0:80 --http-token 0123456789abcdef", ""},
		{"--http-listen [::1]:80 --hostname mx.example.com", ""},
		{"--mongodb-uri mongodb://a,b/?replicaSet=r --redis-url redis://:secret@r:6379", ""},
	} {
		s, err := parse(t, "", strings.Fields(tt.args)...)
		if err == nil {
			err = s.Check()
		}
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells a secret: %v", tt.args, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1000": 1000, "50MB": 50e6, "50 mb": 50e6, "512MiB": 512 << 20, "1k": 1024,
		"2GiB": 2 << 30, "7b": 7, "1TB": 1e12,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v", text, s, err)
		}
	}
	for size, want := range map[Size]string{0: "0", 1023: "1023", 1024: "1KiB", 10e9: "10GB",
		64 << 10: "64KiB", 1e12: "1TB", 3 << 40: "3TiB", 1 << 50: "1024TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(size), got, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "5x", "9999999999GiB", "1 2"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q became %d", text, s)
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(512 << 20))
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			return
		}
		var s Size
		if err := s.UnmarshalText([]byte(Size(n).String())); err != nil || s != Size(n) {
			t.Errorf("%d is written %s and read %d, %v", n, Size(n), s, err)
		}
	})
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "0d": 0, "7d": 7 * day, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute,
		"-1h": -time.Hour, "-2d": -2 * day,
		"1.5h": 90 * time.Minute, "24h": day, "106751d": 106751 * day,
	} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d != Duration(want) {
			t.Errorf("%q: %v, %v", text, d, err)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q is written %s and read %v, %v", text, d, again, err)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", time.Hour: "1h", 36 * time.Hour: "1d12h",
		90 * time.Second: "1m30s",
		10 * time.Minute: "10m", 7 * day: "7d"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for _, text := range []string{"", "d", "-", "1", "1.5d", "1dd", "1d-1h", "106752d", "often", "1d 1h1"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q became %v", text, d)
		}
	}
}

func TestNetworks(t *testing.T) {
	s, err := parse(t, "", "--trusted-proxies", "10.1.2.3/8, unix,2001:db8::1", "--plaintext-login-from", "none")
	if err != nil {
		t.Fatal(err)
	}
	want := Proxies{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")},
		Unix:     true,
	}
	if p := s.TrustedProxies; p.Unix != want.Unix || !slices.Equal(p.Networks, want.Networks) {
		t.Errorf("%+v", p)
	}
	// Not nil, which would be the default.
	if n := s.PlaintextLoginFrom; n == nil || len(n) > 0 {
		t.Errorf("%#v", n)
	}
	for _, text := range []string{"x", "10.0.0.0/33", "unix", "::ffff:10.0.0.0/104"} {
		if err := new(Networks).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestCertificateFiles(t *testing.T) {
	s, err := parse(t, "tls-cert = ['a', 'b']\ntls-key = ['c', 'd']\n")
	if err != nil || !slices.Equal(s.Cert, []string{"a", "b"}) || !slices.Equal(s.Key, []string{"c", "d"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = parse(t, "", "--tls-cert", "a", "--tls-cert", "b"); err != nil ||
		!slices.Equal(s.Cert, []string{"a", "b"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLimits(t *testing.T) {
	for text, want := range map[string]StorageLimit{
		"10GiB": 10 << 30, "1": 1, "unlimited": StorageLimit(quota.Unlimited), " Default ": StorageLimit(quota.Default),
		"1000000TB": 1e18, "1152921504606846975": StorageLimit(quota.MaxLimit),
	} {
		var l, again StorageLimit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%q: %d, %v", text, l, err)
		}
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Errorf("%q: again %d, %v", l, again, err)
		}
	}
	for text, want := range map[string]MessageLimit{
		"100000": 100_000, "unlimited": MessageLimit(quota.Unlimited), "default": MessageLimit(quota.Default),
	} {
		var l MessageLimit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want || l.String() != text {
			t.Errorf("%q: %d, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "none", "1152921504606846976", "1.5GiB"} {
		var s StorageLimit
		var m MessageLimit
		if s.UnmarshalText([]byte(text)) == nil || m.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q: %d, %d", text, s, m)
		}
	}
}

func TestQuotaSettings(t *testing.T) {
	s, err := parse(t, "quota-default-storage = '10GiB'\nquota-default-messages = 5000\nquota-warn = '50, 90%'\n")
	if err != nil || s.Check() != nil {
		t.Fatal(err, s.Check())
	}
	want := quota.Policy{Limits: quota.Limits{Bytes: 10 << 30, Messages: 5000}, Levels: quota.Levels{50, 90}}
	if diff := cmp.Diff(want, s.Quota.Policy()); diff != "" {
		t.Error(diff)
	}
	if s, err = parse(t, "", "--quota-warn", "off"); err != nil || s.Warn != nil {
		t.Errorf("off: %v, %v", s, err)
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"7d", "1d12h", "-1h", "1.5h", "0", "106751d23h", "1d1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q is %v and read again %v, %v", text, d, again, err)
		}
	})
}

func FuzzNetworks(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8,unix", "none", "::1,fe80::1%eth0", "1.2.3.4/33", ",,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p, again Proxies
		if p.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again.String() != p.String() {
			t.Errorf("%q is %v and read again %v, %v", text, p, again, err)
		}
	})
}
