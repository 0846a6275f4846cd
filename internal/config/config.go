package config

import (
	"strings"

	"github.com/alecthomas/kong"
)

// DefaultDataDir is the data directory unless a setting names another.
const DefaultDataDir = "./data"

// Off is the value of a listener that is not started.
const Off = "off"

// Values of Serve.Sharing beside "all".
const (
	SharingNamed = "named"
	SharingOff   = "off"
	// SeenOwn is a value of Serve.SharedSeen.
	SeenOwn = "own"
)

// Storage says where the data is, and which limits hold for it. All commands that open the data
// have these settings.
type Storage struct {
	DataDir         string `name:"data-dir" env:"GADWALL_DATA_DIR" default:"./data" help:"Directory of the embedded database; not used with --mongodb-uri."`
	MongoDBURI      string `name:"mongodb-uri" env:"GADWALL_MONGODB_URI" placeholder:"URI" help:"MongoDB replica set or sharded cluster to use instead of the embedded database."`
	MongoDBDatabase string `name:"mongodb-database" env:"GADWALL_MONGODB_DATABASE" default:"gadwall" help:"Name of the database."`
	Connections     int    `name:"mongodb-connections" env:"GADWALL_MONGODB_CONNECTIONS" default:"100" help:"Connections to each server for writes and small reads, unless maxPoolSize in the connection string says otherwise."`
	ReadConnections int    `name:"mongodb-read-connections" env:"GADWALL_MONGODB_READ_CONNECTIONS" default:"32" help:"Connections to each server for contents and attachments that clients read."`
	RedisURL        string `name:"redis-url" env:"GADWALL_REDIS_URL" placeholder:"URL" help:"Redis that carries events between instances; without it, one inside the process that owns the data directory."`
	Quota
}

// Log says which lines go to standard error, and in which form.
type Log struct {
	Level  string `name:"log-level" env:"GADWALL_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least severity to log: debug, info, warn, error."`
	Format string `name:"log-format" env:"GADWALL_LOG_FORMAT" default:"text" enum:"text,json" help:"Log format: text, json."`
}

// Serve holds the settings of the server.
type Serve struct {
	Storage
	Log
	Listeners
	TLS
	Clients
	Logins
	Submission

	Hostname        string   `name:"hostname" env:"GADWALL_HOSTNAME" placeholder:"NAME" help:"What the server calls itself; default: the machine's name."`
	MaxMessageSize  Size     `name:"max-message-size" env:"GADWALL_MAX_MESSAGE_SIZE" default:"512MiB" help:"Largest message taken, e.g. 50MB or 512MiB."`
	Postmaster      string   `name:"postmaster" env:"GADWALL_POSTMASTER" placeholder:"ADDRESS" help:"Whose mailbox gets mail for <Postmaster>, the address without a domain; without it, that mail is refused."`
	ServerComment   string   `name:"server-comment" env:"GADWALL_SERVER_COMMENT" placeholder:"TEXT" help:"A text about this server that IMAP clients can show (METADATA entry /shared/comment)."`
	AdminURI        string   `name:"admin-uri" env:"GADWALL_ADMIN_URI" placeholder:"URI" help:"How to reach the administrator, e.g. mailto:admin@example.com (METADATA entry /shared/admin)."`
	Unauthenticate  string   `name:"unauthenticate" env:"GADWALL_UNAUTHENTICATE" default:"on" enum:"on,off" help:"Whether IMAP clients may log in anew on the same connection (UNAUTHENTICATE): on, off."`
	PasswordCache   Duration `name:"password-cache" env:"GADWALL_PASSWORD_CACHE" default:"5m" help:"How long a password that was right is taken for right without computing its hash anew; 0s computes it at each login."`
	HeaderCache     Size     `name:"header-cache" env:"GADWALL_HEADER_CACHE" default:"64MiB" help:"Memory for the header fields that clients ask for when they list a mailbox: about 1 KiB a message, once for all sessions."`
	ViewCache       Size     `name:"view-cache" env:"GADWALL_VIEW_CACHE" default:"256MiB" help:"Memory for the flags, dates and sizes of mailboxes that sessions have open: 23 bytes a message, once for all sessions."`
	RejectOverQuota bool     `name:"reject-over-quota" env:"GADWALL_REJECT_OVER_QUOTA" help:"Answer mail for a full mailbox with 552 (give up) rather than 452 (try again)."`
	DetailMailboxes bool     `name:"detail-mailboxes" env:"GADWALL_DETAIL_MAILBOXES" help:"Deliver mail for user+detail into the mailbox called detail, if the user has one that has no special use."`
	RejectSuspended bool     `name:"reject-suspended" env:"GADWALL_REJECT_SUSPENDED" help:"Refuse mail for suspended users with 550, rather than take it."`

	JournalKept   Duration `name:"journal-kept" env:"GADWALL_JOURNAL_KEPT" default:"90d" help:"How long the UIDs of expunged messages are kept for clients that come back (QRESYNC)."`
	AuthlogKept   Duration `name:"authlog-kept" env:"GADWALL_AUTHLOG_KEPT" default:"30d" help:"How long the authentication log keeps an entry."`
	MasterUsers   []string `name:"master-users" env:"GADWALL_MASTER_USERS" placeholder:"ADDRESSES" help:"Users, separated by commas, who may log in for every user, as user*master or by an authorization identity of SASL."`
	GCInterval    Duration `name:"gc-interval" env:"GADWALL_GC_INTERVAL" default:"1h" help:"How often one of the instances deletes what nobody uses any more; 0s for never."`
	ExpireTrash   Duration `name:"expire-trash" env:"GADWALL_EXPIRE_TRASH" default:"0s" help:"How long messages stay in mailboxes of the use \\Trash, e.g. 30d; 0s for ever."`
	ExpireJunk    Duration `name:"expire-junk" env:"GADWALL_EXPIRE_JUNK" default:"0s" help:"How long messages stay in mailboxes of the use \\Junk, e.g. 30d; 0s for ever."`
	GCGrace       Duration `name:"gc-grace" env:"GADWALL_GC_GRACE" default:"24h" help:"How long what nobody uses is kept."`
	CheckInterval Duration `name:"check-interval" env:"GADWALL_CHECK_INTERVAL" default:"7d" help:"How often one of the instances checks what is stored; 0s for never."`
	CheckTempSize Size     `name:"check-temp-size" env:"GADWALL_CHECK_TEMP_SIZE" default:"8GiB" help:"How much the temporary files of a check may take."`

	Sharing    string `name:"sharing" env:"GADWALL_SHARING" default:"all" enum:"all,named,off" help:"With whom users can share mailboxes: all (other users, groups, and everybody), named (other users and groups), off."`
	SharedSeen string `name:"shared-seen" env:"GADWALL_SHARED_SEEN" default:"shared" enum:"shared,own" help:"Whether a mailbox of another user has one \\Seen for all (shared), or each reader one of the reader's own (own)."`
	PublicUser string `name:"public-user" env:"GADWALL_PUBLIC_USER" placeholder:"ADDRESS" help:"The user whose mailboxes are the public ones, below Shared/, for all to whom that user gives rights."`
}

// Listeners says where the server listens: host:port, unix:/path, or Off.
type Listeners struct {
	IMAPListen        string `name:"imap-listen" env:"GADWALL_IMAP_LISTEN" default:"127.0.0.1:1143" placeholder:"ADDR" help:"IMAP with STARTTLS: host:port, unix:/path (with ?mode=666 for other permissions than 660), or off. So are the other listeners."`
	IMAPSListen       string `name:"imaps-listen" env:"GADWALL_IMAPS_LISTEN" default:"off" placeholder:"ADDR" help:"IMAP over TLS; needs --tls-cert."`
	LMTPListen        string `name:"lmtp-listen" env:"GADWALL_LMTP_LISTEN" default:"127.0.0.1:2424" placeholder:"ADDR" help:"LMTP."`
	SMTPListen        string `name:"smtp-listen" env:"GADWALL_SMTP_LISTEN" default:"127.0.0.1:2525" placeholder:"ADDR" help:"SMTP for mail to local users."`
	SubmissionListen  string `name:"submission-listen" env:"GADWALL_SUBMISSION_LISTEN" default:"127.0.0.1:1587" placeholder:"ADDR" help:"Submission, for users who send mail; not started without --smarthost."`
	SubmissionsListen string `name:"submissions-listen" env:"GADWALL_SUBMISSIONS_LISTEN" default:"off" placeholder:"ADDR" help:"Submission over TLS; needs --tls-cert and --smarthost."`
	HTTPListen        string `name:"http-listen" env:"GADWALL_HTTP_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDR" help:"HTTP API, health and metrics."`
	HTTPToken         string `name:"http-token" env:"GADWALL_HTTP_TOKEN" placeholder:"TOKEN" help:"Token that HTTP requests must carry; without it, and with --http-listen beyond loopback, the database must have one (gadwall token create)."`
	HTTPURL           string `name:"http-url" env:"GADWALL_HTTP_URL" placeholder:"URL" help:"Where the HTTP API is for those who get webhooks: the beginning of addresses that they are told."`
}

// TLS names the files of certificates. SIGHUP reads those of the server again.
type TLS struct {
	Cert []string `name:"tls-cert" env:"GADWALL_TLS_CERT" placeholder:"FILE" help:"Certificate chain in PEM. Several, by repeating the flag or with commas, are chosen by the name that a client asks for; the first is for clients that ask for none."`
	Key  []string `name:"tls-key" env:"GADWALL_TLS_KEY" placeholder:"FILE" help:"Its private key in PEM; as many as --tls-cert, in the same order."`

	ClientCA   string `name:"tls-client-ca" env:"GADWALL_TLS_CLIENT_CA" placeholder:"FILE" help:"Certificates in PEM of authorities whose client certificates log users in to IMAP (AUTH=EXTERNAL)."`
	ClientName string `name:"tls-client-name" env:"GADWALL_TLS_CLIENT_NAME" default:"email" enum:"email,cn" help:"Which field of a client certificate is the user's name: email (of subjectAltName) or cn (of the subject)."`
}

// Clients says which clients are who they say, and how many there may be.
type Clients struct {
	TrustedProxies           Proxies  `name:"trusted-proxies" env:"GADWALL_TRUSTED_PROXIES" default:"none" placeholder:"NETWORKS" help:"Addresses and networks of proxies, separated by commas, that tell their clients' addresses with the PROXY protocol (version 1 or 2) on every listener; unix for all that connect to Unix sockets."`
	PlaintextLoginFrom       Networks `name:"plaintext-login-from" env:"GADWALL_PLAINTEXT_LOGIN_FROM" default:"127.0.0.0/8,::1" placeholder:"NETWORKS" help:"Networks whose clients may send passwords without TLS: with a proxy that ends TLS, those of its clients."`
	MaxConnectionsPerAddress int      `name:"max-connections-per-address" env:"GADWALL_MAX_CONNECTIONS_PER_ADDRESS" default:"500" placeholder:"N" help:"Most IMAP connections of one client address that is not loopback."`
	MaxConnectionsPerUser    int      `name:"max-connections-per-user" env:"GADWALL_MAX_CONNECTIONS_PER_USER" default:"1000" placeholder:"N" help:"Most IMAP connections that are logged in as one user."`
	MaxCommandsPerMinute     int      `name:"max-commands-per-minute" env:"GADWALL_MAX_COMMANDS_PER_MINUTE" default:"60000" placeholder:"N" help:"Most IMAP commands of one user in a minute on this instance; further ones wait. 0: no limit."`

	TrustedMTAs                  Networks `name:"trusted-mtas" env:"GADWALL_TRUSTED_MTAS" default:"none" placeholder:"NETWORKS" help:"Addresses and networks, separated by commas, of servers that hand on the mail of many: LMTP and SMTP do not limit them per address. Unix sockets are trusted always."`
	MaxMailConnections           int      `name:"max-mail-connections" env:"GADWALL_MAX_MAIL_CONNECTIONS" default:"1000" placeholder:"N" help:"Most LMTP connections of trusted MTAs, and of all others; likewise for SMTP."`
	MaxMailConnectionsPerAddress int      `name:"max-mail-connections-per-address" env:"GADWALL_MAX_MAIL_CONNECTIONS_PER_ADDRESS" default:"100" placeholder:"N" help:"Most LMTP connections of one client address, and most SMTP connections."`
}

// settingPrefix marks flags that are settings: those with an environment variable.
const settingPrefix = "GADWALL_"

func isSetting(f *kong.Flag) bool {
	for _, env := range f.Envs {
		if strings.HasPrefix(env, settingPrefix) {
			return true
		}
	}
	return false
}
